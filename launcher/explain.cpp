#include <algorithm>
#include <array>
#include <cerrno>

#include "launcher/sandbox.hpp"

namespace sallyport::launcher {
namespace {

struct Remedy {
  std::string_view step;
  int error;  // 0: any
  std::string_view text;
};

constexpr std::array kRemedies = {
    Remedy{"become init's user", 0,
           "the map of ids was not taken: another security module may restrict user namespaces"},
    Remedy{
        "forbid user namespaces", ENOENT,
        "/proc/sys is covered here: a unit must not set ProtectKernelTunables= (or the kernel lacks user namespaces)"},
    Remedy{"forbid user namespaces", EROFS, "/proc/sys is read-only here: a unit must not set ProtectKernelTunables="},
    Remedy{"forbid user namespaces", EACCES, "/proc/sys is protected here: a unit must not set ProtectKernelTunables="},
    Remedy{"bound the memory of TCP", 0, "/proc/sys/net must be the kernel's own here, and writable"},
    Remedy{"mount the new root", ENOENT,
           "/tmp of the host must exist: the new root is built over it, unseen by others"},
    Remedy{"furnish the new root", ENOSPC, "the host's limit of mounts or of memory is reached: see fs.mount-max"},
    Remedy{"set the limits", EPERM, "the launcher's own hard limit is lower: raise it in its unit"},
    Remedy{"enter worker.directory", ENOENT, "it must exist in the sandbox: correct worker.directory"},
    Remedy{"enter worker.directory", ENOTDIR, "it is a file in the sandbox: correct worker.directory"},
    Remedy{"enter worker.directory", EACCES, "others must be allowed to enter it: the worker is no host user"},
    Remedy{"install the worker's filter", EINVAL, "the kernel lacks seccomp filters (CONFIG_SECCOMP_FILTER)"},
};
constexpr std::string_view kProcRemedy =
    "a part of the host's /proc is covered, so the kernel gives no new one: a unit must not set "
    "ProtectKernelTunables=, "
    "ProtectKernelLogs= or ProcSubset=, and a container must not mask /proc";

std::string object_of(const Plan& plan, StepList list, std::string_view step, std::int32_t index) {
  const auto at = static_cast<std::size_t>(index);
  if (step == "furnish the new root" && at < plan.root.size()) return plan.root[at].target;
  if (step == "listen for the broker" && at < plan.listeners.size()) return address_text(plan.listeners[at].address);
  if (step == "set the limits" && at < plan.limits.size())
    return std::string(plan.limits[at].name) + " = " + std::to_string(plan.limits[at].value);
  if (step == "enter worker.directory") return plan.directory;
  if (step == "set the hostname") return plan.hostname;
  if (list == StepList::Exec) return plan.command.front();
  return "";
}

std::string exec_remedy(const Plan& plan, int error) {
  if (error == ENOENT) {
    std::string tried = "not found in the sandbox; tried";
    for (const std::string& program : plan.programs) tried += " " + program;
    return tried + " (or the interpreter that the file names is missing there)";
  }
  if (error == EACCES) return "it must be readable and executable for others: the worker is no host user";
  if (error == ENOEXEC) return "not a program of this architecture, and no #! line";
  return "";
}

std::span<const Step> steps_of(StepList list) {
  switch (list) {
    case StepList::Sandbox: return sandbox_steps();
    case StepList::Worker: return worker_steps();
    case StepList::Init: return init_steps();
    case StepList::Exec: break;
  }
  return {};
}

}  // namespace

Error explain(const Plan& plan, const InitMessage& failure) {
  const auto steps = steps_of(failure.list);
  std::string_view step = failure.list == StepList::Exec ? "start the worker's program" : "an unknown step";
  if (failure.step < steps.size()) step = steps[failure.step].name;
  std::string text(step);
  const std::string object = object_of(plan, failure.list, step, failure.object);
  if (!object.empty()) text += " (" + object + ")";
  std::string advice;
  for (const Remedy& remedy : kRemedies)
    if (advice.empty() && remedy.step == step && (remedy.error == 0 || remedy.error == failure.code))
      advice = remedy.text;
  if (failure.list == StepList::Exec) advice = exec_remedy(plan, failure.code);
  if (step == "furnish the new root" && object == "/proc" && failure.code == EPERM) advice = kProcRemedy;
  text += ": " + std::string(std::strerror(failure.code));
  if (!advice.empty()) text += "; " + advice;
  return {std::move(text), 0};
}

bool names_what_is_not_there(const InitMessage& failure) {
  constexpr std::array kSo = {ENOENT, ENOTDIR, EACCES, ENOEXEC};
  if (std::ranges::find(kSo, failure.code) == kSo.end()) return false;
  if (failure.list == StepList::Exec) return true;
  const auto steps = worker_steps();
  return failure.list == StepList::Worker && failure.step < steps.size() &&
         std::string_view(steps[failure.step].name) == "enter worker.directory";
}

}  // namespace sallyport::launcher
