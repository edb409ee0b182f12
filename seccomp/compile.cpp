#include "seccomp/compile.hpp"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include "sallyport/unique_fd.hpp"
#include "seccomp/container_profile.hpp"
#include "seccomp/emulate.hpp"

namespace sallyport::seccomp {
namespace {

constexpr int kLastCallNumber = 512;  // x86-64 has calls up to 470 or so; x32's own begin at 512

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

std::uint32_t libseccomp_action(Verdict verdict) {
  switch (verdict.action) {
    case Action::Allow: return SCMP_ACT_ALLOW;
    case Action::Errno: return SCMP_ACT_ERRNO(verdict.error);
    case Action::Kill: return SCMP_ACT_KILL_PROCESS;
  }
  return SCMP_ACT_KILL_PROCESS;
}

Result<int> number_of(const char* call) {
  const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, call);
  if (number < 0) return fail(std::string("no such system call on x86-64: ") + call);
  return number;
}

Result<> add(scmp_filter_ctx context, const Profile& profile, const Row& row, const Row* first_condition_row) {
  const int number = TRY(number_of(row.call));
  const std::uint32_t action = libseccomp_action(row.verdict);
  if (action == libseccomp_action(profile.unlisted))
    return {};  // libseccomp refuses rules that say what the default says
  std::array<scmp_arg_cmp, 3> arguments{};
  unsigned count = row.count;
  if (row.kind == Kind::Otherwise) {
    if (first_condition_row == nullptr) return fail(std::string("otherwise without a condition: ") + row.call);
    // "Any value" that libseccomp does not merge into an unconditional rule, which would swallow the others; it sorts
    // comparisons of this kind after the masked ones. check() holds it to that.
    arguments[0] = {first_condition_row->conditions[0].argument, SCMP_CMP_GE, 0, 0};
    count = 1;
  } else {
    for (unsigned i = 0; i < count; ++i) {
      const Condition& condition = row.conditions[i];
      arguments[i] = {condition.argument, SCMP_CMP_MASKED_EQ, condition.mask, condition.value};
    }
  }
  const int outcome = seccomp_rule_add_array(context, action, number, count, arguments.data());
  if (outcome != 0) return fail_errno(std::string("add the rule for ") + row.call, -outcome);
  return {};
}

const Row* first_condition(const Profile& profile, std::string_view call) {
  for (const Rows& rows : profile.groups)
    for (const Row& row : rows)
      if (call == row.call && row.kind == Kind::If) return &row;
  return nullptr;
}

Result<std::vector<sock_filter>> export_program(scmp_filter_ctx context) {
  const UniqueFd file = UniqueFd::adopt(memfd_create("filter", MFD_CLOEXEC));
  if (!file) return fail_errno("make a file in memory");
  if (const int outcome = seccomp_export_bpf(context, file.get()); outcome != 0)
    return fail_errno("export the filter", -outcome);
  const off_t size = lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<std::size_t>(size) / sizeof(sock_filter));
  if (pread(file.get(), program.data(), static_cast<std::size_t>(size), 0) != size)
    return fail_errno("read the filter");
  return program;
}

Result<> check_one(const Profile& profile, const std::vector<sock_filter>& program, const char* call, int number,
                   const std::array<std::uint64_t, 6>& arguments) {
  seccomp_data data{};
  data.nr = number;
  data.arch = AUDIT_ARCH_X86_64;
  std::ranges::copy(arguments, data.args);
  const Verdict meant = call != nullptr ? judge(profile, call, arguments) : profile.unlisted;
  if (emulate(program, data) == return_value(meant)) return {};
  std::string where = std::string(profile.name) + ": the filter differs from the table at ";
  where += call != nullptr ? call : std::to_string(number);
  for (const std::uint64_t argument : arguments) where += " " + std::to_string(argument);
  return fail(std::move(where));
}

// Every combination of interesting values of the arguments that some row looks at.
Result<> check_call(const Profile& profile, const std::vector<sock_filter>& program, const char* call, int number) {
  std::array<std::set<std::uint64_t>, 6> values;
  for (auto& set : values) set = {0};
  for (const Rows& rows : profile.groups) {
    for (const Row& row : rows) {
      if (std::string_view(call) != row.call) continue;
      for (unsigned i = 0; i < row.count; ++i) {
        const auto [argument, value, mask] = row.conditions[i];
        for (const std::uint64_t low : {value, value + 1, value - 1, ~value, value | ~mask, 0U, 0xffffffffU}) {
          values[argument].insert(low & 0xffffffff);
          values[argument].insert((low & 0xffffffff) | 0x1'0000'0000);
          values[argument].insert(low | 0xffff'ffff'0000'0000);
        }
      }
    }
  }
  std::array<std::uint64_t, 6> arguments{};
  for (const std::uint64_t first : values[0])
    for (const std::uint64_t second : values[1])
      for (const std::uint64_t third : values[2]) {
        arguments = {first, second, third, 0, 0, 0};
        TRY(check_one(profile, program, call, number, arguments));
      }
  for (std::size_t i = 3; i < values.size(); ++i)
    if (values[i].size() > 1)
      return fail(std::string("conditions on the fourth to sixth argument are not checked: ") + call);
  return {};
}

void append_condition(std::string& json, const Condition& condition) {
  json += R"({"index":)" + std::to_string(condition.argument) + R"(,"value":)" + std::to_string(condition.mask) +
          R"(,"valueTwo":)" + std::to_string(condition.value) + R"(,"op":"SCMP_CMP_MASKED_EQ"})";
}

}  // namespace

std::uint32_t return_value(Verdict verdict) {
  switch (verdict.action) {
    case Action::Allow: return SECCOMP_RET_ALLOW;
    case Action::Errno: return SECCOMP_RET_ERRNO | verdict.error;
    case Action::Kill: return SECCOMP_RET_KILL_PROCESS;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

Result<std::vector<sock_filter>> compile(const Profile& profile) {
  const Context context(seccomp_init(libseccomp_action(profile.unlisted)), &seccomp_release);
  if (!context) return fail("make a filter: libseccomp refused");
  // Native architecture only: others, and x32's numbers, take the action for a foreign one.
  if (seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0 ||
      seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0)
    return fail("make a filter: libseccomp is older than 2.5");
  for (const Rows& rows : profile.groups)
    for (const Row& row : rows) TRY(add(context.get(), profile, row, first_condition(profile, row.call)));
  return export_program(context.get());
}

Result<> check(const Profile& profile, const std::vector<sock_filter>& program) {
  std::vector<const char*> names(kLastCallNumber, nullptr);
  for (const Rows& rows : profile.groups)
    for (const Row& row : rows) names[static_cast<std::size_t>(TRY(number_of(row.call)))] = row.call;
  for (int number = 0; number < kLastCallNumber; ++number) {
    const char* call = names[static_cast<std::size_t>(number)];
    if (call == nullptr) TRY(check_one(profile, program, nullptr, number, {}));
    if (call != nullptr) TRY(check_call(profile, program, call, number));
    seccomp_data x32{};
    x32.nr = number | 0x40000000;
    x32.arch = AUDIT_ARCH_X86_64;
    seccomp_data i386{};
    i386.nr = number;
    i386.arch = AUDIT_ARCH_I386;
    if (emulate(program, x32) != SECCOMP_RET_KILL_PROCESS || emulate(program, i386) != SECCOMP_RET_KILL_PROCESS)
      return fail(std::string(profile.name) + ": a foreign architecture is not killed");
  }
  return {};
}

Result<std::string> render_container_profile() {
  std::string json = R"({"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":[)";
  for (const std::string_view call : kContainerCalls) {
    TRY(number_of(std::string(call).c_str()));
    json += "\"" + std::string(call) + "\",";
  }
  json.back() = ']';
  json += R"(,"action":"SCMP_ACT_ALLOW"})";
  for (const Row& row : kContainerRows) {
    TRY(number_of(row.call));
    json += R"(,{"names":[")" + std::string(row.call) + R"("],"action":)";
    json += row.verdict == kAllow ? R"("SCMP_ACT_ALLOW")"
                                  : R"("SCMP_ACT_ERRNO","errnoRet":)" + std::to_string(row.verdict.error);
    if (row.count > 0) {
      json += R"(,"args":[)";
      append_condition(json, row.conditions[0]);
      json += "]";
    }
    json += "}";
  }
  return json + "]}";
}

}  // namespace sallyport::seccomp
