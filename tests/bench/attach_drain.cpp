// BENCHMARKS ONLY. Attaches to a created container's stdout, starts it and reads its output to the end; prints bytes
// and seconds as JSON. The same requests work against dockerd and against a broker.
//   bench_attach_drain --socket PATH --id ID
#include "tests/bench/bench.hpp"
#include "tests/bench/reply_scan.hpp"

namespace sallyport::bench {
namespace {

int start_container(const std::string& socket, const std::string& id) {
  const int fd = dial(socket);
  send_all(fd, "POST /v1.41/containers/" + id + "/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n");
  return fd;
}

// Up to and with the head; what came behind it counts as output.
std::uint64_t read_upgrade(int fd) {
  std::string head;
  char buffer[4096];
  for (;;) {
    const ssize_t size = ::read(fd, buffer, sizeof buffer);
    if (size <= 0) die("read the answer to attach", size < 0 ? errno : 0);
    head.append(buffer, static_cast<std::size_t>(size));
    const std::size_t end = head.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    if (!head.starts_with("HTTP/1.1 101")) die("attach was refused: " + head, 0);
    return head.size() - end - 4;
  }
}

int main_with(int argc, char** argv) {
  const std::string socket = option(argc, argv, "--socket");
  const std::string id = option(argc, argv, "--id");
  const int fd = dial(socket);
  send_all(fd, "POST /v1.41/containers/" + id +
                   "/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n"
                   "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n");
  std::uint64_t bytes = read_upgrade(fd);
  const std::uint64_t begun = now_ns();
  const int starting = start_container(socket, id);
  std::vector<char> buffer(256 * 1024);
  for (;;) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) die("read the container's output");
    if (size == 0) break;
    bytes += static_cast<std::uint64_t>(size);
  }
  const double seconds = static_cast<double>(now_ns() - begun) / 1e9;
  ::close(starting);
  std::printf("{\"bytes\": %llu, \"seconds\": %.4f}\n", static_cast<unsigned long long>(bytes), seconds);
  return 0;
}

}  // namespace
}  // namespace sallyport::bench

int main(int argc, char** argv) { return sallyport::bench::main_with(argc, argv); }
