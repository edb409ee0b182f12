// Each number and text of a create on its own, at its bound; each descriptor of a hello, of a kind that is almost
// right.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/keeper/admission.hpp"
#include "broker/keeper/decide.hpp"
#include "broker/keeper/effective.hpp"
#include "broker/keeper/plan_container.hpp"
#include "honest_create.hpp"
#include "sallyport/syscalls.hpp"

namespace sallyport::keeper {
namespace {

using protocol::CreateContainer;

TEST(CreateNumbers, AreEachRefusedBelowNone) {
  const std::pair<const char*, std::int64_t CreateContainer::*> numbers[] = {{"memory", &CreateContainer::memory},
                                                                             {"cpus", &CreateContainer::nano_cpus},
                                                                             {"pids", &CreateContainer::pids},
                                                                             {"shm", &CreateContainer::shm_bytes}};
  for (const auto& [name, number] : numbers) {
    CreateContainer ask = honest();
    ask.*number = -1;
    const Verdict verdict = decide_create(ask, profile(), {});
    ASSERT_TRUE(verdict) << name;
    EXPECT_EQ(verdict->rule, "HostConfig") << name;
    ask.*number = 0;
    EXPECT_FALSE(decide_create(ask, profile(), {})) << name;
  }
}

TEST(CreateLabels, AreEachPlainTextInKeyAndValue) {
  for (const std::string& bad : {std::string("a\0b", 3), std::string("\xff"), std::string("\xc3")}) {
    CreateContainer ask = honest();
    ask.labels.items = {{{"k"}, {"v"}}};
    EXPECT_FALSE(decide_create(ask, profile(), {}));
    ask.labels.items = {{{"k"}, {"v"}}, {{bad}, {"v"}}};
    EXPECT_TRUE(decide_create(ask, profile(), {}));
    ask.labels.items = {{{"k"}, {"v"}}, {{"l"}, {bad}}};
    EXPECT_TRUE(decide_create(ask, profile(), {}));
  }
}

// One container alone that is larger than the budget of all.
TEST(CreateBudget, OfMemoryIsMetByTheFirstContainerToo) {
  Profile with = profile();
  with.docker->budget.memory_bytes = 50 << 20;
  CreateContainer ask = honest();
  ask.memory = (50 << 20) + 1;
  const Verdict verdict = decide_create(ask, with, {});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rule, "docker.budget.memory");
  ask.memory = 50 << 20;
  EXPECT_FALSE(decide_create(ask, with, {}));
}

TEST(Rate, TellsWhenToComeBack) { EXPECT_EQ(decide_rate("creates", 2, 30)->retry_after, 30U); }

TEST(Volume, AtAPathThatIsNoTextIsRefused) {
  for (const std::string& path : {std::string("/a\xff"), std::string("/a\0b", 4)}) {
    engine::ImageFacts facts = image();
    facts.volumes = {path};
    EXPECT_TRUE(decide_effective(honest(), facts));
  }
}

TEST(Plan, IsOfTheImageThatWasLookedAtAndOfWhatTheProfileGives) {
  ContainerSection section = profile().docker->container;
  section.log_bytes = 3 << 20;
  section.tmp_bytes = 5 << 20;
  section.shm_bytes = 7 << 20;
  section.read_only = true;
  CreateContainer ask = honest();
  ask.shm_bytes = std::int64_t{1} << 40;
  ask.read_only = false;
  const PlanFacts facts{*SessionId::parse("0123456789ab"), "broker", 200'004, false};
  const auto plan = plan_container(ask, section, image(), facts, *ContainerName::parse("db"));
  EXPECT_EQ(plan.image.text(), "sha256:" + std::string(64, 'e'));
  EXPECT_EQ(plan.log_bytes, 3 << 20);
  EXPECT_EQ(plan.tmpfs_bytes, 5 << 20);
  EXPECT_EQ(plan.shm_bytes, 7 << 20);
  EXPECT_TRUE(plan.read_only) << "the client cannot ask for less";
}

// --- descriptors of a hello ---

UniqueFd bound(int domain, int type) {
  UniqueFd fd = UniqueFd::adopt(::socket(domain, type | SOCK_CLOEXEC, 0));
  sockaddr_storage any{};
  any.ss_family = static_cast<sa_family_t>(domain);
  const socklen_t size = domain == AF_UNIX ? sizeof(sa_family_t) : sizeof(sockaddr_storage);
  (void)::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), size);
  (void)::listen(fd.get(), 1);
  return fd;
}
UniqueFd pidfd() { return UniqueFd::adopt(pidfd_open(::getpid())); }

TEST(Descriptors, OfAKindThatIsAlmostRightAreRefused) {
  Profile with = profile();
  handshake::OpenSession hello;
  hello.has_docker = true;
  hello.uid_base = 300'000;
  const auto check = [&](UniqueFd lock, UniqueFd listener) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd other = UniqueFd::adopt(ends[1]);
    std::vector<UniqueFd> fds;
    fds.push_back(pidfd());
    fds.push_back(pidfd());
    fds.push_back(std::move(lock));
    fds.push_back(std::move(listener));
    fds.push_back(UniqueFd::adopt(ends[0]));
    return check_descriptors(hello, with, std::move(fds)).has_value();
  };
  const auto file = [] { return UniqueFd::adopt(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)); };
  const auto listener = [] { return bound(AF_UNIX, SOCK_STREAM); };
  EXPECT_TRUE(check(file(), listener()));
  EXPECT_FALSE(check(UniqueFd::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC)), listener())) << "a device for the lock";
  EXPECT_FALSE(check(pidfd(), listener())) << "a pidfd for the lock";
  EXPECT_FALSE(check(file(), bound(AF_INET, SOCK_STREAM))) << "an internet socket that listens";
  EXPECT_FALSE(check(file(), bound(AF_UNIX, SOCK_SEQPACKET))) << "a listener of messages";
}

}  // namespace
}  // namespace sallyport::keeper
