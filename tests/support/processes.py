"""Daemons that tests start: each ended by its own pid and never by a name."""
import os
import signal
import subprocess
import time


class Gone(Exception):
    """A daemon ended although a test needs it."""


def wait_until(condition, seconds: float, what: str, every: float = 0.02):
    """Returns the first true value of condition(); fails with `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s: {what}")
        time.sleep(every)


def is_alive(pid: int) -> bool:
    """False for a zombie too: it holds nothing any more."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            return [int(child) for child in children.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants_of(pid: int) -> list:
    found = []
    for child in children_of(pid):
        found += [child] + descendants_of(child)
    return found


def command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as command:
            return command.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def uids_of(pid: int) -> list:
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("Uid:"):
                    return [int(uid) for uid in line.split()[1:]]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return []


def all_pids() -> list:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def private_bytes(pid: int) -> int:
    """Memory that this process alone uses (smaps_rollup, proc(5))."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


class Daemon:
    """One process with a log file."""

    def __init__(self, arguments, log, environment=None, **popen):
        self.arguments = [str(argument) for argument in arguments]
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=environment, **popen)

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def wait_ready(self, condition, seconds: float, what: str) -> None:
        def ready():
            if not self.alive():
                raise Gone(f"{self.arguments[0]} ended with {self.process.returncode}:\n{self.log_tail()}")
            return condition()
        try:
            wait_until(ready, seconds, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_tail()}") from error

    def end(self, seconds: float = 15, with_signal: int = signal.SIGTERM) -> int:
        if self.alive():
            self.process.send_signal(with_signal)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode
