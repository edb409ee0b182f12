// TEST. Measures one peer and prints one line of JSON:
//   load SOCKET CONNECTIONS SECONDS TARGET     requests per second and latencies of GET TARGET
//   lifecycle SOCKET COUNT BODY-FILE           milliseconds of create+start+wait+remove, one each
//   attach SOCKET BODY-FILE                    bytes per second of a container's output through attach
//   spawn COUNT COMMAND... ::: COMMAND...      milliseconds of two commands, alternating
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/bench/http_client.hpp"

extern char** environ;

namespace sallyport::bench {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

std::string read_file(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// All connections are driven by one thread, so that the client takes the same share of the machine for every peer.
int load(const std::string& path, int connections, double seconds, const std::string& target) {
  const std::string request = render("GET", target, "");
  std::vector<HttpClient> clients;
  std::vector<Clock::time_point> sent(static_cast<std::size_t>(connections));
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < connections; ++i) {
    clients.emplace_back(path);
    epoll_event event{EPOLLIN, {.u32 = static_cast<std::uint32_t>(i)}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, clients.back().fd(), &event);
  }
  std::vector<double> latencies;
  const auto begin = Clock::now();
  for (int i = 0; i < connections; ++i) {
    sent[static_cast<std::size_t>(i)] = Clock::now();
    clients[static_cast<std::size_t>(i)].send(request);
  }
  std::vector<epoll_event> events(64);
  while (milliseconds_since(begin) < seconds * 1000) {
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 1000);
    if (ready == 0) die("no answer for a second");
    for (int i = 0; i < ready; ++i) {
      const std::size_t who = events[static_cast<std::size_t>(i)].data.u32;
      const Reply reply = clients[who].read_reply();
      if (reply.status != 200) die("status " + std::to_string(reply.status) + " " + reply.body);
      latencies.push_back(milliseconds_since(sent[who]));
      sent[who] = Clock::now();
      clients[who].send(request);
    }
  }
  const double elapsed = milliseconds_since(begin) / 1000;
  std::printf("{\"rate\": %.1f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"requests\": %zu}\n",
              static_cast<double>(latencies.size()) / elapsed, quantile(latencies, 0.5), quantile(latencies, 0.99), latencies.size());
  return 0;
}

std::string create(HttpClient& client, const std::string& body) {
  const Reply made = client.request("POST", "/v1.41/containers/create", body);
  if (made.status != 201) die("create: " + made.body);
  return made.body.substr(made.body.find("\"Id\":\"") + 6, 64);
}

int lifecycle(const std::string& path, int count, const std::string& body) {
  HttpClient client(path);
  std::printf("[");
  for (int i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    const std::string base = "/v1.41/containers/" + create(client, body);
    if (client.request("POST", base + "/start").status != 204) die("start");
    if (client.request("POST", base + "/wait").status != 200) die("wait");
    if (client.request("DELETE", base).status != 204) die("remove");
    std::printf("%s%.3f", i == 0 ? "" : ", ", milliseconds_since(begin));
  }
  std::printf("]\n");
  return 0;
}

int attach(const std::string& path, const std::string& body) {
  HttpClient control(path);
  const std::string base = "/v1.41/containers/" + create(control, body);
  HttpClient stream(path);
  stream.send("POST " + base + "/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
              "Content-Length: 0\r\n\r\n");
  const Reply upgraded = stream.read_reply();
  if (upgraded.status != 101) die("attach: " + upgraded.head + upgraded.body);
  const auto begin = Clock::now();
  if (control.request("POST", base + "/start").status != 204) die("start");
  const std::size_t bytes = stream.read_to_end();
  const double seconds = milliseconds_since(begin) / 1000;
  control.request("DELETE", base + "?force=1");
  std::printf("{\"bytes\": %zu, \"seconds\": %.3f, \"mib_per_second\": %.1f}\n", bytes, seconds,
              static_cast<double>(bytes) / seconds / (1 << 20));
  return 0;
}

double run_once(char** command) {
  const auto begin = Clock::now();
  pid_t pid = 0;
  if (posix_spawnp(&pid, command[0], nullptr, nullptr, command, environ) != 0) die(command[0]);
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) die("wait");
  const double took = milliseconds_since(begin);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die(std::string(command[0]) + " ended with " + std::to_string(status));
  return took;
}

int spawn(int count, char** commands) {
  char** second = commands;
  while (*second != nullptr && std::strcmp(*second, ":::") != 0) ++second;
  if (*second == nullptr) die("no ::: between two commands");
  *second++ = nullptr;
  std::vector<double> left, right;
  for (int i = 0; i < count; ++i) {
    left.push_back(run_once(commands));
    right.push_back(run_once(second));
  }
  std::printf("{\"first_ms\": %.4f, \"second_ms\": %.4f, \"first_p90\": %.4f, \"second_p90\": %.4f}\n", quantile(left, 0.5),
              quantile(right, 0.5), quantile(left, 0.9), quantile(right, 0.9));
  return 0;
}

}  // namespace

int run(int count, char** arguments) {
  const std::string verb = count > 1 ? arguments[1] : "";
  if (verb == "load" && count == 6) return load(arguments[2], std::atoi(arguments[3]), std::atof(arguments[4]), arguments[5]);
  if (verb == "lifecycle" && count == 5) return lifecycle(arguments[2], std::atoi(arguments[3]), read_file(arguments[4]));
  if (verb == "attach" && count == 4) return attach(arguments[2], read_file(arguments[3]));
  if (verb == "spawn" && count > 4) return spawn(std::atoi(arguments[2]), arguments + 3);
  std::fprintf(stderr, "see the head of bench_client.cpp for its arguments\n");
  return 2;
}

}  // namespace sallyport::bench

int main(int count, char** arguments) { return sallyport::bench::run(count, arguments); }
