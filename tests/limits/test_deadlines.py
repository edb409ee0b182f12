"""What is said when one of ours has waited as long as it does for another, which stands still: long, for the deadlines are."""
import contextlib
import os
import signal
import subprocess
import time

import pytest
from support import launcher, sandbox
from support.broker import Broker
from support.processes import wait_until

pytestmark = pytest.mark.long


@pytest.fixture
def mortal(dockerd):
    broker = Broker(dockerd.socket, sessions=4)
    broker.profile("timed", docker={})
    yield broker
    broker.remove()


@contextlib.contextmanager
def standing_still(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_launcher_says_that_its_session_was_not_open_in_time(mortal):
    with standing_still(mortal.keeper_pid):
        began = time.monotonic()
        done = sandbox.run(mortal, "timed", ["/bin/true"])
        assert done.code == 125 and "the session was not open within 30 s" in done.stderr and time.monotonic() - began >= 30, done


def test_a_launcher_leaves_with_words_where_the_broker_does_not_say_that_all_is_removed(mortal):
    with sandbox.Worker(mortal, "timed") as worker:
        with standing_still(mortal.keeper_pid):
            worker.process.stdin.close()
            worker.process.stdin = None
            began = time.monotonic()
            assert worker.wait(90) == 0 and time.monotonic() - began > 70
            assert "the broker has not said within 75 s that everything of the session is removed; it goes on, and its log says why" in (
                worker.stderr), worker.stderr


def test_whoever_ends_a_session_is_told_that_the_broker_does_not_answer(mortal):
    with sandbox.Worker(mortal, "timed"):
        session = mortal.sessions()[-1]
        with standing_still(mortal.keeper_pid):
            done = mortal.kill_session(session)
            assert done.returncode == 1 and f"kill {session}: the broker does not answer" in done.stderr, done


def test_whoever_ends_a_session_is_told_that_it_has_not_ended_yet(mortal):
    with sandbox.Worker(mortal, "timed"):
        session = mortal.sessions()[-1]
        with standing_still(mortal.spawner_pid):
            done = mortal.kill_session(session)
            assert done.returncode == 1 and "it ends, and has not ended yet: " in done.stderr, done


def test_a_launcher_that_does_not_end_the_time_itself_is_told_that_the_broker_has(mortal):
    mortal.profile("timed", docker={}, limits={"time": "1s"})
    with sandbox.Run(mortal, "timed", ["/bin/sleep", "60"]) as running:
        wait_until(lambda: mortal.audit(event="session-open"), 10, "no session")
        with standing_still(running.launcher_pid):
            (ended,) = wait_until(lambda: mortal.audit(event="session-end"), 20, "the session does not end")
        assert ended["rule"] == "limits.time" and ended["reason"] == "its time of 1 s is up", ended
        running.wait(20)
        assert "the broker ended the session: its time of 1 s is up" in running.stderr, running.stderr
