"""Starts a program as the worst of callers would: with all that a process inherits and that none of ours may keep."""
import contextlib
import ctypes
import os
import resource
import signal

GROUPS = [4711, 4712]
SECRET = "/etc/shadow"  # what the descriptors are of that the caller has left open
RAISED = ["CORE", "FSIZE", "MSGQUEUE", "MEMLOCK", "NPROC", "SIGPENDING", "RTPRIO", "NICE"]
REAL_TIME_DISK = 1 << 13  # ioprio_set(2)
LIBC = ctypes.CDLL(None, use_errno=True)


def _inheritable_capabilities() -> None:
    """All that there are, in the inheritable and the ambient set too."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert LIBC.syscall(125, header, sets) == 0  # capget
    sets[2], sets[5] = sets[1], sets[4]  # what is permitted
    assert LIBC.syscall(126, header, sets) == 0  # capset
    for capability in range(64):
        LIBC.prctl(47, 2, capability, 0, 0)  # PR_CAP_AMBIENT_RAISE; fails beyond the last


def _place_before_others() -> None:
    """At processor and disk; and a weaker address space, whose pages are merged with others'."""
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    with contextlib.suppress(PermissionError):  # in a cgroup v1 without time for it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    assert LIBC.syscall(251, 1, 0, REAL_TIME_DISK) == 0  # ioprio_set
    assert LIBC.personality(0x0440000) >= 0  # ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
    assert LIBC.prctl(29, 1, 0, 0, 0) == 0  # PR_SET_TIMERSLACK
    LIBC.prctl(67, 1, 0, 0, 0)  # PR_SET_MEMORY_MERGE, where the kernel has it
    LIBC.prctl(62, 1, 0, 0, 0)  # PR_SCHED_CORE_CREATE, the same


def _prepare() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for name in RAISED:  # as far as this run may
        limit = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(limit, (resource.getrlimit(limit)[1],) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    _inheritable_capabilities()
    _place_before_others()


@contextlib.contextmanager
def popen():
    """Arguments for subprocess.Popen, Daemon, Broker.start() and sandbox.Run. Nothing of it changes this process."""
    secret = os.open(SECRET, os.O_RDONLY)
    held = [os.dup2(secret, number, inheritable=True) for number in (50, 51, 200)]
    try:
        yield {"extra_groups": GROUPS, "umask": 0, "pass_fds": held, "preexec_fn": _prepare}
    finally:
        for descriptor in [secret, *held]:
            os.close(descriptor)


def is_held_by(pid) -> bool:
    """Whether a process has one of the descriptors."""
    names = os.listdir(f"/proc/{pid}/fd")
    return any(os.readlink(f"/proc/{pid}/fd/{name}") == SECRET for name in names)
