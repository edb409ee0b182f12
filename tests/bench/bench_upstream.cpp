// TEST. bench_upstream LISTEN-SOCKET DOCKERD-SOCKET: a fast upstream for measuring what stands before it. A container's
// inspect is asked of dockerd once and answered from memory from then on; everything else is asked of dockerd each time.
#include <fcntl.h>
#include <grp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "tests/bench/http_client.hpp"

namespace sallyport::bench {
namespace {

class Upstream {
 public:
  explicit Upstream(std::string dockerd) : dockerd_(std::move(dockerd)) {}

  std::string answer(const std::string& method, const std::string& target, const std::string& body) {
    const bool is_inspect = method == "GET" && target.find("/containers/") != std::string::npos && target.ends_with("/json") &&
                            !target.ends_with("/containers/json");
    if (is_inspect)
      if (const auto known = known_.find(target); known != known_.end()) return known->second;
    const Reply reply = HttpClient(dockerd_).request(method, target, body);
    std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\nApi-Version: 1.41\r\n";
    if (reply.status != 204) {
      out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(reply.body.size()) + "\r\n";
    }
    out += "\r\n" + reply.body;
    if (is_inspect && reply.status == 200) known_[target] = out;
    return out;
  }

 private:
  std::string dockerd_;
  std::map<std::string, std::string> known_;
};

struct Connection {
  UniqueFd socket;
  std::string pending;
};

// Answers every whole request in the buffer.
void serve(Upstream& upstream, Connection& connection) {
  for (;;) {
    const std::size_t end = connection.pending.find("\r\n\r\n");
    if (end == std::string::npos) return;
    const std::string head = connection.pending.substr(0, end + 2);
    const char* length = ::strcasestr(head.c_str(), "\r\ncontent-length: ");
    const std::size_t size = length == nullptr ? 0 : static_cast<std::size_t>(std::atoll(length + 18));
    if (connection.pending.size() < end + 4 + size) return;
    const std::string body = connection.pending.substr(end + 4, size);
    connection.pending.erase(0, end + 4 + size);
    const std::size_t first = head.find(' ');
    const std::size_t second = head.find(' ', first + 1);
    const std::string answer = upstream.answer(head.substr(0, first), head.substr(first + 1, second - first - 1), body);
    if (::send(connection.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
  }
}

int listen_at(const char* path) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  ::unlink(path);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die(path);
  if (const group* docker = ::getgrnam("docker"); docker == nullptr || ::chown(path, 0, docker->gr_gid) != 0) die("group docker");
  if (::chmod(path, 0660) != 0 || ::listen(listener, 256) != 0) die(path);
  return listener;
}

}  // namespace

int run(const char* listen_path, const char* dockerd) {
  Upstream upstream(dockerd);
  const int listener = listen_at(listen_path);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{EPOLLIN, {.fd = listener}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  std::map<int, Connection> connections;
  static char block[65536];
  for (;;) {
    epoll_event ready[64];
    const int count = ::epoll_wait(epoll, ready, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[i].data.fd;
      if (fd == listener) {
        const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        connections[client].socket = UniqueFd::adopt(client);
        event = {EPOLLIN, {.fd = client}};
        ::epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
        continue;
      }
      const ssize_t got = ::recv(fd, block, sizeof block, 0);
      if (got <= 0) {
        connections.erase(fd);
        continue;
      }
      connections[fd].pending.append(block, static_cast<std::size_t>(got));
      serve(upstream, connections[fd]);
    }
  }
}

}  // namespace sallyport::bench

int main(int count, char** arguments) {
  if (count != 3) return 2;
  return sallyport::bench::run(arguments[1], arguments[2]);
}
