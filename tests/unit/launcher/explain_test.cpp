// A failed step is told as what was being done, to what, why, and what to do about it.
#include <cerrno>

#include "launcher/sandbox.hpp"

namespace sallyport::launcher {
namespace {

Plan some_plan() {
  Plan plan;
  plan.command = {"rq"};
  plan.programs = {"/usr/bin/rq", "/bin/rq"};
  plan.directory = "/work";
  plan.root = {{.kind = RootEntry::Kind::Directory, .target = "/etc"},
               {.kind = RootEntry::Kind::Proc, .target = "/proc"}};
  plan.listeners = {{TcpAddress{"127.0.0.1", 80}}};
  return plan;
}

std::uint8_t step_named(std::span<const Step> steps, std::string_view name) {
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (steps[i].name == name) return static_cast<std::uint8_t>(i);
  ADD_FAILURE() << "no step is called " << name;
  return 0;
}

std::string told(StepList list, std::span<const Step> steps, std::string_view name, int error,
                 std::int32_t object = -1) {
  const std::uint8_t step = list == StepList::Exec ? std::uint8_t{0} : step_named(steps, name);
  return explain(some_plan(), {.word = InitWord::Failed, .list = list, .step = step, .code = error, .object = object})
      .text();
}

void expect_parts(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

TEST(AFailedStep, NamesObjectErrorAndRemedy) {
  expect_parts(told(StepList::Sandbox, sandbox_steps(), "furnish the new root", EPERM, 1),
               {"furnish the new root", "/proc", "Operation not permitted", "ProtectKernelTunables="});
  expect_parts(told(StepList::Sandbox, sandbox_steps(), "forbid user namespaces", EROFS),
               {"Read-only file system", "ProtectKernelTunables="});
  expect_parts(told(StepList::Sandbox, sandbox_steps(), "mount the new root", ENOENT), {"/tmp"});
  expect_parts(told(StepList::Sandbox, sandbox_steps(), "listen for the broker", EADDRINUSE, 0),
               {"127.0.0.1:80", "in use"});
  expect_parts(told(StepList::Worker, worker_steps(), "enter worker.directory", ENOENT), {"/work", "worker.directory"});
  expect_parts(told(StepList::Worker, worker_steps(), "enter worker.directory", ENOTDIR), {"/work", "is a file"});
  expect_parts(told(StepList::Worker, worker_steps(), "enter worker.directory", EACCES), {"/work", "allowed to enter"});
}

TEST(AProgramThatCannotStart, IsToldWithEveryPathThatWasTried) {
  expect_parts(told(StepList::Exec, {}, "", ENOENT), {"rq", "not found", "/usr/bin/rq", "/bin/rq"});
  expect_parts(told(StepList::Exec, {}, "", EACCES), {"Permission denied", "readable and executable"});
}

TEST(AFailureOutOfAnyList, IsStillTold) {
  const std::string text =
      explain(some_plan(), {.word = InitWord::Failed, .list = StepList::Init, .step = 200, .code = EIO}).text();
  expect_parts(text, {"unknown step", "Input/output error"});
}

}  // namespace
}  // namespace sallyport::launcher
