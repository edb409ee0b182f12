#include "tests/bench/http_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sallyport::bench {

void die(const std::string& what) {
  std::fprintf(stderr, "bench: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

HttpClient::HttpClient(const std::string& socket_path) : socket_(UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) die("path too long: " + socket_path);
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("connect to " + socket_path);
}

std::string render(std::string_view method, std::string_view target, std::string_view body) {
  std::string out;
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: docker\r\n");
  if (!body.empty()) out += "Content-Type: application/json\r\n";
  if (!body.empty() || method == "POST") out.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  return out.append("\r\n").append(body);
}

void HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) die("send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

Reply HttpClient::request(std::string_view method, std::string_view target, std::string_view body) {
  send(render(method, target, body));
  return read_reply();
}

bool HttpClient::more() {
  char block[65536];
  const ssize_t got = ::recv(socket_.get(), block, sizeof block, 0);
  if (got < 0) die("receive");
  buffer_.append(block, static_cast<std::size_t>(got));
  return got > 0;
}

std::string HttpClient::take_line() {
  std::size_t end;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!more()) die("closed in a line");
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

std::string HttpClient::take(std::size_t size) {
  while (buffer_.size() < size)
    if (!more()) die("closed in a body");
  std::string data = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return data;
}

Reply HttpClient::read_reply() {
  Reply reply;
  std::size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!more()) die("closed in a head");
  reply.head = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  reply.status = std::atoi(reply.head.c_str() + 9);
  if (reply.status == 101 || reply.status == 204 || reply.status == 304) return reply;
  if (const char* length = ::strcasestr(reply.head.c_str(), "\r\ncontent-length: ")) {
    reply.body = take(static_cast<std::size_t>(std::atoll(length + 18)));
  } else if (::strcasestr(reply.head.c_str(), "\r\ntransfer-encoding: chunked")) {
    while (const std::size_t size = std::strtoul(take_line().c_str(), nullptr, 16)) {
      reply.body += take(size);
      take_line();
    }
    take_line();
  }
  return reply;
}

std::size_t HttpClient::read_to_end() {
  std::size_t total = buffer_.size();
  static char block[1 << 20];
  for (ssize_t got; (got = ::recv(socket_.get(), block, sizeof block, 0)) > 0;) total += static_cast<std::size_t>(got);
  return total;
}

}  // namespace sallyport::bench
