// BENCHMARKS ONLY. Runs several commands in turn, each round in another order (what one leaves to the kernel to clean
// up falls on all of them alike), and prints each one's times and its paired ratio to the first as JSON.
//   bench_launch_loop ROUNDS -- COMMAND A... -- COMMAND B... [-- ...]
#include <spawn.h>
#include <sys/wait.h>

#include <random>

#include "tests/bench/bench.hpp"

extern char** environ;

namespace sallyport::bench {
namespace {

struct Command {
  std::vector<char*> arguments;  // ends with a null
  std::vector<double> times;     // microseconds
};

double run_once(const Command& command) {
  const std::uint64_t begun = now_ns();
  pid_t child = 0;
  if (const int code = ::posix_spawn(&child, command.arguments[0], nullptr, nullptr, command.arguments.data(), environ))
    die(std::string("run ") + command.arguments[0], code);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) die(std::string(command.arguments[0]) + " ended with " + std::to_string(status), 0);
  return static_cast<double>(now_ns() - begun) / 1e3;
}

std::vector<Command> parse_commands(int argc, char** argv) {
  std::vector<Command> commands;
  for (int i = 2; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") commands.emplace_back();
    else if (commands.empty()) die("usage: bench_launch_loop ROUNDS -- COMMAND... -- COMMAND...", 0);
    else commands.back().arguments.push_back(argv[i]);
  }
  for (Command& command : commands) command.arguments.push_back(nullptr);
  if (commands.empty()) die("usage: bench_launch_loop ROUNDS -- COMMAND... -- COMMAND...", 0);
  return commands;
}

void print(std::vector<Command>& commands) {
  std::vector<std::vector<double>> ratios;
  for (const Command& command : commands) {
    auto& own = ratios.emplace_back();
    for (std::size_t round = 0; round < command.times.size(); ++round)
      own.push_back(command.times[round] / commands[0].times[round]);
  }
  std::printf("[");
  for (std::size_t i = 0; i < commands.size(); ++i) {
    std::vector<double>& times = commands[i].times;
    std::printf("%s{\"median_us\": %.1f, \"min_us\": %.1f, \"p90_us\": %.1f, \"ratio_to_first\": %.4f}",
                i > 0 ? ", " : "", quantile(times, 0.5), quantile(times, 0.0), quantile(times, 0.9),
                quantile(ratios[i], 0.5));
  }
  std::printf("]\n");
}

int main_with(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 0;
  std::vector<Command> commands = parse_commands(argc, argv);
  std::mt19937 random(1);
  std::vector<std::size_t> order(commands.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  constexpr int kWarmUp = 10;
  for (int round = 0; round < rounds + kWarmUp; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t which : order) {
      const double took = run_once(commands[which]);
      if (round >= kWarmUp) commands[which].times.push_back(took);
    }
  }
  print(commands);
  return 0;
}

}  // namespace
}  // namespace sallyport::bench

int main(int argc, char** argv) { return sallyport::bench::main_with(argc, argv); }
