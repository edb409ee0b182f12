// A dockerd that does wrong on purpose: only for faults that a real one cannot be made to show. Serves its socket on a
// thread of its own, one thread a connection; answers by a function of the request's first line.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sallyport/unique_fd.hpp"

namespace sallyport::testing_support {

class FakeDockerd {
 public:
  struct Answer {
    std::string bytes;  // sent as they are
    bool then_close = false;
    int delay_milliseconds = 0;
    bool never = false;  // says nothing, and keeps the connection open
  };
  using Behaviour = std::function<Answer(const std::string& request)>;  // head and body

  explicit FakeDockerd(std::string path);
  ~FakeDockerd();
  void listen();
  void go_away();  // closes everything
  // Asked first; an answer without bytes that neither is `never` nor closes means: as an honest dockerd would.
  void behave(Behaviour behaviour);
  std::vector<std::string> requests() const;  // in full, in the order of arrival
  bool saw(std::string_view start) const { return times(start) > 0; }
  std::size_t times(std::string_view start) const;  // requests that begin so

  static std::string reply(int status, const std::string& json, const std::string& headers = "");
  static std::string image(const std::string& config);  // an image's inspection; members of its Config
  static std::string id(char digit) { return std::string(64, digit); }

 private:
  void accept_loop(int listener);
  void serve(int connection);
  Answer answer(const std::string& request);
  Answer honest(const std::string& line);

  std::string path_;
  std::atomic<int> listener_{-1};
  std::atomic<bool> stopping_{false};
  std::thread acceptor_;
  mutable std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<int> connections_;
  std::vector<std::string> requests_;
  Behaviour behaviour_;
};

}  // namespace sallyport::testing_support
