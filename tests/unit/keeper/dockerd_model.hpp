// A dockerd that keeps its containers in a map, for tests in which their number and the order of answers matter. It
// filters lists as moby does: by whole id, and by name with a pattern.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fake_dockerd.hpp"

namespace sallyport::testing_support {

class DockerdModel {
 public:
  // Called on the connection's own thread before the answer; what it answers goes out instead of the model's own.
  using Hook = std::function<FakeDockerd::Answer(const std::string& name)>;
  void before_create_is_answered(Hook hook) { state_->on_create = std::move(hook); }
  void before_delete(Hook hook) { state_->on_delete = std::move(hook); }
  void pad_entries(std::size_t bytes) { state_->entry_padding = bytes; }  // of each entry of a list

  FakeDockerd::Behaviour behaviour() const;
  void add(const std::string& name, const std::string& id);
  void lose(const std::string& name);  // as one with AutoRemove goes
  std::vector<std::string> names() const;
  std::size_t count() const { return names().size(); }

 private:
  struct State {
    std::mutex mutex;
    std::map<std::string, std::string> containers;  // name -> id
    std::size_t made = 0;
    std::size_t entry_padding = 0;
    Hook on_create;
    Hook on_delete;
  };
  static FakeDockerd::Answer answer(State& state, const std::string& request);
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Something that happens once, waited for by several threads.
class Event {
 public:
  void happen() {
    const std::lock_guard lock(mutex_);
    happened_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [this] { return happened_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool happened_ = false;
};

}  // namespace sallyport::testing_support
