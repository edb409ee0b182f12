#include "broker/spawner/start_session.hpp"

#include <cstdlib>
#include <optional>

#include "broker/spawner/contained_child.hpp"
#include "broker/spawner/verify.hpp"
#include "sallyport/limits.hpp"
#include "sallyport/log.hpp"
#include "sallyport/seqpacket.hpp"

namespace sallyport::spawner {

namespace {

constexpr ResourceLimits kGateLimits{limits::kGateOpenFiles, limits::kGateAddressSpace};
constexpr ResourceLimits kRelayLimits{limits::kRelayOpenFiles, limits::kRelayAddressSpace};

bool shows_errors() {
#ifdef SALLYPORT_ASAN
  return true;
#else
  return std::getenv("SALLYPORT_DEBUG") != nullptr;  // NOLINT(concurrency-mt-unsafe): one thread
#endif
}

ContainedPlan plan_for(const StartTools& tools, const Session& session, limits::UidPart part) {
  const bool is_gate = part == limits::UidPart::Gate;
  ContainedPlan plan;
  plan.program = is_gate ? "sallyport-gate" : "sallyport-relay";
  plan.executable = is_gate ? tools.programs.gate.get() : tools.programs.relay.get();
  plan.null_device = tools.programs.null_device.get();
  plan.standard_error = shows_errors() ? 2 : -1;
  plan.cgroup = is_gate ? session.cgroup.gate() : session.cgroup.relay();
  plan.root_mount_point = tools.root_mount_point;
  plan.uid = session.uid(part);
  plan.limits = is_gate ? kGateLimits : kRelayLimits;
  return plan;
}

void give(ContainedPlan& plan, int fd) { plan.given_fds[plan.given_count++] = fd; }

Result<> start_processes(const StartTools& tools, StartedSession& started, const SessionInputs& inputs) {
  Session& session = *started.session;
  std::optional<StartingChild> gate, relay;
  ContainedPlan gate_plan = plan_for(tools, session, limits::UidPart::Gate);
  ContainedPlan relay_plan = plan_for(tools, session, limits::UidPart::Relay);
  const std::string listeners = std::to_string(inputs.forward_listeners.size());
  // Both are on their way before either is waited for.
  if (inputs.docker_listener) {
    auto [ours, theirs] = TRY(seqpacket_pair());
    give(gate_plan, theirs.get());
    give(gate_plan, inputs.docker_listener.get());
    give(gate_plan, inputs.stream.get());
    gate = TRY(begin_contained(gate_plan));
    started.channels.push_back(std::move(ours));
  }
  if (!inputs.forward_listeners.empty()) {
    auto [ours, theirs] = TRY(seqpacket_pair());
    relay_plan.argument = listeners.c_str();
    give(relay_plan, theirs.get());
    for (const UniqueFd& listener : inputs.forward_listeners) give(relay_plan, listener.get());
    relay = TRY(begin_contained(relay_plan));
    started.channels.push_back(std::move(ours));
  }
  if (gate) session.gate = TRY(finish_contained(std::move(*gate), gate_plan));
  if (relay) session.relay = TRY(finish_contained(std::move(*relay), relay_plan));
  return {};
}

// Without a cgroup a session is still killed whole by its pidfds: init and gate are each PID 1 of a namespace.
void make_cgroup(const StartTools& tools, Session& session) {
  if (tools.cgroup_root == nullptr) return;
  static bool said = false;
  auto made = tools.cgroup_root->make(session.id);
  if (made && session.owns_init) {
    const auto pid = pid_of_init(session.init.fd());
    if (pid && tools.cgroup_root->may_adopt(*pid))
      if (auto moved = tools.cgroup_root->adopt_init(*made, *pid, session.init); !moved)
        log::warning(moved.error().text());
  }
  if (made) {
    session.cgroup = std::move(*made);
  } else if (!said) {
    said = true;
    log::warning("sessions have no cgroup of their own, processes are killed by pidfd alone: " + made.error().text() +
                 " (under systemd the unit needs Delegate=yes)");
  }
}

}  // namespace

Result<StartedSession> start_session(const StartTools& tools, const protocol::spawner::StartSession& request,
                                     std::vector<UniqueFd> fds, std::optional<UidRange> taken) {
  SessionInputs inputs = TRY(sort_descriptors(request, std::move(fds)));
  StartedSession started;
  started.session = std::make_unique<Session>();
  Session& session = *started.session;
  session.id = request.session;
  if (request.uid_base != 0) {
    TRY(verify_uid_range(tools.config, request.uid_base, inputs.uid_lock.get()));
    session.uid_base = request.uid_base;
    session.uid_lock = std::move(inputs.uid_lock);
  } else {
    if (!taken) return fail("no uid range was taken for the session");
    session.uid_base = taken->base;
    session.uid_lock = std::move(taken->lock);
  }
  TRY(verify_sandbox(request.uid_base, inputs));
  session.init = ProcessHandle(std::move(inputs.init));
  session.owns_init = request.uid_base != 0;
  make_cgroup(tools, session);
  TRY(start_processes(tools, started, inputs));
  return started;
}

}  // namespace sallyport::spawner
