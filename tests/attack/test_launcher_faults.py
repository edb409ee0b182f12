"""Every call by which the sandbox is built fails once, by injection: the worker must not run, and the error must say so.
Lesson of launchers that went on when a step had failed."""
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
         "rt_sigaction", "rt_sigprocmask", "seccomp", "clone3", "socket", "ioctl", "flock", "pipe2", "fchown", "socketpair", "signalfd4"]
# The first call of the program itself, after the worker's five limits.
HARMLESS = {("prlimit64", 6)}


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        made.profile("plain", limits={"pids": 100})
        yield made


def traced(own, options, status) -> subprocess.CompletedProcess:
    with open(status, "wb") as file:
        number = file.fileno()
        return subprocess.run(["strace", "-f", "-qq", "-o", str(own.directory / "trace"), *options, "--",
                               *launcher.command(own, "plain", "/bin/busybox", "echo", "it ran", options=["--status-fd", str(number)])],
                              capture_output=True, text=True, pass_fds=[number], timeout=60)


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
        assert done.returncode == 125 or ended.get("ended") == "init-gone", (call, when, done, ended)
    assert survived == [], f"the worker ran although {call} had failed, at the occurrences {survived}"
