#include <algorithm>
#include <cstdio>

#include "launcher/child_setup.hpp"
#include "launcher/plan.hpp"

namespace sallyport::launcher {
namespace {

// Everything printable as it is, the rest escaped: a profile is root's, but a terminal should not have to trust it.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    constexpr const char* kHex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') result += '\\';
    if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return result + "\"";
}

std::string entry_text(const RootEntry& entry) {
  using Kind = RootEntry::Kind;
  switch (entry.kind) {
    case Kind::Directory: return "directory  " + entry.target;
    case Kind::File:
      return "file       " + entry.target + "  " + std::to_string(entry.source.size()) + " bytes, generated";
    case Kind::Link: return "link       " + entry.target + " -> " + entry.source;
    case Kind::HostTree: return "bind       " + entry.target + "  from " + entry.source + ", ro nosuid nodev private";
    case Kind::Device: return "device     " + entry.target + "  from " + entry.source + ", ro nosuid noexec private";
    case Kind::Tmpfs:
      return "tmpfs      " + entry.target + "  " + std::to_string(entry.bytes) + " bytes, rw nosuid nodev";
    case Kind::Proc: return "proc       " + entry.target + "  subset=pid hidepid=invisible nosuid nodev noexec";
  }
  return "";
}

void section(std::string& text, const std::string& title) { text += "\n" + title + "\n"; }
void line(std::string& text, const std::string& content) { text += "  " + content + "\n"; }

void list_steps(std::string& text, const char* title, std::span<const Step> steps) {
  section(text, title);
  int number = 0;
  for (const Step& step : steps) line(text, std::to_string(++number) + ". " + step.name);
}

std::string part_text(limits::UidPart part) { return std::to_string(static_cast<std::uint32_t>(part)); }

void describe_privileges(std::string& text, const Plan& plan) {
  section(text, "users");
  line(text, "worker  " + std::to_string(kWorkerIdInside) + " inside, the session's range + " +
                 part_text(limits::UidPart::Worker) + " outside");
  line(text, "init    " + std::to_string(kInitIdInside) + " inside, the session's range + " +
                 part_text(limits::UidPart::Init) + " outside; not dumpable");
  line(text, "nothing else is mapped, and no uid 0");
  section(text, "privileges of the worker");
  line(text,
       "capabilities: effective, permitted, inheritable, ambient and bounding set empty; securebits 0xef, locked");
  line(text, std::string("no_new_privs; seccomp filter \"worker\"") +
                 (plan.has_loopback ? " with sockets of TCP and UDP" : "") +
                 "; no user namespaces of its own; a keyring of its own");
  line(text,
       "oom score " + std::to_string(limits::kOomScoreOfHostile) + ": dies before the host where memory is short");
}

void describe_descriptors(std::string& text, const Plan& plan) {
  section(text, "descriptors of the worker");
  line(text, "0 1 2  pipes of the launcher; stdout and stderr together " + std::to_string(plan.output_bytes) +
                 " bytes, what is beyond is dropped");
  if (plan.has_docker) line(text, "3      a stream to the broker's gate, HTTP");
  section(text, "listeners in the sandbox");
  for (const Listener& listener : plan.listeners) line(text, address_text(listener.address));
  if (plan.listeners.empty()) line(text, "none: no session with the broker is opened");
  section(text, "network");
  line(text, plan.has_loopback ? "a loopback of the sandbox's own, and nothing else"
                               : "none: Unix sockets only (sandbox.loopback = true brings a loopback of its own)");
}

// What the broker imposes whatever a client asks for; it is told of each in the answer to its create.
void describe_containers(std::string& text, const ContainerSection& imposed) {
  const auto bytes = [](std::uint64_t amount) { return std::to_string(amount) + " bytes"; };
  char cpus[32];
  char mode[16];
  (void)std::snprintf(cpus, sizeof cpus, "%g", imposed.cpus);
  (void)std::snprintf(mode, sizeof mode, "%o", limits::kTmpMode);
  section(text, "imposed on every container, and said in the answer to its create where a client asks otherwise");
  line(text, "user     the session's range + " + part_text(limits::UidPart::Container) +
                 "; no capabilities, no new privileges, seccomp filter \"container\"");
  line(text, "memory   at most " + bytes(imposed.memory_bytes) + ", no swap, none reserved; oom score " +
                 std::to_string(limits::kOomScoreOfHostile));
  line(text, std::string("cpus     at most ") + cpus + "; no shares or disk weights of its own");
  line(text, "pids     at most " + std::to_string(imposed.pids) + "; ulimits are dockerd's, and core 1");
  line(text, "files    root " + std::string(imposed.read_only ? "read-only" : "writable") + ", /tmp a tmpfs of " +
                 bytes(imposed.tmp_bytes) + ", mode " + mode + ", /dev/shm at most " + bytes(imposed.shm_bytes));
  line(text, "logs     one file of at most " + bytes(imposed.log_bytes));
  line(text, "stop     waits at most " + std::to_string(limits::kMaxStopSeconds) + " s");
  line(text, "runtime  " + imposed.runtime + "; no network; no health checks");
  line(text, "variables of an image that steer container runtimes are taken away");
}

}  // namespace

std::string address_text(const Address& address) {
  if (const auto* tcp = std::get_if<TcpAddress>(&address)) return tcp->address + ":" + std::to_string(tcp->port);
  return "unix:" + std::get<UnixAddress>(address).path;
}

std::string render_plan(const Plan& plan) {
  std::string text = "profile " + plan.profile + "\n";
  section(text, "command");
  for (const std::string& argument : plan.command) line(text, quoted(argument));
  line(text, "in " + quoted(plan.directory) + ", tried as:");
  for (const std::string& program : plan.programs) line(text, "  " + quoted(program));
  section(text, "environment");
  for (const std::string& entry : plan.environment) line(text, quoted(entry));
  section(text, "namespaces, by one clone3");
  for (const Namespace& ns : all_namespaces()) line(text, ns.name);
  line(text, "hostname " + quoted(plan.hostname));
  section(text, "root: an empty tmpfs, nosuid nodev, and ro when it is furnished with");
  for (const RootEntry& entry : plan.root) line(text, entry_text(entry));
  describe_privileges(text, plan);
  describe_descriptors(text, plan);
  if (plan.imposed) describe_containers(text, *plan.imposed);
  section(text, "limits");
  for (const ResourceLimit& limit : plan.limits)
    line(text, std::string(limit.name) + " " + std::to_string(limit.value));
  line(text, plan.time ? "time " + std::to_string(plan.time->count()) + " s" : "time none");
  line(text, plan.grace ? "grace " + std::to_string(plan.grace->count()) + " s between SIGTERM and SIGKILL"
                        : "grace " + std::to_string(limits::kTermGrace.count()) +
                              " s between SIGTERM and SIGKILL where its time is up or the broker stops");
  for (const std::string& limit : plan.not_enforced) line(text, "NOT ENFORCED on this host: " + limit);
  list_steps(text, "steps of init, before the worker", sandbox_steps());
  list_steps(text, "steps of the worker, then exec", worker_steps());
  list_steps(text, "steps of init, beside the worker", init_steps());
  return text;
}

}  // namespace sallyport::launcher
