// BENCHMARKS ONLY. Asks one URL over N kept-alive connections of a Unix socket, one request at a time on each, and
// prints rate and latency as JSON. With one connection it blocks in read() instead of polling.
//   bench_http_load --socket PATH --target /v1.41/... [--connections N] [--seconds S] [--warmup S] [--status 200]
#include <sys/epoll.h>

#include "tests/bench/bench.hpp"
#include "tests/bench/reply_scan.hpp"

namespace sallyport::bench {
namespace {

struct Client {
  int fd = -1;
  std::uint64_t asked_at = 0;
  std::string input;
  std::size_t filled = 0;
  ReplyScan scan;
};

struct Run {
  std::string request;
  int expected_status = 200;
  std::uint64_t measured_from = 0;
  std::uint64_t until = 0;
  std::uint64_t body_bytes = 0;
  std::vector<std::uint32_t> latencies;  // ns
};

void ask(Run& run, Client& client) {
  client.filled = 0;
  client.scan.forget();
  client.asked_at = now_ns();
  if (::send(client.fd, run.request.data(), run.request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(run.request.size()))
    die("send a request");
}

// Reads once. False at the end of the run.
bool hear(Run& run, Client& client) {
  if (client.input.size() < client.filled + 32 * 1024) client.input.resize(client.filled + 64 * 1024);
  const ssize_t size = ::read(client.fd, client.input.data() + client.filled, client.input.size() - client.filled);
  if (size <= 0) die("the server closed a connection", size < 0 ? errno : 0);
  client.filled += static_cast<std::size_t>(size);
  const std::string_view bytes(client.input.data(), client.filled);
  const ReplyScan::State state = client.scan.scan(bytes);
  if (state == ReplyScan::State::More) return true;
  if (state == ReplyScan::State::Malformed || client.scan.end() != client.filled)
    die("a reply is not well formed: " + std::string(bytes.substr(0, 300)), 0);
  if (client.scan.status() != run.expected_status)
    die("a reply has another status than was asked for: " + std::string(bytes.substr(0, 600)), 0);
  const std::uint64_t now = now_ns();
  if (client.asked_at >= run.measured_from) {
    run.latencies.push_back(static_cast<std::uint32_t>(now - client.asked_at));
    run.body_bytes = client.filled - client.scan.body();
  }
  if (now >= run.until) return false;
  ask(run, client);
  return true;
}

void poll_all(Run& run, std::vector<Client>& clients) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  for (Client& client : clients) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &client}};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, client.fd, &event) != 0) die("epoll_ctl");
    ask(run, client);
  }
  std::size_t active = clients.size();
  epoll_event events[64];
  while (active > 0) {
    const int count = epoll_wait(poll, events, 64, 10'000);
    if (count == 0) die("no answer within 10 s", 0);
    for (int i = 0; i < count; ++i) {
      auto& client = *static_cast<Client*>(events[i].data.ptr);
      if (hear(run, client)) continue;
      epoll_ctl(poll, EPOLL_CTL_DEL, client.fd, nullptr);
      --active;
    }
  }
}

int main_with(int argc, char** argv) {
  Run run;
  const double seconds = std::atof(option(argc, argv, "--seconds", "3").c_str());
  const double warmup = std::atof(option(argc, argv, "--warmup", "0.3").c_str());
  run.expected_status = std::atoi(option(argc, argv, "--status", "200").c_str());
  run.request =
      "GET " + option(argc, argv, "--target") + " HTTP/1.1\r\nHost: docker\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
  run.latencies.reserve(4 << 20);
  std::vector<Client> clients(static_cast<std::size_t>(std::atoi(option(argc, argv, "--connections", "1").c_str())));
  for (Client& client : clients) client.fd = dial(option(argc, argv, "--socket"));
  run.measured_from = now_ns() + static_cast<std::uint64_t>(warmup * 1e9);
  run.until = run.measured_from + static_cast<std::uint64_t>(seconds * 1e9);
  if (clients.size() == 1) {
    ask(run, clients[0]);
    while (hear(run, clients[0])) {
    }
  } else {
    poll_all(run, clients);
  }
  const double took = static_cast<double>(now_ns() - run.measured_from) / 1e9;
  const auto us = [&](double part) { return static_cast<double>(quantile(run.latencies, part)) / 1e3; };
  std::printf(
      "{\"requests\": %zu, \"rate\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"body_bytes\": "
      "%llu}\n",
      run.latencies.size(), static_cast<double>(run.latencies.size()) / took, us(0.5), us(0.9), us(0.99),
      static_cast<unsigned long long>(run.body_bytes));
  return 0;
}

}  // namespace
}  // namespace sallyport::bench

int main(int argc, char** argv) { return sallyport::bench::main_with(argc, argv); }
