"""What is left when a broker was killed, or dockerd does not remove: it is dead at once, it is in nobody's way but its own,
and everybody whom it concerns is told."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from support import leaks, places, raw_http, sandbox
from support.broker import Broker
from support.processes import is_alive, wait_until
from support.thorough import rounds

ROUNDS = rounds(1, 25)


class Unremovable:
    """A container that dockerd cannot remove: one of its files is immutable."""

    def __init__(self, dockerd, identity):
        self.file = f"{dockerd.directory}/data/containers/{identity}/hostname"
        subprocess.run(["chattr", "+i", self.file], check=True)

    def release(self):
        if os.path.exists(self.file):
            subprocess.run(["chattr", "-i", self.file], check=True)


@pytest.fixture
def unremovable(dockerd):
    made = []

    def make(identity):
        made.append(Unremovable(dockerd, identity))
        return made[-1]
    yield make
    for one in made:
        one.release()


def create(worker, name, command=("sleep", "3600"), start=True) -> str:
    with raw_http.Connection(worker.docker_socket, timeout=60) as api:
        body = json.dumps({"Image": "busybox", "Cmd": list(command)}, ensure_ascii=False).encode()
        made = api.request("POST", f"/v1.41/containers/create?name={name}", body, {"Content-Type": "application/json"})
        assert made.status == 201, made
        if start:
            assert api.request("POST", f"/v1.41/containers/{name}/start").status == 204
        return made.json()["Id"]


def log_of(broker) -> str:
    return broker.log_file.read_text(errors="replace")


def test_a_container_that_cannot_be_removed_is_dead_and_in_nobodys_way_after_a_restart(own_broker, dockerd, unremovable):
    own_broker.profile("seat", docker={}, container={"memory": "64MiB"})
    own_broker.profile("plain", docker={})
    with sandbox.Worker(own_broker, "seat") as first, sandbox.Worker(own_broker, "seat") as second:
        stuck, other = create(first, "stuck"), create(second, "other")
        base = first.uid_base
        victim = dockerd.inspect(stuck)["State"]["Pid"]
        immutable = unremovable(stuck)
        own_broker.kill("spawner")  # which would have killed what runs
        assert first.wait(10) == second.wait(10) == 125
    own_broker.start()
    wait_until(lambda: not is_alive(victim), 3, "it runs on")
    for _ in range(3):
        begin = time.monotonic()
        with sandbox.Worker(own_broker, "plain") as opened:
            assert opened.uid_base != base, "the uids of what is left are given to nobody"
        assert time.monotonic() - begin < 4
    wait_until(lambda: dockerd.request("GET", f"/v1.41/containers/{other}/json").status == 404, 5, "the other is left")
    said = wait_until(lambda: [line for line in log_of(own_broker).splitlines() if stuck[:12] in line and "trying" in line], 5,
                      f"the log does not say what is left: {log_of(own_broker)}")
    time.sleep(1)
    assert len(said) == 1 and "-stuck" in said[0] and "dockerd answered 500" in said[0], said
    immutable.release()
    wait_until(lambda: "reaped what session" in log_of(own_broker).split(said[0])[-1], 10, "it is not removed in the end")
    leaks.wait_until_clean(own_broker, dockerd)


def test_a_container_that_cannot_be_removed_keeps_its_uids_and_no_place(dockerd, unremovable):
    broker = Broker(dockerd.socket, sessions=4, config_extra="max_sessions = 1\n")
    broker.profile("seat", docker={}, container={"memory": "64MiB"})
    try:
        with sandbox.Worker(broker, "seat") as worker:
            stuck, base = create(worker, "stuck"), worker.uid_base
            immutable = unremovable(stuck)
        for _ in range(2):
            with sandbox.Worker(broker, "seat") as another:
                assert another.uid_base != base, "uids that own files of what is left are given to nobody"
        (ended,) = [record for record in broker.audit(event="session-end") if "containers are left" in record["reason"]]
        assert stuck[:12] in ended["reason"] and "dockerd answered 500" in ended["reason"], ended
        assert log_of(broker).count("trying until it is done") == 1, log_of(broker)
        immutable.release()
        wait_until(lambda: broker.audit(rule="session.left"), 10, "it is not removed in the end")
        leaks.wait_until_clean(broker, dockerd)
    finally:
        broker.remove()


def test_a_list_too_large_to_be_read_stops_no_reaping(own_broker, dockerd):
    own_broker.profile("seat", docker={}, container={"memory": "16MiB"}, budget={"containers": 16})
    own_broker.profile("plain", docker={})
    with sandbox.Worker(own_broker, "seat") as worker:
        for number in range(9):  # dockerd writes each of the characters as six bytes
            identity = create(worker, f"large{number}", ["\u2028" * 20000, "x"], start=False)
        session = dockerd.inspect(identity)["Config"]["Labels"]["sallyport.session"]
        labels = dockerd.inspect(identity)["Config"]["Labels"]
        own_broker.kill("keeper")
    # As a create leaves it whose answer the keeper did not live to hear.
    name = f"sp-{session}-late.one"
    ledger = pathlib.Path(own_broker.state / "sessions" / session)
    ledger.write_text(ledger.read_text() + f"intent {name}\n")
    dockerd.run_foreign(name, labels=labels, start=False)
    assert len(dockerd.request("GET", "/v1.41/containers/json?all=1").body) > 1 << 20
    own_broker.start()
    assert sandbox.run(own_broker, "plain").code == 0
    leaks.wait_until_clean(own_broker, dockerd, seconds=10)


def test_the_launcher_says_what_it_leaves_behind(own_broker, dockerd, unremovable):
    own_broker.profile("seat", docker={}, container={"memory": "64MiB"})
    worker = sandbox.Worker(own_broker, "seat")
    stuck = create(worker, "stuck")
    immutable = unremovable(stuck)
    worker.process.stdin.close()
    assert worker.wait(15) == 0
    assert "waiting until the broker has removed the session's containers" in worker.stderr
    assert "goes on to remove what is left" in worker.stderr and stuck[:12] in worker.stderr, worker.stderr
    immutable.release()
    leaks.wait_until_clean(own_broker, dockerd)
    worker.process.stdin = None
    worker.end()


def test_the_launcher_waits_for_a_slow_dockerd_and_leaves_when_it_is_asked_twice(own_broker, dockerd):
    own_broker.profile("seat", docker={}, container={"memory": "64MiB"})
    for patience in (True, False):
        worker = sandbox.Worker(own_broker, "seat")
        create(worker, "slow")
        os.kill(dockerd.daemon.pid, signal.SIGSTOP)
        try:
            worker.process.stdin.close()
            wait_until(lambda: "waiting until the broker has removed" in worker.stderr, 5, "it says nothing")
            if not patience:
                worker.signal(signal.SIGTERM)
                wait_until(lambda: "ask again" in worker.stderr, 5, f"the first signal: {worker.stderr}")
                assert worker.process.poll() is None
                worker.signal(signal.SIGTERM)
                assert worker.wait(5) == 0
                assert "not waiting any longer; the broker goes on" in worker.stderr
            else:
                time.sleep(4.5)  # more than five seconds in all
                assert worker.process.poll() is None, "it waits for as long as the removal takes"
        finally:
            os.kill(dockerd.daemon.pid, signal.SIGCONT)
        assert worker.wait(10) == 0
        worker.process.stdin = None
        worker.end()
        leaks.wait_until_clean(own_broker, dockerd)


def test_a_quick_end_says_nothing(broker):
    broker.profile("plain", docker={})
    done = sandbox.run(broker, "plain")
    assert done.code == 0 and "waiting until" not in done.stderr, done


FOUR_MORE = """
import json, os, socket, time
def ask(name):
    client = socket.socket(socket.AF_UNIX)
    client.connect('/run/sallyport/docker.sock')
    body = json.dumps({'Image': 'busybox', 'Cmd': ['true']}).encode()
    client.sendall(b'POST /v1.41/containers/create?name=%s HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\n'
                   b'Content-Length: %d\\r\\n\\r\\n' % (name.encode(), len(body)) + body)
    return client
for number in range(4):
    assert b' 201 ' in ask(f'known{number}').recv(4096)
more = [ask(f'more{number}') for number in range(4)]
time.sleep(0.02)
os._exit(1)
"""


def test_creates_sent_a_moment_before_the_exit_leave_nothing(own_broker, dockerd):
    own_broker.profile("quick", docker={}, container={"memory": "16MiB"}, budget={"creates": "6000/min"})
    for _ in range(2 * ROUNDS):
        assert sandbox.run_python(own_broker, "quick", FOUR_MORE).code == 1
    leaks.wait_until_clean(own_broker, dockerd)


def test_a_full_house_is_waited_for_while_a_session_ends(dockerd):
    broker = Broker(dockerd.socket, sessions=4, config_extra="max_sessions = 4\n")
    broker.profile("long", command=["/bin/sleep", "1000"], docker={})
    broker.profile("plain", docker={})
    try:
        for _ in range(5 * ROUNDS):
            runs = [sandbox.Run(broker, "long") for _ in range(4)]
            wait_until(lambda: len(broker.processes_of("gate")) == 4, 10, "not all are open")
            for run in runs:
                os.kill(run.launcher_pid, signal.SIGKILL)
            done = sandbox.run(broker, "plain")
            assert done.code == 0, done
            for run in runs:
                run.end()
    finally:
        broker.remove()
