"""A broker that stops has its workers ended in order: SIGTERM, the grace of the profile, SIGKILL."""
import os
import signal
import time

import pytest
from support import leaks, places, sandbox
from support.broker import Broker
from support.processes import wait_until

# Says that it was asked, takes `args[1]` seconds for its end, and still reaches its containers.
OBEDIENT = r"""
import http.client, signal, socket, sys, time
class Api(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/sallyport/docker.sock")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
print("asked", flush=True)
time.sleep(float(sys.argv[1]))
api = Api("d")
api.request("GET", "/v1.41/containers/json?all=1")
print("listed", api.getresponse().status, flush=True)
sys.exit(7)
"""
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def own(dockerd):
    made = Broker(dockerd.socket)
    yield made
    made.remove()


def started(broker, profile, *command):
    run = sandbox.Run(broker, profile, command)
    assert run.process.stdout.readline() == b"ready\n", run.stderr
    return run


def ask_to_stop(broker):
    os.kill(broker.spawner_pid, signal.SIGTERM)


def test_a_worker_hears_of_it_and_ends_as_it_likes(own, dockerd):
    own.profile("obedient", docker={})
    with started(own, "obedient", places.PYTHON, "-c", OBEDIENT, "1") as run:
        ask_to_stop(own)
        assert run.wait(20) == 125, run.stderr
        assert run.process.stdout.read() == b"asked\nlisted 200\n", (run.stderr, own.log_file.read_text())
        assert ("sallyport: the broker is stopping, and its worker is to end: it gets SIGTERM, and SIGKILL after 5 s\n"
                in run.stderr), run.stderr
        assert run.stderr.endswith("sallyport: the broker ended the session: the broker is stopping\n"), run.stderr
        assert run.status()[0]["ended"] == "broker-gone"
    assert own.daemon.process.wait(20) == 0
    [ended] = own.audit(event="session-end")
    assert (ended["rule"], ended["object"]) == ("broker.stopped", "exit 7"), ended
    leaks.wait_until_clean(own, dockerd)


def test_a_worker_that_does_not_end_is_killed_after_the_grace_of_its_profile(own):
    own.profile("stubborn", docker={}, limits={"grace": "1s"})
    with started(own, "stubborn", "/bin/sh", "-c", STUBBORN) as run:
        begun = time.monotonic()
        ask_to_stop(own)
        assert run.wait(20) == 125, run.stderr
        assert 1 <= time.monotonic() - begun < 4.5, "neither at once nor after the 5 s that others have"
        assert "sallyport: the worker has not ended within 1 s of SIGTERM: it gets SIGKILL\n" in run.stderr, run.stderr
    assert own.daemon.process.wait(20) == 0
    [ended] = own.audit(event="session-end")
    assert (ended["rule"], ended["object"]) == ("broker.stopped", "signal 9"), ended


def test_the_grace_of_a_profile_is_longer_where_it_says_so(own):
    own.profile("slow", docker={}, limits={"grace": "20s"})
    with started(own, "slow", places.PYTHON, "-c", OBEDIENT, "7") as run:
        ask_to_stop(own)
        assert run.wait(30) == 125, run.stderr
        assert run.process.stdout.read() == b"asked\nlisted 200\n", "7 s are more than the 5 s that others have"


def test_a_launcher_that_does_not_end_its_worker_does_not_keep_the_broker(own):
    own.profile("held", docker={}, limits={"grace": "1s"})
    with started(own, "held", "/bin/sh", "-c", STUBBORN) as run:
        worker = run.worker_pid
        run.signal(signal.SIGSTOP)
        ask_to_stop(own)
        try:
            assert own.daemon.process.wait(20) == 0
            wait_until(lambda: not os.path.exists(f"/proc/{worker}"), 5, "its worker runs on")
        finally:
            run.signal(signal.SIGCONT)
        assert run.wait(20) == 125, run.stderr


def test_whoever_asks_twice_does_not_wait_for_workers(own):
    own.profile("slow", docker={}, limits={"grace": "1h"})
    with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
        ask_to_stop(own)
        wait_until(lambda: "its worker is to end" in run.stderr, 10, lambda: run.stderr)
        time.sleep(0.5)
        assert own.alive(), "it waits"
        ask_to_stop(own)
        assert own.daemon.process.wait(20) == 0
        assert run.wait(20) == 125, run.stderr


def test_no_session_is_opened_meanwhile(own):
    own.profile("slow", docker={}, limits={"grace": "1h"})
    with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
        ask_to_stop(own)
        wait_until(lambda: "its worker is to end" in run.stderr, 10, lambda: run.stderr)
        with sandbox.Run(own, "slow", ["/bin/true"]) as late:
            time.sleep(1)
            assert len(own.audit(event="session-open")) == 1
            ask_to_stop(own)
            assert late.wait(40) == 125, late.stderr


# --- the caller's own SIGTERM ---

def test_the_callers_sigterm_is_followed_by_sigkill_only_where_the_profile_has_a_grace(own):
    own.profile("patient")
    with started(own, "patient", "/bin/sh", "-c", STUBBORN) as run:
        run.signal(signal.SIGTERM)
        time.sleep(6)
        assert run.process.poll() is None, "it is the caller who waits, or does not"
        os.kill(run.worker_pid, signal.SIGKILL)
    own.profile("stubborn", limits={"grace": "1s"})
    with started(own, "stubborn", "/bin/sh", "-c", STUBBORN) as run:
        run.signal(signal.SIGTERM)
        assert run.wait(10) == 128 + signal.SIGKILL
        assert run.stderr == "sallyport: the worker has not ended within 1 s of SIGTERM: it gets SIGKILL\n", run.stderr


def test_the_grace_counts_where_the_time_is_up(own):
    own.profile("timed", limits={"time": "1s", "grace": "1s"})
    begun = time.monotonic()
    done = sandbox.run(own, "timed", ["/bin/sh", "-c", STUBBORN])
    assert done.code == 124 and time.monotonic() - begun < 5, done
    assert "it gets SIGTERM, and SIGKILL after 1 s" in done.stderr, done
