// TRUSTED SIDE until the worker's exec. What the child of clone3 does: the steps that build the sandbox, the worker's
// own steps up to its exec, and then init. Async-signal-safe only: no allocation, no locks, no logger, nothing that
// throws.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "launcher/child_plan.hpp"

namespace sallyport::launcher {

// One step of either list: 0 or errno. `object` may be set to the index of the thing that failed.
struct StepContext {
  const ChildPlan& plan;
  std::int32_t object = -1;
};
struct Step {
  const char* name;
  int (*run)(StepContext&) noexcept;
};

std::span<const Step> sandbox_steps() noexcept;  // by init, before the worker exists
std::span<const Step> worker_steps() noexcept;   // by the worker; exec comes after them
std::span<const Step> init_steps() noexcept;     // by init, once the worker runs

// --- what init says to the launcher, one datagram each ---
enum class InitWord : std::uint8_t { Failed, Listening, Started, Running, Ended };
enum class StepList : std::uint8_t { Sandbox, Worker, Init, Exec };
struct InitMessage {
  InitWord word{};
  StepList list{};           // Failed
  std::uint8_t step = 0;     // Failed: index in that list
  bool signalled = false;    // Ended
  std::int32_t code = 0;     // Failed: errno; Ended: exit code or signal
  std::int32_t object = -1;  // Failed
};
// --- what the launcher says to init, one byte each ---
inline constexpr char kIdsAreMapped = 'm';
inline constexpr char kStartTheWorker = 's';
// --- and init to the worker, once nothing is left that init could be made to do ---
inline constexpr char kInitIsLocked = 'l';

// The whole life of the child. Never returns.
[[noreturn]] void run_child(const ChildPlan& plan) noexcept;

// Used by the steps and by init.
bool send_word(int control, const InitMessage& message, std::span<const int> descriptors = {}) noexcept;
int close_all_but(std::span<const int> keep) noexcept;  // 0, 1 and 2 stay
int hear(int peer, char expected) noexcept;             // 0, or errno; where who speaks has gone it ends the process
int die_with_the_launcher(int control) noexcept;        // again after every change of ids: the kernel clears it then
int empty_capabilities() noexcept;
// inherited.cpp: 0 or errno, by the child and by the launcher, which alone may have the capability for it.
int leave_what_the_caller_gave() noexcept;
int leave_the_callers_flushing() noexcept;
int default_signals() noexcept;  // nothing handled, ignored or blocked
[[noreturn]] void run_init(const ChildPlan& plan, int worker_pid) noexcept;

}  // namespace sallyport::launcher
