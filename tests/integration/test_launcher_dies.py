"""Whatever of launcher, init and worker is killed, at whatever moment: nothing of the sandbox is left."""
import os
import random
import signal
import subprocess
import time

import pytest
from support import launcher, leaks, sandbox
from support.processes import all_pids, is_alive, uids_of, wait_until

ROUNDS = int(os.environ.get("SALLYPORT_KILL_ROUNDS", "60"))


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        made.profile("plain")
        yield made


def processes_of(own) -> list:
    """A zombie that the host's init has not reaped yet is none."""
    return [pid for pid in all_pids() if any(own.uid_first <= uid <= own.uid_last for uid in uids_of(pid)) and is_alive(pid)]


def test_a_launcher_killed_at_any_moment_leaves_nothing(own):
    """A start takes a few milliseconds; the kills are spread over it and beyond."""
    chance = random.Random(1)
    for _ in range(ROUNDS):
        process = subprocess.Popen(launcher.command(own, "plain", "/bin/sleep", "60"), stdin=subprocess.DEVNULL)
        time.sleep(chance.random() * 0.015)
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(own), 5, "a process of the sandbox lives on")
    leaks.wait_until_clean(own)
    assert " - tmpfs sandbox " not in open("/proc/self/mountinfo").read()


def test_a_launcher_killed_while_it_waits_for_the_broker_leaves_nothing(own):
    import socket
    own.profile("docked", docker={})
    own.runtime.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(own.control_socket)
        silent.listen(8)
        process = subprocess.Popen(launcher.command(own, "docked"), stdin=subprocess.DEVNULL)
        connection, _ = silent.accept()
        assert connection.recv(8192)
        process.kill()
        process.wait()
        connection.close()
        os.unlink(own.control_socket)
    leaks.wait_until_clean(own)


def test_init_killed_from_outside_ends_the_run_with_a_certain_status(own):
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"]) as running:
        os.kill(wait_until(lambda: running.worker_pid and running.init_pid, 5, "no worker"), signal.SIGKILL)
        assert running.wait(5) == 128 + signal.SIGKILL
        assert running.status()[0]["ended"] == "init-gone"
    leaks.wait_until_clean(own)


def test_a_worker_killed_from_outside_is_the_workers_end(own):
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"]) as running:
        os.kill(running.worker_pid, signal.SIGKILL)
        assert running.wait(5) == 128 + signal.SIGKILL and running.status()[0]["ended"] == "signalled"
    leaks.wait_until_clean(own)


def test_a_stopped_init_does_not_outlive_its_launcher(own):
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"]) as running:
        os.kill(wait_until(lambda: running.worker_pid and running.init_pid, 5, "no worker"), signal.SIGSTOP)
        running.process.kill()
        running.process.wait()
    leaks.wait_until_clean(own)


def test_nothing_is_left_after_starts_that_fail(own):
    own.profile("lost", worker={"directory": "/nowhere"})
    for program in (("/bin/true",), ("/nosuch",)):
        assert sandbox.run(own, "lost", program).code == 78
    leaks.wait_until_clean(own)
