"""What `sallyport plan` names, provoked: the list of namespaces, mount flags, limits and filters is read from the plan, and an item
without a provocation fails. A provocation is made here, or is another test, which must be there. Each of those here is made with
the defence off, too, where the kernel lets it be off, and must succeed then."""
import ctypes
import errno
import mmap
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest
from support import launcher, places, sandbox
from support.fork_as import forked
from support.processes import command_of, wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
NOBODY = 64999
WORKER, INIT = 1000, 999  # inside
# x86-64's numbers
MOUNT_NAMESPACE, IPC_NAMESPACE, USER_NAMESPACE = 0x20000, 0x8000000, 0x10000000
FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8}  # mount(2)
REMOUNT_BIND = 32 | 4096
MQ_OPEN, MQ_UNLINK = 240, 241
WHO = '#include <stdio.h>\n#include <unistd.h>\nint main(void) { return printf("%d", geteuid()) < 0; }\n'


def plan_of(own, profile) -> dict:
    """Lines by the title of their section."""
    text = subprocess.run([places.program("sallyport"), "plan", *own.options, profile], capture_output=True, text=True, check=True).stdout
    sections = (part.split("\n") for part in text.strip().split("\n\n"))
    return {title: [line[2:] for line in lines] for title, *lines in sections}


def section(plan, begin) -> tuple:
    """(title, lines) of the one whose title begins so."""
    (found,) = [(title, lines) for title, lines in plan.items() if title.startswith(begin)]
    return found


FURNITURE = {"directory", "file", "link"}  # of the root itself, whose flags they have


def mounts_of(plan) -> dict:
    """What the plan says of each: {place: (kind, set of flags and options)}."""
    title, lines = section(plan, "root: ")
    mounts = {"/": ("root", {word.strip(",") for word in title.split()} & set(FLAGS))}
    for line in lines:
        kind, place, rest = re.fullmatch(r"(\w+) +(\S+)(.*)", line).groups()
        if kind not in FURNITURE:
            words = re.fullmatch(r"(?:  from \S+,)?(?:  \d+ (bytes),)?  ?(.*)", rest).groups()
            mounts[place] = (kind, {*words[1].split(), *([words[0]] if words[0] else [])})
    return mounts


def items_of(plan) -> set:
    items = {("namespace", line) for line in section(plan, "namespaces")[1] if not line.startswith("hostname")}
    items |= {(kind, flag) for kind, flags in mounts_of(plan).values() for flag in flags}
    for line in section(plan, "limits")[1]:
        if not line.startswith("NOT ENFORCED"):
            items.add(("limit", re.fullmatch(r"(.*?) (?:\d+|none)(?: s\b.*)?", line)[1]))
    items |= {("filter", name) for name in re.findall(r'seccomp filter "(\w+)"', " ".join(section(plan, "privileges of the worker")[1]))}
    return items


# --- a sandbox whose every mount holds what an attack wants ---
class Rooted:
    """`probe` on every mount that can hold it: a program that is init's, setuid, and says who runs it; a device beside it."""

    def __init__(self, own):
        root = own.directory / "flags"
        (root / "bin").mkdir(parents=True)
        (root / "srv").mkdir()
        shutil.copy("/bin/busybox", root / "bin/busybox")
        probe = launcher.static_program(root, "file", WHO)
        own.profile("flagged", sandbox={"root": str(root), "tmp": "16MiB"})
        self.plan = plan_of(own, "flagged")
        self.run = sandbox.Run(own, "flagged", ["/bin/busybox", "sleep", "600"])
        wait_until(lambda: command_of(self.run.worker_pid) == "/bin/busybox sleep 600", 10, f"no worker: {self.run.stderr}")
        self.pid = self.run.worker_pid
        program = pathlib.Path(probe).read_bytes()
        for place in ("bin/probe", "srv/probe", "file"):
            (root / place).write_bytes(program)
            os.chown(root / place, self.run.uid_base, self.run.uid_base)
            (root / place).chmod(0o4755)
        for place in ("bin/device", "srv/device"):
            os.mknod(root / place, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            (root / place).chmod(0o666)
        for place in ("/", "/tmp", "/dev/shm"):
            assert self.inside(lambda place=place: self.leave(f"{place}/probe", program), INIT, cleared=(place, "ro")) == 0, place

    @staticmethod
    def leave(path, program):
        if not os.path.exists(path):
            pathlib.Path(path).write_bytes(program)
        os.chmod(path, 0o4755)

    def inside(self, act, uid=WORKER, cleared=None):
        """What act() answers, or its errno, as that user of the sandbox, but without the worker's filter and no_new_privs. `cleared`:
        (place, flag), in a copy of its mounts where that one is without the flag."""
        spaces = [os.open(f"/proc/{self.pid}/ns/{name}", os.O_RDONLY) for name in ("user", "mnt")]
        place, flag = cleared or ("/", None)
        kept = sum(FLAGS[name] for name in self.flags(place) - {flag})

        def enter():
            for space in spaces:
                assert LIBC.setns(space, 0) == 0, os.strerror(ctypes.get_errno())
            os.chdir("/")
            if cleared:
                assert LIBC.unshare(MOUNT_NAMESPACE) == 0
                assert LIBC.mount(None, place.encode(), None, REMOUNT_BIND | kept, None) == 0, os.strerror(ctypes.get_errno())
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)

        def outcome():
            try:
                return act() or 0
            except OSError as error:
                return error.errno
        answer = forked(outcome, prepare=enter)
        for space in spaces:
            os.close(space)
        return answer["value"]

    def flags(self, place) -> set:
        """As the kernel has them."""
        lines = pathlib.Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()
        (found,) = [line.split()[5].split(",") for line in lines if line.split()[4] == place]
        return set(found) & set(FLAGS)


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        yield made


@pytest.fixture(scope="module")
def rooted(own):
    made = Rooted(own)
    with made.run:
        yield made


@pytest.fixture(scope="module")
def seat(own):
    own.profile("plain", sandbox={"hostname": "cell"})
    with sandbox.Worker(own, "plain") as worker:
        yield worker


# --- flags: each on every mount that the plan says has it ---
def changes(place):
    """A change of the mode that it has: asked of the mount before it is asked of the file."""
    os.chmod(place, stat.S_IMODE(os.stat(place).st_mode))


def runs_setuid(place):
    probe = place if place == "/file" else f"{place}/probe"
    return int(subprocess.run([probe], capture_output=True, check=True).stdout)


def opens_device(place):
    os.close(os.open(f"{place}/device", os.O_RDONLY))


def maps_code(place):
    file = os.open("/proc/self/status" if place == "/proc" else place, os.O_RDONLY)
    mmap.mmap(file, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()


def fills(place, size):
    file = os.open(f"{place}/big", os.O_WRONLY | os.O_CREAT)
    os.unlink(f"{place}/big")
    os.posix_fallocate(file, 0, size)


def on_each(rooted, kind, flag, act, answer):
    """The attack must be answered so, and otherwise where this flag alone is off."""
    places_of = [place for place, (its, flags) in mounts_of(rooted.plan).items() if its == kind and flag in flags]
    assert places_of, f"no {kind} of the plan is {flag}"
    for place in places_of:
        assert flag in rooted.flags(place), place
        assert rooted.inside(lambda: act(place)) == answer, place
        without = rooted.inside(lambda: act(place), cleared=(place, flag))
        assert without != answer, f"{place}: without {flag} the attack must succeed, or this proves nothing"


def flag_of(kind, flag, act, answer):
    return lambda rooted: on_each(rooted, kind, flag, act, answer)


def is_set(kind, flag):
    """Only that it is there: beside it stands why it cannot be provoked."""
    def look(rooted):
        found = [place for place, (its, flags) in mounts_of(rooted.plan).items() if its == kind and flag in flags]
        assert found and all(flag in rooted.flags(place) for place in found), found
    return look


def trees_hold_no_devices(rooted):
    for place in ("/bin", "/srv"):
        assert rooted.inside(lambda: opens_device(place)) == errno.EACCES, place
        assert rooted.inside(lambda: opens_device(place), cleared=(place, "nodev")) == 0, place


def tmpfs_is_writable_up_to_its_size(rooted):
    for place, (kind, _) in mounts_of(rooted.plan).items():
        if kind == "tmpfs":
            assert rooted.inside(lambda: fills(place, (16 << 20) + 4096)) == errno.ENOSPC, place
            assert rooted.inside(lambda: fills(place, 8 << 20)) == 0, place


# --- namespaces ---
def users_are_its_own(seat):
    """A uid of the host's that is not mapped is no uid at all; unmapped, root's files are nobody's."""
    asks = "import os\ntry: os.setuid(0); result = 'root'\nexcept OSError as error: result = error.errno"
    assert seat.do(asks) == errno.EINVAL
    assert forked(lambda: os.setuid(0), uid=NOBODY)["errno"] == errno.EPERM, "where it is one it is only not allowed"
    assert seat.do("import os; result = os.stat('/usr').st_uid") == 65534 and os.stat("/usr").st_uid == 0


def processes_are_its_own(seat):
    asks = "import os\ntry: os.kill(args['pid'], 0); result = 0\nexcept OSError as error: result = error.errno"
    assert seat.do(asks, pid=os.getpid()) == errno.ESRCH
    assert forked(lambda: os.kill(os.getppid(), 0), uid=NOBODY)["errno"] == errno.EPERM, "where it is seen it is only not allowed"


def names_are_its_own(seat):
    assert seat.do("import socket; result = socket.gethostname()") == "cell" != socket.gethostname()


def shared_memory_is_its_own(seat):
    """Past the filter, which has no such calls at all."""
    identity = LIBC.shmget(0, 4096, 0o1000 | 0o666)
    space = os.open(f"/proc/{seat.worker_pid}/ns/ipc", os.O_RDONLY)
    LIBC.shmat.restype = ctypes.c_ssize_t

    def attach():
        return "attached" if LIBC.shmat(identity, None, 0o10000) != -1 else ctypes.get_errno()
    try:
        assert forked(attach)["value"] == "attached"
        assert forked(attach, prepare=lambda: LIBC.setns(space, IPC_NAMESPACE))["value"] == errno.EINVAL
    finally:
        os.close(space)
        LIBC.shmctl(identity, 0, None)


def cgroups_are_its_own(own):
    """Whose launcher is in one sees its own, not where in the host's tree that lies."""
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(f"{mount}/cgroup.controllers"):
            break
    else:
        pytest.skip("no cgroup2 hierarchy is mounted")
    place = pathlib.Path(mount) / f"sallyport-plan-{os.getpid()}"
    place.mkdir()
    asks = ["/usr/bin/grep", "^0::", "/proc/self/cgroup"]

    def enter():
        (place / "cgroup.procs").write_text(str(os.getpid()))
    try:
        assert subprocess.run(asks, capture_output=True, text=True, preexec_fn=enter).stdout == f"0::/{place.name}\n"
        done = subprocess.run(launcher.command(own, "plain", *asks), capture_output=True, text=True, preexec_fn=enter)
        assert done.stdout == "0::/\n", done
    finally:
        wait_until(lambda: not (place / "cgroup.procs").read_text(), 10, "processes stay in the cgroup")
        place.rmdir()


# --- limits ---
def limit_of(seat, name) -> int:
    line = next(line for line in pathlib.Path(f"/proc/{seat.worker_pid}/limits").read_text().splitlines() if line.startswith(name))
    soft, hard = line[26:].split()[:2]
    assert soft == hard, line
    return int(soft)


def no_message_queue(seat):
    """Past the filter, which has no such calls at all."""
    name = f"plan-{os.getpid()}".encode()

    def opens(limit):
        def act():
            if LIBC.syscall(MQ_OPEN, name, os.O_CREAT | os.O_RDWR, 0o600, None) < 0:
                return ctypes.get_errno()
            LIBC.syscall(MQ_UNLINK, name)
            return "opened"
        return forked(act, uid=NOBODY, prepare=lambda: resource_limit(12, limit))["value"]
    assert opens(819200) == "opened"
    assert opens(limit_of(seat, "Max msgqueue size")) == errno.EMFILE


def resource_limit(number, value):
    assert LIBC.prlimit(0, number, (ctypes.c_uint64 * 2)(value, value), None) == 0


def one_with_limit(number, value) -> dict:
    """For forked(): a user with such a limit, or, where it cannot be raised, root, who needs none."""
    can = "value" in forked(lambda: resource_limit(number, value))
    return {"uid": NOBODY, "prepare": lambda: resource_limit(number, value)} if can else {}


def no_nice_below_0(seat):
    asks = "import os\ntry: os.setpriority(0, 0, -1); result = 0\nexcept OSError as error: result = error.errno"
    assert seat.do(asks) == errno.EACCES
    assert "value" in forked(lambda: os.setpriority(0, 0, -1), **one_with_limit(13, 40))


def no_real_time(seat):
    def takes():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    asks = "import os\ntry: os.sched_setscheduler(0, 1, os.sched_param(1)); result = 0\nexcept OSError as error: result = error.errno"
    assert seat.do(asks) == errno.EPERM
    if "value" not in forked(takes):
        pytest.skip("not even root has real time here (a cgroup v1 without time for it)")
    assert "value" in forked(takes, **one_with_limit(14, 1))


NO_PROGRAM = "nothing there can be executed"
OF_ITSELF = "the kernel gives it to what is mounted in a user namespace and to /proc, with the flag or without (SB_I_NODEV, SB_I_NOEXEC)"
IN_KERNEL = "tests/limits/test_kernel.py::test_a_program_in_the_sandbox_meets_its_limits_as_errors_of_the_kernel"
IN_VM = "tests/vm/guest/check.py::a_crash_of_the_worker_runs_no_core_handler"
NO_EVENT = "tests/integration/test_launcher_processes.py::test_no_event_of_the_hosts_mounts_comes_in_where_the_host_shares_them"
NOT_THERE = "tests/integration/test_launcher_seat.py::test_the_host_is_not_there"
ENDS = "tests/integration/test_launcher_run.py::test_the_time_limit_terms_and_then_kills"
ROWS = "tests/unit/seccomp/rows_test.cpp::IsWhatTheKernelAnswersUnderTheFilter"
INSTALLED = "tests/integration/test_launcher_processes.py::test_init_and_worker_run_under_the_filters_that_are_made_for_them"

# Functions are made by the test below; a string is another test; a reason stands beside what cannot be provoked.
PROVOCATIONS = {
    ("namespace", "user"): users_are_its_own,
    ("namespace", "pid"): processes_are_its_own,
    ("namespace", "mount"): "tests/attack/test_launcher_attacks.py::test_nobody_walks_out_by_a_directory_or_by_the_working_directory",
    ("namespace", "network"): "tests/attack/test_launcher_attacks.py::test_abstract_sockets_and_the_loopback_of_the_host_are_out_of_reach",
    ("namespace", "ipc"): shared_memory_is_its_own,
    ("namespace", "uts"): names_are_its_own,
    ("namespace", "cgroup"): cgroups_are_its_own,
    ("root", "ro"): flag_of("root", "ro", changes, errno.EROFS),
    ("root", "nosuid"): flag_of("root", "nosuid", runs_setuid, WORKER),
    ("root", "nodev"): (is_set("root", "nodev"), OF_ITSELF),
    ("bind", "ro"): flag_of("bind", "ro", changes, errno.EROFS),
    ("bind", "nosuid"): flag_of("bind", "nosuid", runs_setuid, WORKER),
    ("bind", "nodev"): trees_hold_no_devices,
    ("bind", "private"): NO_EVENT,
    ("device", "ro"): flag_of("device", "ro", changes, errno.EROFS),
    ("device", "nosuid"): (is_set("device", "nosuid"), NO_PROGRAM),
    ("device", "noexec"): flag_of("device", "noexec", maps_code, errno.EPERM),
    ("device", "private"): NO_EVENT,
    ("tmpfs", "rw"): tmpfs_is_writable_up_to_its_size,
    ("tmpfs", "bytes"): tmpfs_is_writable_up_to_its_size,
    ("tmpfs", "nosuid"): flag_of("tmpfs", "nosuid", runs_setuid, WORKER),
    ("tmpfs", "nodev"): (is_set("tmpfs", "nodev"), OF_ITSELF),
    ("proc", "subset=pid"): NOT_THERE,
    ("proc", "hidepid=invisible"): NOT_THERE,
    ("proc", "nosuid"): (is_set("proc", "nosuid"), NO_PROGRAM),
    ("proc", "nodev"): (is_set("proc", "nodev"), OF_ITSELF),
    ("proc", "noexec"): (is_set("proc", "noexec"), OF_ITSELF),
    ("limit", "core file bytes"): IN_VM,
    ("limit", "open files"): IN_KERNEL,
    ("limit", "locked memory"): IN_KERNEL,
    ("limit", "message queues"): no_message_queue,
    ("limit", "pending signals"): IN_KERNEL,
    ("limit", "real-time priority"): no_real_time,
    ("limit", "nice below 0"): no_nice_below_0,
    ("limit", "processes"): IN_KERNEL,
    ("limit", "time"): ENDS,
    ("limit", "grace"): ENDS,
    ("filter", "worker"): (ROWS, INSTALLED),
}


def test_every_item_of_a_plan_has_a_provocation_and_none_is_of_no_plan(own, rooted):
    own.profile("all", sandbox={"loopback": True, "readable": [str(own.directory)]}, limits={"pids": 20, "memory": "1GiB", "time": "1h"},
                docker={}, forwards=[{"listen": "127.0.0.1:7000", "to": "127.0.0.1:9"}])
    items = items_of(plan_of(own, "all")) | items_of(rooted.plan)
    assert sorted(items - set(PROVOCATIONS)) == [], "the plan names what no test provokes"
    assert sorted(set(PROVOCATIONS) - items) == [], "no plan names this any more"


def test_a_mount_has_no_fewer_flags_than_the_plan_says_and_is_of_the_plan(seat, own):
    planned = mounts_of(plan_of(own, "plain"))
    lines = [line.split() for line in pathlib.Path(f"/proc/{seat.worker_pid}/mountinfo").read_text().splitlines()]
    seen = {line[4]: set(line[5].split(",")) for line in lines}
    assert set(seen) == set(planned)
    for place, (_, flags) in planned.items():
        assert flags & {*FLAGS, "rw"} <= seen[place], place


@pytest.mark.parametrize("item", PROVOCATIONS, ids=lambda item: " ".join(item).replace(" ", "-"))
def test_an_item_of_the_plan(request, item):
    provocation = PROVOCATIONS[item]
    for part in provocation if isinstance(provocation, tuple) else (provocation,):
        if callable(part):
            what = part.__code__.co_varnames[0]
            part(request.getfixturevalue(what))
        elif "::" in part:
            path, _, name = part.partition("::")
            text = (places.ROOT / path).read_text()
            assert re.search(rf"\bdef {name}\(" if path.endswith(".py") else rf"TEST_P\(\w+, {name}\)", text), part
