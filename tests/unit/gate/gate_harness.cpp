#include "gate_harness.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ranges>
#include <stdexcept>

#include "sallyport/seqpacket.hpp"

namespace sallyport::test {

namespace {

constexpr int kPatience = 5000;  // milliseconds

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

UniqueFd listen_on(const std::string& path) {
  UniqueFd listener = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 256) != 0)
    throw std::runtime_error("listen on " + path);
  return listener;
}

// Puts the descriptors where the gate expects them, above any that is still needed first.
[[noreturn]] void become_gate(int keeper, int listener, int stream) {
  const int sources[3] = {::fcntl(keeper, F_DUPFD, 100), ::fcntl(listener, F_DUPFD, 100),
                          ::fcntl(stream, F_DUPFD, 100)};
  for (int i = 0; i < 3; ++i) ::dup2(sources[i], 3 + i);
  ::close_range(6, ~0U, 0);
  char name[] = "sallyport-gate";
  char* arguments[] = {name, nullptr};
  char* environment[] = {nullptr};
  const char* other = ::getenv("SALLYPORT_GATE");  // another build of the gate than the tests' own
  ::execve(other != nullptr ? other : SALLYPORT_GATE_PROGRAM, arguments, environment);
  ::_exit(127);
}

}  // namespace

GateHarness::GateHarness(Answer answer) : answer_(std::move(answer)) {
  char directory[] = "/tmp/sallyport-gate-XXXXXX";
  if (::mkdtemp(directory) == nullptr) throw std::runtime_error("make a directory");
  path_ = std::string(directory) + "/docker.sock";
  listener_ = listen_on(path_);
  int keeper[2];
  int stream[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, keeper) != 0 ||
      ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) != 0)
    throw std::runtime_error("make socket pairs");
  keeper_ = UniqueFd::adopt(keeper[0]);
  stream_ = UniqueFd::adopt(stream[0]);
  const UniqueFd gate_keeper = UniqueFd::adopt(keeper[1]);
  const UniqueFd gate_stream = UniqueFd::adopt(stream[1]);
  pid_ = ::fork();
  if (pid_ == 0) become_gate(gate_keeper.get(), listener_.get(), gate_stream.get());
  gate_ = Child::from_pid(pid_).value();
  reply(0, {protocol::Welcome{SessionId::parse("0123456789ab").value(), ProfileName::parse("worker").value(), "27.3.1"},
            {}});
  thread_ = std::thread([this] { serve(); });
}

GateHarness::~GateHarness() {
  ::shutdown(keeper_.get(), SHUT_RDWR);
  thread_.join();
  gate_ = Child();
  ::unlink(path_.c_str());
  ::rmdir(path_.substr(0, path_.rfind('/')).c_str());
}

void GateHarness::serve() {
  std::vector<std::byte> buffer(limits::kMaxMessageBytes);
  for (;;) {
    while (is_stopped_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    auto datagram = receive_datagram(keeper_.get(), buffer);
    if (!datagram || datagram->size == 0) return;
    if (!datagram->fds.empty()) return;
    Reader messages(std::span(buffer).first(datagram->size));
    while (messages.left() > 0) {
      protocol::RequestEnvelope envelope;
      if (!decode_next(messages, envelope)) return;
      answer(envelope);
    }
  }
}

void GateHarness::answer(const protocol::RequestEnvelope& envelope) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto* claim = std::get_if<protocol::GateClaim>(&envelope.request)) return claims_.push_back(*claim);
    requests_.push_back(envelope);
  }
  Writer joined;
  for (KeeperReply& one : answer_(envelope.id, envelope.request)) {
    if (joins_replies_) codec::encode(joined, protocol::ReplyEnvelope{envelope.id, std::move(one.reply)});
    else reply(envelope.id, std::move(one));
  }
  if (joined.size() > 0) (void)send_datagram(keeper_.get(), joined.bytes());
}

void GateHarness::reply(protocol::RequestId id, KeeperReply reply) {
  std::vector<int> fds;
  for (const UniqueFd& fd : reply.fds) fds.push_back(fd.get());
  (void)send_datagram(keeper_.get(), encode_message(protocol::ReplyEnvelope{id, std::move(reply.reply)}), fds);
}

std::size_t GateHarness::open_descriptors() const {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid_) + "/fd");
  return static_cast<std::size_t>(std::ranges::distance(begin(all), end(all)));
}

UniqueFd GateHarness::connect() const {
  UniqueFd client = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path_);
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("connect to the gate");
  return client;
}

std::vector<protocol::RequestEnvelope> GateHarness::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t GateHarness::claims(bool allowed) {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const protocol::GateClaim& claim : claims_)
    if (claim.allowed == allowed) count += claim.repeated;
  return count;
}

bool GateHarness::wait_for_requests(std::size_t count) {
  for (int i = 0; i < kPatience; i += 5) {
    if (requests().size() >= count) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

bool GateHarness::wait_for_claims(bool allowed, std::size_t count) {
  for (int i = 0; i < kPatience; i += 5) {
    if (claims(allowed) >= count) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::vector<protocol::GateClaim> GateHarness::all_claims() {
  const std::lock_guard lock(mutex_);
  return claims_;
}

std::size_t GateHarness::claim_messages() {
  const std::lock_guard lock(mutex_);
  return claims_.size();
}

ExitStatus GateHarness::close_keeper_and_wait() {
  ::shutdown(keeper_.get(), SHUT_RDWR);
  if (!gate_.handle().has_ended(kPatience)) return {true, -1};
  return gate_.try_reap().value().value_or(ExitStatus{true, -1});
}

ExitStatus GateHarness::end_keepers_direction_and_wait() {
  ::shutdown(keeper_.get(), SHUT_WR);
  if (!gate_.handle().has_ended(kPatience)) return {true, -1};
  return gate_.try_reap().value().value_or(ExitStatus{true, -1});
}

void send_all(const UniqueFd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the gate has closed: the test sees it in the answer
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string read_until(const UniqueFd& socket, const std::function<bool(const std::string&)>& enough) {
  std::string bytes;
  while (!enough(bytes)) {
    pollfd entry{socket.get(), POLLIN, 0};
    if (::poll(&entry, 1, kPatience) != 1) return bytes + "<timed out>";
    char buffer[65536];
    const ssize_t received = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (received <= 0) break;
    bytes.append(buffer, static_cast<std::size_t>(received));
  }
  return bytes;
}

std::string read_to_end(const UniqueFd& socket) {
  return read_until(socket, [](const std::string&) { return false; });
}

std::string read_response(const UniqueFd& socket) {
  return read_until(socket, [](const std::string& bytes) {
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t length = bytes.find("Content-Length: ");
    if (length < end) return bytes.size() >= end + 4 + std::stoul(bytes.substr(length + 16));
    if (bytes.find("Transfer-Encoding: chunked") < end) return bytes.ends_with("0\r\n\r\n");
    return true;
  });
}

std::string ask(const UniqueFd& socket, std::string_view request) {
  send_all(socket, request);
  return read_response(socket);
}

int status_of(std::string_view response) {
  return response.size() > 12 && response.starts_with("HTTP/1.1 ") ? std::stoi(std::string(response.substr(9, 3))) : 0;
}

std::string get(std::string_view target) { return "GET " + std::string(target) + " HTTP/1.1\r\nHost: d\r\n\r\n"; }

std::string post(std::string_view target, std::string_view body, std::string_view type) {
  std::string request =
      "POST " + std::string(target) + " HTTP/1.1\r\nHost: d\r\nContent-Length: " + std::to_string(body.size());
  if (!body.empty()) request += "\r\nContent-Type: " + std::string(type);
  return request + "\r\n\r\n" + std::string(body);
}

std::vector<UniqueFd> fill_channel(const GateHarness& gate) {
  std::vector<UniqueFd> clients;
  const std::string variable(90'000, 'x');  // a channel holds two such requests
  for (int i = 0; i < 6; ++i) {
    clients.push_back(gate.connect());
    send_all(clients.back(),
             post("/v1.41/containers/create", R"({"Image":"busybox","Cmd":["true"],"Env":["A=)" + variable +
                                                  R"("],"HostConfig":{"NetworkMode":"none"}})"));
  }
  for (const UniqueFd& client : clients) {
    int unread = 1;
    for (int i = 0; i < kPatience && unread > 0; ++i) {
      ::ioctl(client.get(), SIOCOUTQ, &unread);
      if (unread > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  (void)ask(gate.connect(), get("/_ping"));  // after its turn with what it has read
  return clients;
}

protocol::Summary summary(std::string_view name, char id_digit, std::int64_t created,
                          protocol::ContainerStatus status) {
  protocol::Summary container;
  container.id = ContainerId::parse(std::string(64, id_digit)).value();
  container.name = ContainerName::parse(name).value();
  container.image = "docker.io/library/busybox:latest";
  container.image_id = "sha256:" + std::string(64, 'b');
  container.command = "sleep 100";
  container.created = created;
  container.status = status;
  container.status_text = "Up 3 seconds";
  return container;
}

}  // namespace sallyport::test
