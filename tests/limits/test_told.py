"""What a limit or an end of ours says, and to whom: on stderr of `run`, in the broker's log, in the trail."""
import os
import signal
import subprocess

import pytest
from support import launcher, sandbox
from support.broker import Broker
from support.full_pipe import full_pipe
from support.processes import wait_until

UNREACHED = {"listen": "127.0.0.1:6379", "to": "unix:/nonexistent/up.sock"}


@pytest.fixture(scope="module")
def alone():
    """Profiles without a session."""
    with launcher.host() as own:
        yield own


def lines(text):
    return [line for line in text.splitlines() if line.startswith("sallyport: ")]


def test_time_that_is_up_is_said_on_stderr_with_the_limit_and_what_follows(alone):
    alone.profile("timed", limits={"time": "1s"})
    done = sandbox.run(alone, "timed", ["/bin/sh", "-c", "printf half >&2; exec sleep 60"])
    assert done.code == 124 and done.status[0]["time_up"] is True, done
    assert done.stderr == "half\nsallyport: the worker's time is up (limits.time, 1 s): the worker gets SIGTERM, and SIGKILL after 5 s\n", done
    within = sandbox.run(alone, "timed", ["/bin/true"])
    assert within.code == 0 and within.stderr == "", within


def test_output_that_is_dropped_is_said_when_it_begins_and_with_its_bytes_at_the_end(alone):
    alone.profile("quiet", limits={"output": "64KiB"})
    exact = sandbox.run(alone, "quiet", ["/bin/sh", "-c", "head -c 65536 /dev/zero"])
    assert exact.code == 0 and len(exact.stdout) == 65536 and exact.stderr == "", exact
    beyond = sandbox.run(alone, "quiet", ["/bin/sh", "-c", "head -c 65537 /dev/zero"])
    assert beyond.code == 0 and len(beyond.stdout) == 65536, beyond
    assert beyond.stderr == ("sallyport: the worker's output has reached limits.output (65536 bytes): all of it from here on is dropped\n"
                             "sallyport: 1 bytes of the worker's output were dropped\n"), beyond


def test_a_caller_who_does_not_read_stderr_does_not_put_off_the_end_of_the_time(alone):
    """A line that would block is lost; the limit is not."""
    alone.profile("timed", limits={"time": "1s"})
    with full_pipe() as write_end:
        process = subprocess.Popen(launcher.command(alone, "timed", "/bin/sleep", "60"), stdin=subprocess.DEVNULL, stderr=write_end)
        os.close(write_end)
        assert process.wait(20) == 124


# What ends a session, as an operator or a fault would: the launcher names the cause, not the dead init.
ENDS = {
    "an operator": (lambda broker, run: broker.kill_session(broker.sessions()[-1]), "the broker ended the session: ended by the operator"),
    "the gate's death": (lambda broker, run: kill_part(broker, run, "gate"), "the broker ended the session: the gate"),
    "the relay's death": (lambda broker, run: kill_part(broker, run, "relay"), "the broker ended the session: the relay"),
    "a stopped broker": (lambda broker, run: broker.end(), "the broker ended the session: the broker is stopping"),
    "a killed keeper": (lambda broker, run: broker.kill("keeper"), "the broker closed the session"),
}


def kill_part(broker, run, part):
    os.kill(wait_until(lambda: (broker.processes_of(part) or [None])[0], 10, f"no {part}"), signal.SIGKILL)


@pytest.fixture(scope="module")
def mortal(dockerd):
    broker = Broker(dockerd.socket, sessions=4)
    yield broker
    broker.remove()


@pytest.mark.parametrize("cause", ENDS)
def test_who_ended_the_session_is_said_on_stderr(mortal, cause):
    if not mortal.alive():
        mortal.start()
    act, words = ENDS[cause]
    mortal.profile("ended", docker={}, forwards=[UNREACHED])
    with sandbox.Worker(mortal, "ended") as worker:
        act(mortal, worker)
        assert worker.wait(20) == 125, worker.stderr
        assert any(words in line for line in lines(worker.stderr)), worker.stderr
        assert "init was killed" not in worker.stderr
        assert worker.status()[0]["ended"] == "broker-gone"


def test_an_init_that_was_killed_by_others_is_still_what_is_said(broker):
    broker.profile("ended", docker={})
    with sandbox.Worker(broker, "ended") as worker:
        os.kill(worker.init_pid, signal.SIGKILL)
        assert worker.wait(20) == 128 + signal.SIGKILL
        assert lines(worker.stderr) == ["sallyport: the sandbox's init was killed"], worker.stderr


def test_an_upstream_that_cannot_be_reached_is_said_on_stderr_in_the_log_and_in_the_trail(broker):
    broker.profile("lost", forwards=[UNREACHED])
    why = "dial unix:/nonexistent/up.sock: No such file or directory"
    with sandbox.Worker(broker, "lost") as worker:
        worker.do("""
import socket
for _ in range(3):
    try: socket.create_connection(('127.0.0.1', 6379), 5).recv(1)
    except OSError: pass
""")
        said = f"a connection of its forward is closed: {why}"
        wait_until(lambda: f"sallyport: {said}\n" in worker.stderr, 5, worker.stderr)
        assert worker.stderr.count(said) == 1
        session = broker.sessions()[-1]
        assert f"session {session}: {said}" in broker.log_file.read_text()
    assert len(broker.audit(session=session, rule="forward.unreachable", reason=why)) == 3


def test_docker_ps_behind_a_hundred_and_forty_connections_is_refused_with_the_bound(worker, broker):
    """The public case: `docker ps` behind 140 `logs -f` said nothing for as long as they lasted."""
    answer, again = worker.do("""
import socket
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect('/run/sallyport/docker.sock'); s.settimeout(20); return s
ask = b'GET /containers/json HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n'
held = [connect() for _ in range(140)]
late = connect(); late.sendall(ask)
answer = late.recv(4000).decode()
held.clear()
s = connect(); s.sendall(ask)
result = [answer, s.recv(4000).decode()]
""")
    assert answer.startswith("HTTP/1.1 429 ") and "128 connections to this socket are open" in answer, answer
    assert again.startswith("HTTP/1.1 200 "), again
    told = wait_until(lambda: broker.audit(rule="connections"), 5, "no record of a connection turned away")
    assert (told[0]["source"], told[0]["decision"]) == ("gate", "DENY") and "a session may have no more at once" in told[0]["reason"]


def test_a_container_that_has_lived_its_time_is_named_on_stderr(broker, dockerd):
    broker.profile("short", docker={}, budget={"lifetime": "1s"})
    with sandbox.Worker(broker, "short") as worker:
        worker.do("""
import subprocess
subprocess.run(['docker', 'run', '-d', '--name', 'db', 'busybox', 'sleep', '60'], check=True, capture_output=True)
""")
        said = "container db: the container has run for 1 s, its lifetime; it is killed"
        wait_until(lambda: f"sallyport: {said}\n" in worker.stderr, 10, worker.stderr)
