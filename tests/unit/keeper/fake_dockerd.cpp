#include "fake_dockerd.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <algorithm>

#include <chrono>

namespace sallyport::testing_support {

FakeDockerd::FakeDockerd(std::string path) : path_(std::move(path)) { listen(); }
FakeDockerd::~FakeDockerd() { go_away(); }

void FakeDockerd::listen() {
  stopping_ = false;
  ::unlink(path_.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 64) != 0) std::abort();
  listener_ = fd;
  acceptor_ = std::thread([this, fd] { accept_loop(fd); });
}

void FakeDockerd::go_away() {
  if (!acceptor_.joinable()) return;
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  const std::lock_guard lock(mutex_);
  for (const int fd : connections_) ::close(fd);
  connections_.clear();
}

void FakeDockerd::behave(Behaviour behaviour) {
  const std::lock_guard lock(mutex_);
  behaviour_ = std::move(behaviour);
}
std::vector<std::string> FakeDockerd::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}
std::size_t FakeDockerd::times(std::string_view start) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(requests_, [&](const std::string& request) { return request.starts_with(start); }));
}

std::string FakeDockerd::reply(int status, const std::string& json, const std::string& headers) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\n" + headers +
         "Content-Length: " + std::to_string(json.size()) + "\r\n\r\n" + json;
}

std::string FakeDockerd::image(const std::string& config) {
  return R"({"Id":"sha256:)" + id('e') + R"(","Os":"linux","Architecture":"amd64","Config":{)" + config + "}}";
}

void FakeDockerd::accept_loop(int listener) {
  while (!stopping_) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const std::lock_guard lock(mutex_);
    connections_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void FakeDockerd::serve(int connection) {
  std::string input;
  char buffer[65536];
  while (!stopping_) {
    const std::size_t head = input.find("\r\n\r\n");
    std::size_t length = 0;
    if (head != std::string::npos)
      if (const std::size_t at = input.find("Content-Length: "); at < head) length = std::stoul(input.substr(at + 16));
    if (head == std::string::npos || input.size() < head + 4 + length) {
      const ssize_t size = ::read(connection, buffer, sizeof buffer);
      if (size <= 0) return;
      input.append(buffer, static_cast<std::size_t>(size));
      continue;
    }
    const std::string request = input.substr(0, head + 4 + length);
    input.erase(0, request.size());
    const Answer given = answer(request);
    if (given.delay_milliseconds > 0) std::this_thread::sleep_for(std::chrono::milliseconds(given.delay_milliseconds));
    if (given.never) continue;
    for (std::string_view rest = given.bytes; !rest.empty();) {
      const ssize_t size = ::send(connection, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (size <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(size));
    }
    if (given.then_close) {
      ::shutdown(connection, SHUT_RDWR);
      return;
    }
  }
}

FakeDockerd::Answer FakeDockerd::answer(const std::string& request) {
  Behaviour behaviour;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    behaviour = behaviour_;
  }
  if (behaviour) {
    Answer given = behaviour(request);
    if (!given.bytes.empty() || given.never || given.then_close) return given;
  }
  return honest(request.substr(0, request.find(" HTTP/1.1")));
}

FakeDockerd::Answer FakeDockerd::honest(const std::string& line) {
  const auto has = [&line](const char* part) { return line.find(part) != std::string::npos; };
  if (has("/version")) return {reply(200, R"({"ApiVersion":"1.41","MinAPIVersion":"1.12"})")};
  if (has("/info")) return {reply(200, R"({"CgroupDriver":"cgroupfs"})")};
  if (has("/images/")) return {reply(200, image("\"Cmd\":[\"sh\"]"))};
  if (has("/containers/create")) return {reply(201, R"({"Id":")" + id('c') + R"(","Warnings":[]})")};
  if (has("/containers/json")) return {reply(200, "[]")};
  if (has("/json"))
    return {reply(200, R"({"Id":")" + id('c') + R"(","State":{"Status":"running"},"Config":{},"HostConfig":{}})")};
  if (has("/wait")) return {reply(200, R"({"Error":null,"StatusCode":0})")};
  return {"HTTP/1.1 204 No Content\r\n\r\n"};
}

}  // namespace sallyport::testing_support
