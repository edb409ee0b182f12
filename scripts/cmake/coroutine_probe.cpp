// Exits with 1 where the compiler destroys an aggregate temporary inside a co_await expression twice.
#include <coroutine>
#include <expected>
#include <string>

struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};

struct Counted {
  static inline int alive = 0;
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  ~Counted() { --alive; }
};
struct Aggregate {
  Counted counted;
  int number = 0;
};
struct Ready {
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<>) const { return false; }
  std::expected<int, std::string> await_resume() const { return 1; }
};
static Ready consume(Aggregate) { return {}; }

static Task probe() {
  Counted named;
  (void)co_await consume(Aggregate{named});
  (void)co_await consume({.counted = named, .number = 2});
}

int main() {
  probe();
  return Counted::alive == 0 ? 0 : 1;
}
