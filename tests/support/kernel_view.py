"""A process as the kernel shows it to root: identity, limits, signals, descriptors, and the filter that it runs under."""
import ctypes
import os
import pathlib
import re
import struct

from . import places

NO_CAPABILITIES = {f"Cap{name}": "0000000000000000" for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
NO_SIGNALS = "0000000000000000"


def status(pid) -> dict:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def shown(pid, wanted) -> dict:
    """Of what is shown, what is asked for: to be compared with `wanted`."""
    now = status(pid)
    return {key: now[key] for key in wanted}


def limits(pid) -> dict:
    """(soft, hard) by name."""
    rows = pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {row[:25].strip(): tuple(row[26:].split()[:2]) for row in rows}


def place(pid) -> dict:
    """What it has at processor, disk and memory before or behind others."""
    return {"policy": os.sched_getscheduler(pid), "nice": os.getpriority(os.PRIO_PROCESS, pid),
            "disk class": _libc.syscall(252, 1, pid) >> 13,  # ioprio_get(2)
            **{name: pathlib.Path(f"/proc/{pid}/{name}").read_text().strip()
               for name in ("personality", "timerslack_ns", "oom_score_adj")}}


def core_group(pid):
    """The cookie without which none shares a core with it (0: none has any say); None where the kernel knows of no such groups."""
    cookie = ctypes.c_uint64()
    return cookie.value if _libc.prctl(62, 0, pid, 0, ctypes.byref(cookie)) == 0 else None  # PR_SCHED_CORE_GET


def descriptors(pid) -> dict:
    return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def is_dumpable(pid) -> bool:
    """Of one that is not root's: the files in /proc of one that is not dumpable are root's."""
    return os.stat(f"/proc/{pid}/environ").st_uid != 0


# --- the filter ---
SEIZE, INTERRUPT, DETACH, GET_FILTER = 0x4206, 0x4207, 17, 0x420c
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def filter_of(pid):
    """The instructions of the newest filter, as (code, jt, jf, k); None where the kernel does not tell (CHECKPOINT_RESTORE)."""
    assert _libc.ptrace(SEIZE, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    try:
        assert _libc.ptrace(INTERRUPT, pid, None, None) == 0
        os.waitpid(pid, 0x40000000)  # __WALL
        count = _libc.ptrace(GET_FILTER, pid, None, None)
        if count < 0:
            return None
        code = ctypes.create_string_buffer(count * 8)
        assert _libc.ptrace(GET_FILTER, pid, None, ctypes.addressof(code)) == count
        return list(struct.iter_unpack("=HBBI", code.raw))
    finally:
        _libc.ptrace(DETACH, pid, None, None)


def built_filter(name):
    """The filter that the build has made for a kind of process."""
    text = (pathlib.Path(places.BIN).parent / "generated/seccomp/filter_arrays.cpp").read_text()
    body = re.search(rf"k{name}Filter\[\] = \{{(.*?)\}};", text, re.DOTALL).group(1)
    return [tuple(map(int, step)) for step in re.findall(r"\{(\d+),(\d+),(\d+),(\d+)u\}", body)]
