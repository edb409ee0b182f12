// BENCHMARKS ONLY. A dockerd that only answers, as fast as one thread can: what a proxy in front of it costs is then
// not hidden behind dockerd's own time. It knows the requests that a session makes; containers are ids and nothing
// else.
//   bench_fake_docker SOCKET     (prints "ready" once it listens)
#include <sys/epoll.h>

#include <unordered_map>

#include "tests/bench/bench.hpp"
#include "tests/bench/fake_replies.hpp"

namespace sallyport::bench {
namespace {

constexpr std::size_t kChunkedAbove = 2048;  // as Go's net/http does

struct Client {
  int fd = -1;
  std::string input;
};

std::string framed(std::string_view status, std::string_view body) {
  std::string reply = "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(kCommonHeaders);
  if (status.starts_with("204")) return reply + "\r\n";
  reply += "Content-Type: application/json\r\n";
  if (body.size() <= kChunkedAbove)
    return reply + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", body.size());
  return reply + "Transfer-Encoding: chunked\r\n\r\n" + size + std::string(body) + "\r\n0\r\n\r\n";
}

class FakeDocker {
 public:
  // The reply to one request; `target` without the version.
  const std::string& reply_to(std::string_view method, std::string_view target) {
    target = target.substr(0, target.find('?'));
    if (target.starts_with("/containers/")) return reply_about_containers(method, target.substr(12));
    if (target == "/_ping") return ping_;
    if (target == "/version") return version_;
    if (target == "/info") return info_;
    if (target.starts_with("/images/")) return image_;
    return unknown_;
  }

 private:
  const std::string& reply_about_containers(std::string_view method, std::string_view rest) {
    if (rest == "create") return created();
    if (rest == "json") return empty_list_;
    const std::size_t slash = rest.find('/');
    if (method == "DELETE") return done_;
    const std::string_view action = slash == std::string_view::npos ? "" : rest.substr(slash);
    if (action == "/json") return inspected(std::string(rest.substr(0, slash)));
    if (action == "/wait") return waited_;
    return done_;
  }
  const std::string& created() {
    char id[65];
    std::snprintf(id, sizeof id, "%064llx", static_cast<unsigned long long>(++containers_));
    return last_ = framed("201 Created", R"({"Id":")" + std::string(id) + R"(","Warnings":[]})");
  }
  const std::string& inspected(std::string id) {
    std::string& reply = inspected_[id];
    if (!reply.empty()) return reply;
    std::string body(kInspectReply);
    for (std::size_t at = body.find("\"ID\""); at != std::string::npos; at = body.find("\"ID\""))
      body.replace(at + 1, 2, id);
    for (std::size_t at = body.find("/ID"); at != std::string::npos; at = body.find("/ID")) body.replace(at + 1, 2, id);
    return reply = framed("200 OK", body);
  }

  const std::string ping_ = framed("200 OK", "OK");
  const std::string version_ = framed("200 OK", kVersionReply);
  const std::string info_ = framed("200 OK", kInfoReply);
  const std::string image_ = framed("200 OK", kImageReply);
  const std::string waited_ = framed("200 OK", kWaitReply);
  const std::string empty_list_ = framed("200 OK", "[]\n");
  const std::string done_ = framed("204 No Content", "");
  const std::string unknown_ = framed("404 Not Found", R"({"message":"page not found"})");
  std::string last_;
  std::unordered_map<std::string, std::string> inspected_;
  std::uint64_t containers_ = 0xb0a7000000000000;
};

// Answers what is complete in the input. False where the connection is of no more use.
bool serve(FakeDocker& docker, Client& client) {
  std::string_view input = client.input;
  for (;;) {
    const std::size_t end = input.find("\r\n\r\n");
    if (end == std::string_view::npos) break;
    const std::string_view head = input.substr(0, end);
    std::size_t length = 0;
    if (const std::size_t at = head.find("\r\nContent-Length: "); at != std::string_view::npos)
      length = std::strtoull(head.data() + at + 18, nullptr, 10);
    else if (const std::size_t other = head.find("\r\ncontent-length: "); other != std::string_view::npos)
      length = std::strtoull(head.data() + other + 18, nullptr, 10);
    if (input.size() < end + 4 + length) break;
    const std::size_t space = head.find(' ');
    const std::size_t second = space == std::string_view::npos ? space : head.find(' ', space + 1);
    if (second == std::string_view::npos) return false;
    std::string_view target = head.substr(space + 1, second - space - 1);
    if (target.starts_with("/v1.")) target.remove_prefix(std::min(target.size(), target.find('/', 1)));
    // Replies are far smaller than a socket's buffer: a short write means that the client is gone.
    const std::string& reply = docker.reply_to(head.substr(0, space), target);
    if (::send(client.fd, reply.data(), reply.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(reply.size())) return false;
    input.remove_prefix(end + 4 + length);
  }
  client.input.erase(0, client.input.size() - input.size());
  return true;
}

int listen_at(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = unix_address(path);
  ::unlink(path.c_str());
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 1024) != 0)
    die("listen at " + path);
  return fd;
}

int main_with(int argc, char** argv) {
  if (argc != 2) die("usage: bench_fake_docker SOCKET", 0);
  FakeDocker docker;
  const int listener = listen_at(argv[1]);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event accepting{.events = EPOLLIN, .data = {.ptr = nullptr}};
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &accepting);
  std::puts("ready");
  std::fflush(stdout);
  std::vector<char> buffer(256 * 1024);
  epoll_event events[64];
  for (;;) {
    const int count = epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      auto* client = static_cast<Client*>(events[i].data.ptr);
      if (client == nullptr) {
        client = new Client{.fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), .input = {}};
        epoll_event event{.events = EPOLLIN, .data = {.ptr = client}};
        if (client->fd < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, client->fd, &event) != 0) delete client;
        continue;
      }
      const ssize_t size = ::read(client->fd, buffer.data(), buffer.size());
      if (size > 0) client->input.append(buffer.data(), static_cast<std::size_t>(size));
      if (size > 0 && serve(docker, *client)) continue;
      ::close(client->fd);
      delete client;
    }
  }
}

}  // namespace
}  // namespace sallyport::bench

int main(int argc, char** argv) { return sallyport::bench::main_with(argc, argv); }
