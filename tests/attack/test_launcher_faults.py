"""Each process of a launch makes the calls of its steps, in order; and every call by which the sandbox is built fails once, by
injection: the worker must not run, and the error must say so. Lesson of launchers that went on when a step had failed."""
import json
import os
import re
import shutil
import subprocess

import pytest
from support import launcher

# By all processes of a launch. Calls that may fail without weakening anything are not here (close, poll, and the like).
CALLS = ["close_range", "prctl", "setgroups", "setresgid", "setresuid", "capget", "capset", "mount", "mkdir", "symlink", "open_tree",
         "mount_setattr", "move_mount", "pivot_root", "umount2", "chdir", "sethostname", "keyctl", "setsid", "dup2", "prlimit64",
         "rt_sigaction", "rt_sigprocmask", "seccomp", "clone3", "socket", "ioctl", "flock", "pipe2", "fchown", "socketpair", "signalfd4",
         "sched_getattr", "getpriority", "ioprio_get", "personality"]
# The first call of the program itself, after the worker's eight limits; the launcher's second look whether its stdin is a terminal.
HARMLESS = {("prlimit64", 9), ("ioctl", 2)}
# A launcher that cannot be root again after the clone is no longer what it was started as: it ends without a word.
SILENT = {("setresuid", 2)}


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        made.profile("plain", limits={"pids": 100}, sandbox={"loopback": True})
        yield made


def traced(own, options, status) -> subprocess.CompletedProcess:
    with open(status, "wb") as file:
        number = file.fileno()
        return subprocess.run(["strace", "-f", "-qq", "-o", str(own.directory / "trace"), *options, "--",
                               *launcher.command(own, "plain", "/bin/busybox", "echo", "it ran", options=["--status-fd", str(number)])],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=[number], timeout=60)


@pytest.mark.parametrize("call", CALLS)
def test_a_launch_in_which_a_call_fails_runs_no_worker(own, call):
    if shutil.which("strace") is None:
        pytest.fail("strace is missing: run scripts/setup")
    status = own.directory / "status"
    whole = traced(own, ["-e", f"trace={call},execve"], status)
    assert whole.returncode == 0 and whole.stdout == "it ran\n", whole
    before_exec = (own.directory / "trace").read_text()
    lines = [line for line in before_exec.splitlines() if re.search(rf"\b{call}\(", line)]
    assert lines, f"{call} is not called: take it out of the list"
    processes = {}
    for line in lines:
        processes.setdefault(line.split()[0], 0)
        processes[line.split()[0]] += 1
    most = max(processes.values())
    survived = []
    for when in range(1, most + 1):  # counted by strace for each process apart
        if (call, when) in HARMLESS:
            continue
        done = traced(own, ["-e", f"trace={call}", "-e", f"inject={call}:error=EPERM:when={when}"], status)
        if "it ran" in done.stdout:
            survived.append(when)
            continue
        ended = json.loads(status.read_text() or "{}")
        assert done.returncode == 125 and (ended.get("reason") or (call, when) in SILENT), (call, when, done, ended)
    assert survived == [], f"the worker ran although {call} had failed, at the occurrences {survived}"


def test_a_worker_is_not_of_the_group_with_which_its_caller_shares_a_core(own):
    """Where a kernel, as strace plays it here, says that the launcher has such a cookie, init asks for one of its own."""
    asks = re.compile(r"(\d+) +prctl\((?:PR_SCHED_CORE|0x3e[^,]*), (?:PR_SCHED_CORE_GET|0),")
    makes = re.compile(r"\d+ +prctl\((?:PR_SCHED_CORE|0x3e[^,]*), (?:PR_SCHED_CORE_CREATE|0x1), 0.* = (-?\d+)", re.M)
    trace = own.directory / "trace"
    assert traced(own, ["-e", "trace=prctl"], own.directory / "status").stdout == "it ran\n"
    lines = trace.read_text().splitlines()
    assert not makes.search(trace.read_text()), "where the caller has none neither has the worker"
    at, process = next((number, match[1]) for number, match in enumerate(map(asks.match, lines)) if match)
    when = sum(line.split()[0] == process for line in lines[:at + 1])
    done = traced(own, ["-e", "trace=prctl", "-e", f"inject=prctl:retval=0:poke_exit=@arg5=0700000000000000:when={when}"],
                  own.directory / "status")
    made = makes.search(trace.read_text())
    assert made, trace.read_text()
    if made[1] == "0":
        assert done.stdout == "it ran\n", done
    else:  # this kernel has no such groups
        assert done.returncode == 125 and "take a usual place" in done.stderr and done.stdout == "", done


# What each process must have called, in this order, whatever it calls besides (regular expressions at the start of a call).
# Several do one thing in two processes, so that the one being there says nothing of the other.
NO_CAPABILITIES = r"capset\(.*\{effective=0, permitted=0, inheritable=0\}"
HIDDEN, LOCKED_BITS = r"prctl\(PR_SET_DUMPABLE, SUID_DUMP_DISABLE", r"prctl\(PR_SET_SECUREBITS, SECBIT_NOROOT\|.*_LOCKED"
FOLLOWS = [HIDDEN, r"prctl\(PR_SET_PDEATHSIG, SIGKILL"]
FILTER = [r"prctl\(PR_SET_NO_NEW_PRIVS, 1", r"seccomp\(SECCOMP_SET_MODE_FILTER, 0, "]
TREE = r"mount_setattr\(\d+, \"\", AT_EMPTY_PATH%s, \{attr_set=MOUNT_ATTR_RDONLY\|MOUNT_ATTR_NOSUID\|%s, attr_clr=0, propagation=MS_PRIVATE"
LOCKED = r"write\(\d+, \"l\", 1"
STEPS = {
    "launcher": [r"close_range\(3, \d+, 0", r"rt_sigaction\(SIGCHLD, \{sa_handler=SIG_DFL", r"rt_sigaction\(SIGPIPE, \{sa_handler=SIG_IGN",
                 r"rt_sigprocmask\(SIG_SETMASK, \[HUP INT QUIT USR1 USR2 TERM WINCH\]", r"flock\(\d+, LOCK_EX\|LOCK_NB",
                 r"open_tree\(AT_FDCWD, \"/usr\", OPEN_TREE_CLONE\|OPEN_TREE_CLOEXEC\|AT_SYMLINK_NOFOLLOW\|AT_RECURSIVE",
                 TREE % (r"\|AT_RECURSIVE", "MOUNT_ATTR_NODEV"),
                 *[r"open_tree\(AT_FDCWD, \"/dev/\w+\", .*NOFOLLOW[) ]", TREE % ("", "MOUNT_ATTR_NOEXEC")] * 5,
                 *[r"fchown\(\d+, (\d+), \1"] * 3, r"setresuid\(-1, [1-9]\d+, -1",
                 r"clone3\(\{flags=CLONE_PIDFD\|CLONE_NEWNS\|CLONE_NEWCGROUP\|CLONE_NEWUTS\|CLONE_NEWIPC\|CLONE_NEWUSER\|CLONE_NEWPID\|"
                 r"CLONE_NEWNET\|CLONE_CLEAR_SIGHAND", r"setresuid\(-1, 0, -1",
                 *[r"write\(\d+, \"1000 \d+ 1\\n999 \d+ 1\\n\""] * 2,
                 r"openat\(AT_FDCWD, \"/proc/\d+/oom_score_adj\"", r"write\(\d+, \"1000\", 4"],
    "init": [r"close_range\(.*4294967295, 0", *FOLLOWS, r"sched_getattr\(0, ", r"getpriority\(PRIO_PROCESS, 0", r"ioprio_get\(",
             r"personality\(PER_LINUX", r"prctl\(PR_GET_TIMERSLACK", r"prctl\(PR_GET_MEMORY_MERGE|prctl\(0x44", r"prctl\((?:PR_SCHED_CORE|0x3e)",
             r"openat\(AT_FDCWD, \"/proc/sys/user/max_user_namespaces\"", r"write\(\d+, \"0\", 1",
             r"mount\(NULL, \"/\", NULL, MS_REC\|MS_PRIVATE", r"openat\(AT_FDCWD, \"/proc/sys/net/ipv4/tcp_rmem\"",
             r"write\(\d+, \"4096 ", r"openat\(AT_FDCWD, \"/proc/sys/net/ipv4/tcp_wmem\"", r"write\(\d+, \"4096 ", r"ioctl\(\d+, SIOCSIFFLAGS, \{ifr_name=\"lo\"", r"sethostname\(",
             r"keyctl\(KEYCTL_JOIN_SESSION_KEYRING, NULL", r"setgroups\(0, NULL", r"setresgid\(999, 999, 999", r"setresuid\(999, 999, 999",
             *FOLLOWS, r"mount\(\"sandbox\", \"/tmp\", \"tmpfs\", MS_NOSUID\|MS_NODEV", r"chdir\(\"/tmp\"",
             r"mount\(\"tmpfs\", \"tmp\", \"tmpfs\", MS_NOSUID\|MS_NODEV, \"mode=1777,size=\d+,nr_inodes=\d+\"",
             r"mount\(\"proc\", \"proc\", \"proc\", MS_NOSUID\|MS_NODEV\|MS_NOEXEC, \"hidepid=invisible,subset=pid\"",
             r"pivot_root\(\".\", \".\"", r"umount2\(\".\", MNT_DETACH", r"chdir\(\"/\"",
             r"mount_setattr\(AT_FDCWD, \"/\", 0, \{attr_set=MOUNT_ATTR_RDONLY,", r"prctl\(PR_CAPBSET_DROP, CAP_CHOWN",
             r"prctl\(PR_CAPBSET_DROP, CAP_CHECKPOINT_RESTORE", r"prctl\(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL", LOCKED_BITS,
             r"signalfd4\(-1, \[CHLD\]", r"pipe2\(", r"clone3\(\{flags=CLONE_PIDFD\|CLONE_CLEAR_SIGHAND,", *[rf"close\({number}\b" for number in range(3)],
             r"close_range\(.*4294967295, 0", NO_CAPABILITIES, r"prlimit64\(0, RLIMIT_CORE, \{rlim_cur=1, rlim_max=1\}", *FOLLOWS, *FILTER, LOCKED],
    "worker": [r"setsid\(", *[rf"dup2\(\d+, {number}" for number in range(3)], r"close_range\(.*4294967295, 0", r"chdir\(\"/\"",
               *[rf"prlimit64\(0, RLIMIT_{name}, \{{rlim_cur=" for name in ("CORE", "NOFILE", "MEMLOCK", "MSGQUEUE", "SIGPENDING", "RTPRIO", "NICE",
                                                                          "NPROC")],
               r"setresgid\(1000, 1000, 1000", r"setresuid\(1000, 1000, 1000", NO_CAPABILITIES, HIDDEN, r"umask\(022",
               r"rt_sigaction\(SIGHUP, \{sa_handler=SIG_DFL", r"rt_sigaction\(SIGRT_32, \{sa_handler=SIG_DFL",
               r"rt_sigprocmask\(SIG_SETMASK, \[\], ", *FILTER,
               r"read\(\d+, \"l\", 1", r"execve\("],
}


def test_each_process_of_a_launch_makes_the_calls_of_its_own_steps_in_order(own):
    calls = ["openat", "read", "write", "close", "umask", "execve", *CALLS]
    whole = traced(own, ["-s", "200", "-e", f"trace={','.join(calls)}"], own.directory / "status")
    assert whole.returncode == 0, whole
    # Before init is locked down nothing of the worker's own runs.
    lines = (own.directory / "trace").read_text().splitlines()
    locked = next(number for number, line in enumerate(lines) if re.match(rf"\d+ +{LOCKED}", line))
    assert locked < next(number for number, line in enumerate(lines) if re.match(r"\d+ +execve\(\"/bin/busybox", line)), lines
    made = {}  # by process, in the order in which they begin
    for line in (own.directory / "trace").read_text().splitlines():
        process, _, call = line.partition(" ")
        if not call.lstrip().startswith(("<...", "---", "+++")):
            made.setdefault(process, []).append(call.strip())
    assert len(made) == len(STEPS), list(made)
    for (role, steps), lines in zip(STEPS.items(), made.values()):
        at = 0
        for step in steps:
            found = next((number for number in range(at, len(lines)) if re.match(step, lines[number])), None)
            assert found is not None, f"{role}: not called, or too early: {step}; it comes after\n" + "\n".join(lines[max(at - 3, 0):at])
            at = found + 1
    for lines in list(made.values())[1:]:  # nothing but what it is for comes between the filter and the program
        last = next(number for number, line in enumerate(lines) if line.startswith("seccomp("))
        assert not [line for line in lines[last + 1:last + 2] if not line.startswith(("execve(", "read(", "write("))], lines[last:]
