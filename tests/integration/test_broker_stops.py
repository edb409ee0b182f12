"""A broker that stops has its workers ended in order: SIGTERM, the grace of the profile, SIGKILL."""
import os
import signal
import time

import pytest
from support import leaks, places, sandbox
from support.broker import Broker
from support.processes import wait_until
from support.systemd import Systemd

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
        assert "sallyport: the broker is stopping: the worker gets SIGTERM, and SIGKILL after 5 s\n" in run.stderr, run.stderr
        assert run.stderr.endswith("sallyport: the broker ended the session: the broker is stopping\n"), run.stderr
        status = run.status()[0]
        assert (status["ended"], status["code"], status["exit_code"]) == ("broker-gone", 7, 125), status
    assert own.daemon.process.wait(20) == 0
    [ended] = own.audit(event="session-end")
    assert (ended["rule"], ended["object"]) == ("broker.stopped", "exit 7"), ended
    leaks.wait_until_clean(own, dockerd)


def test_to_a_unit_it_is_no_failure(own):
    """Whoever watches for failed units must not be called at each restart of the broker; a broker that dies is one."""
    own.profile("docked", docker={})
    for ends, code in ((lambda: ask_to_stop(own), 143), (lambda: own.kill_session(own.sessions()[-1]), 125),
                       (lambda: os.kill(own.keeper_pid, signal.SIGKILL), 125)):
        if not own.alive():
            own.start()
        with sandbox.Run(own, "docked", ["/bin/sh", "-c", "echo ready; sleep 60"], options=["--retry"]) as run:
            assert run.process.stdout.readline() == b"ready\n", run.stderr
            ends()
            assert run.wait(20) == code, run.stderr
        if code == 143:
            own.daemon.process.wait(20)


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


def test_no_grace_is_longer_than_the_broker_lets_it_be_when_it_stops(dockerd):
    own = Broker(dockerd.socket, config_extra='stop_within = "2s"\n')
    own.profile("slow", docker={}, limits={"grace": "1h"})
    try:
        with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
            begun = time.monotonic()
            ask_to_stop(own)
            assert run.wait(30) == 125, run.stderr
            assert 2 <= time.monotonic() - begun < 10
            assert "SIGKILL after 2 s" in run.stderr and "(within stop_within of broker.toml)" in run.stderr, run.stderr
        assert own.daemon.process.wait(20) == 0
        log = own.log_file.read_text()
        assert "its worker has 2 s to end (stop_within of broker.toml), and not the 3600 s of its profile (limits.grace)" in log, log
    finally:
        own.remove()


# Says how many times it was asked, after `seconds`.
COUNTS = "n=0; trap 'n=$((n+1))' TERM; echo ready; for i in $(seq {}0); do sleep 0.1; done; echo $n; exit 3"


def test_a_worker_that_its_caller_has_asked_is_not_asked_again(own):
    """rq and others take a second SIGTERM for "at once"."""
    own.profile("docked", docker={})
    own.profile("timed", limits={"time": "2s"})
    with started(own, "docked", "/bin/sh", "-c", COUNTS.format(3)) as run:
        run.signal(signal.SIGTERM)
        time.sleep(0.5)
        ask_to_stop(own)
        assert run.wait(30) == 143 and run.process.stdout.read() == b"1\n", run.stderr
        assert "the broker is stopping: the worker has had SIGTERM, and gets SIGKILL after 5 s" in run.stderr, run.stderr
    with started(own, "timed", "/bin/sh", "-c", COUNTS.format(4)) as run:
        run.signal(signal.SIGTERM)
        assert run.wait(30) == 124 and run.process.stdout.read() == b"1\n", run.stderr


def test_nor_is_one_that_its_launcher_has_asked_but_by_whoever_asks_twice(own):
    """As where its unit is stopped while the broker stops already."""
    own.profile("docked", docker={}, limits={"grace": "20s"})
    for times in (1, 2):
        if not own.alive():
            own.start()
        with started(own, "docked", "/bin/sh", "-c", COUNTS.format(4)) as run:
            ask_to_stop(own)
            wait_until(lambda: "the broker is stopping" in run.stderr, 10, lambda: run.stderr)
            for _ in range(times):
                run.signal(signal.SIGTERM)
                time.sleep(0.5)
            assert run.wait(30) == 143 and run.process.stdout.read() == b"%d\n" % times, run.stderr
        own.daemon.process.wait(20)


def test_a_grace_that_runs_is_cut_where_the_broker_gives_less(dockerd):
    own = Broker(dockerd.socket, config_extra='stop_within = "2s"\n')
    own.profile("slow", docker={}, limits={"grace": "1h"})
    try:
        with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
            run.signal(signal.SIGTERM)
            time.sleep(1.5)
            ask_to_stop(own)
            assert run.wait(20) == 143, run.stderr
            assert ("the broker is stopping (within stop_within of broker.toml): the worker has had SIGTERM, and gets SIGKILL "
                    "after 2 s") in run.stderr, run.stderr
            assert "the worker has not ended within 3 s of SIGTERM: it gets SIGKILL" in run.stderr, run.stderr
    finally:
        own.remove()


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
        wait_until(lambda: "the broker is stopping" in run.stderr, 10, lambda: run.stderr)
        time.sleep(0.5)
        assert own.alive(), "it waits"
        ask_to_stop(own)
        assert own.daemon.process.wait(20) == 0
        assert run.wait(20) == 125, run.stderr


def test_an_operator_can_end_a_session_meanwhile(own):
    own.profile("slow", docker={}, limits={"grace": "1h"})
    with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
        ask_to_stop(own)
        wait_until(lambda: "the broker is stopping" in run.stderr, 10, lambda: run.stderr)
        [session] = own.sessions()
        killed = own.kill_session(session)
        assert killed.returncode == 0, killed
        assert run.wait(20) == 125 and own.daemon.process.wait(20) == 0, run.stderr
    [ended] = own.audit(event="session-end")
    assert ended["rule"] == "operator", ended


def test_a_terminals_interrupt_is_one_wish_to_stop(dockerd):
    """It goes to all processes of the foreground, and the spawner passes it on to the keeper besides."""
    own = Broker(dockerd.socket, start=False)
    own.profile("slow", docker={}, limits={"grace": "1h"})
    try:
        own.start(start_new_session=True)
        with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
            os.killpg(own.spawner_pid, signal.SIGINT)
            wait_until(lambda: "the broker is stopping" in run.stderr, 10, lambda: run.stderr)
            time.sleep(1)
            assert own.alive() and run.process.poll() is None, "it waits for its worker"
            ask_to_stop(own)
            assert own.daemon.process.wait(20) == 0 and run.wait(20) == 125, run.stderr
    finally:
        own.remove()


def test_systemd_is_asked_for_time_piece_by_piece(dockerd, tmp_path):
    """A broker or launcher that hangs must not have been given an hour."""
    own = Broker(dockerd.socket, start=False)
    own.profile("slow", docker={}, limits={"grace": "1h"})
    with Systemd(tmp_path / "broker") as of_broker, Systemd(tmp_path / "worker") as of_worker:
        try:
            own.start(environment=of_broker.environment)
            run = sandbox.Run(own, "slow", ["/bin/sh", "-c", STUBBORN], environment=of_worker.environment)
            with run:
                assert run.process.stdout.readline() == b"ready\n", run.stderr
                ask_to_stop(own)
                begun = time.monotonic()
                asked = [of_broker.hears_of(b"EXTEND_TIMEOUT_USEC=") for _ in range(2)]
                assert asked == [b"30000000"] * 2 and time.monotonic() - begun > 5, asked
                asked = [of_worker.hears_of(b"EXTEND_TIMEOUT_USEC=") for _ in range(2)]
                assert asked == [b"110000000"] * 2, asked
                run.signal(signal.SIGTERM)  # its unit's own stop begins now
                begun = time.monotonic()
                of_worker.hears_of(b"EXTEND_TIMEOUT_USEC=")
                assert time.monotonic() - begun < 5
                ask_to_stop(own)
                assert run.wait(20) == 143, run.stderr
        finally:
            own.remove()


def test_no_session_is_opened_meanwhile(own):
    own.profile("slow", docker={}, limits={"grace": "1h"})
    with started(own, "slow", "/bin/sh", "-c", STUBBORN) as run:
        ask_to_stop(own)
        wait_until(lambda: "the broker is stopping" in run.stderr, 10, lambda: run.stderr)
        late = sandbox.run(own, "slow", ["/bin/true"])
        assert late.code == 125 and "the broker refused the session: the broker is stopping" in late.stderr, late
        assert len(own.audit(event="session-open", decision="ALLOW")) == 1
        ask_to_stop(own)


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
    assert "the worker gets SIGTERM, and SIGKILL after 1 s" in done.stderr, done
