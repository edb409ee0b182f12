"""The audit trail and the rates against a worker that floods, ends, starts again and fills the disk."""
import os
import stat
import subprocess
import time

import pytest
from support import leaks, raw_http, sandbox
from support.broker import Broker

# Pipelines requests and reads every answer; then the program ends at once.
FLOOD = """
import socket, sys, threading
api = socket.socket(socket.AF_UNIX)
api.connect('/run/sallyport/docker.sock')
def write():
    for number in range(4000):
        api.sendall(request(number))
threading.Thread(target=write).start()
answers = b''
while answers.count(b'HTTP/1.1 4') < 4000:
    answers += api.recv(1 << 20) or sys.exit('the connection was closed')
"""
PRIVILEGED = """
body = b'{"Image":"busybox","HostConfig":{"Privileged":true}}'
def request(number):
    return b'POST /v1.41/containers/create HTTP/1.1\\r\\nHost: d\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(body), body)
"""
PATHS = """
def request(number):
    return b'GET /v1.41/nothing/%d HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n' % number
"""


def refusals_of_gate(broker, since):
    return sum(r["count"] for r in broker.audit(source="gate", decision="DENY") if r["session"] not in since)


@pytest.mark.parametrize("request_code", [PRIVILEGED, PATHS], ids=["one-kind", "all-different"])
def test_refusals_by_the_gate_are_counted_however_soon_the_session_ends(broker, request_code):
    broker.profile("flooder", docker={})
    before = set(broker.sessions())
    done = sandbox.run_python(broker, "flooder", request_code + FLOOD, seconds=60)
    assert done.code == 0, done
    assert refusals_of_gate(broker, before) == 4000
    (end,) = [r for r in broker.audit(event="session-end") if r["session"] not in before]
    assert "missing" not in end["reason"], end


def test_a_gate_that_is_killed_takes_no_count_with_it(broker):
    broker.profile("flooder", docker={})
    before = set(broker.sessions())
    with sandbox.Worker(broker, "flooder") as worker:
        worker.do(PRIVILEGED + FLOOD)
        (gate,) = broker.processes_of("gate", worker.uid_base)
        os.kill(gate, 9)
        worker.wait(20)
    assert refusals_of_gate(broker, before) == 4000
    (end,) = [r for r in broker.audit(event="session-end") if r["session"] not in before]
    assert "are counted, what they were is missing" in end["reason"], end


def creates_of_a_run(broker, profile="restarting"):
    done = sandbox.run_python(broker, profile, sandbox.EIGHT_CREATES)
    assert done.code == 0, done
    return done.out.split().count("201")


def test_a_worker_that_starts_again_finds_its_rates_spent(dockerd):
    broker = Broker(dockerd.socket)
    try:
        broker.profile("restarting", docker={}, budget={"creates": "5/min", "containers": 20})
        began = time.monotonic()
        made = creates_of_a_run(broker)
        assert made == 5
        made += creates_of_a_run(broker)
        assert broker.end() == 0
        broker.start()
        made += creates_of_a_run(broker)
        broker.kill()
        broker.start()
        made += creates_of_a_run(broker)
        refilled = (time.monotonic() - began) * 5 / 60
        assert made <= 5 + refilled, f"{made} in {time.monotonic() - began:.1f} s"
        broker.profile("other", docker={}, budget={"creates": "5/min", "containers": 20})
        assert creates_of_a_run(broker, "other") == 5, "its own"
    finally:
        broker.remove()


def test_workers_side_by_side_have_a_rate_each(broker):
    broker.profile("restarting", docker={}, budget={"creates": "5/min", "containers": 20})
    with sandbox.Worker(broker, "restarting") as other, raw_http.Connection(other.docker_socket) as api:
        for _ in range(5):
            assert api.request("POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": ["true"]}).status == 201
        assert api.request("POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": ["true"]}).status == 429
        assert creates_of_a_run(broker) == 5


def trail_bytes(broker):
    return sum(path.stat().st_size for path in broker.logs.glob("audit.jsonl*"))


def spend_all_but(broker, profile, left):
    """As if this hour's openings and endings of the profile had used their share up to so many bytes."""
    (broker.state / "accounts").mkdir(parents=True, exist_ok=True)
    share = 1800 * 2304
    shares = "share 0 0 0\n" * 4 + f"share {share - share // 4 - left} 0 0\n"
    (broker.state / "accounts" / profile).write_text(f"sallyport-accounts 3\nhour {int(time.time()) // 3600}\n{shares}unwritten 0\n")


def test_a_worker_that_is_started_again_and_again_writes_no_more_than_its_share(dockerd):
    broker = Broker(dockerd.socket, start=False)
    try:
        if time.time() % 3600 > 3570:
            time.sleep(35)
        spend_all_but(broker, "again", 3000)
        broker.start()
        broker.profile("again", docker={})
        for _ in range(30):
            assert sandbox.run(broker, "again", ["/bin/true"]).code == 0
        assert trail_bytes(broker) < 3000 + 2000, "and what was counted, once"
        assert broker.end() == 0
        written = broker.audit(profile="again", event="session-open") + broker.audit(profile="again", event="session-end")
        counted = [r for r in broker.audit(profile="again") if r["rule"] == "audit.quota"]
        assert all("openings and endings beyond the profile's share" in r["reason"] for r in counted), counted
        assert len(written) + sum(r["count"] for r in counted) == 60
        assert "its share of the audit trail for openings and endings is used up" in broker.log_file.read_text()
    finally:
        broker.remove()


@pytest.fixture
def small_disk(dockerd):
    """A broker whose trail is on a small filesystem of its own."""
    broker = Broker(dockerd.socket, start=False)
    broker.logs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", broker.logs], check=True)
    try:
        broker.start()
        yield broker
    finally:
        broker.end()
        subprocess.run(["umount", broker.logs], check=True)
        broker.remove()


def fill(broker):
    with open(broker.logs / "hog", "wb", buffering=0) as hog:
        try:
            while hog.write(b"x" * 4096):
                pass
        except OSError:
            pass


def spend_what_shows_that_the_disk_is_full(*clients):
    """Refusals do it as well as changes, and dockerd has no work with them; beyond its profile's share each is counted only."""
    name = "n" * 120
    for api in clients:
        statuses = set()
        while not statuses & {429, 503}:
            for _ in range(100):
                api.send_request("POST", f"/v1.41/containers/{name}/kill")
            statuses = {api.read_reply().status for _ in range(100)}
            assert statuses <= {404, 429, 503}, statuses


def kill_until_refused(api):
    granted = refused = 0
    while refused < 20:
        status = api.request("POST", "/v1.41/containers/loop/kill?signal=CONT").status
        granted += status == 204
        refused += status == 503
    return granted


def test_on_a_full_disk_what_is_granted_is_recorded_and_no_profile_spends_what_is_the_others(small_disk, dockerd):
    broker = small_disk
    for name in ("hostile", "neighbour"):
        broker.profile(name, docker={}, budget={"requests": "1000000/min"})
    with sandbox.Worker(broker, "hostile") as hostile, sandbox.Worker(broker, "neighbour") as neighbour, \
            raw_http.Connection(hostile.docker_socket) as api, raw_http.Connection(neighbour.docker_socket) as other:
        for client in (api, other):
            assert client.request("POST", "/v1.41/containers/create?name=loop", {"Image": "busybox", "Cmd": ["sleep", "86400"]}).status == 201
            assert client.request("POST", "/v1.41/containers/loop/start").status == 204
        fill(broker)
        spend_what_shows_that_the_disk_is_full(other, api)
        granted = kill_until_refused(api)
        kills = [r for r in broker.audit(decision="ALLOW", profile="hostile") if r["endpoint"].endswith("/kill")]
        assert granted == sum(r["count"] for r in kills) > 0
        assert api.request("GET", "/v1.41/containers/loop/json").status == 503
        assert api.request("DELETE", "/v1.41/containers/loop?force=1").status == 204, "what only takes away"
        assert other.request("POST", "/v1.41/containers/loop/stop?t=0").status in (204, 304)
        assert other.request("DELETE", "/v1.41/containers/loop?force=1").status == 204
    assert len(broker.audit(event="session-end")) == 2
    (broker.logs / "hog").unlink()
    broker.profile("later", docker={})
    assert sandbox.run_python(broker, "later", "pass").code == 0, "it recovers by itself"
    leaks.wait_until_clean(broker, dockerd)


KINDS = {  # what answers, where dockerd is not asked: the keeper, or the gate alone
    "keeper": ("/containers/" + "n" * 120 + "/kill", {}),
    "gate": ("/containers/create", {"Image": "busybox", "HostConfig": {"Privileged": True}}),
}


def refusals(api, who, count):
    path, body = KINDS[who]
    refused = set()
    for _ in range(count // 50):
        for _ in range(50):
            api.send_request("POST", "/v1.41" + path, body)
        refused |= {api.read_reply().status for _ in range(50)}
    return refused


@pytest.mark.parametrize("who", KINDS)
def test_refusals_on_a_full_disk_are_all_told_when_there_is_space_again(small_disk, who):
    broker = small_disk
    for name in ("neighbour", "hostile"):
        broker.profile(name, docker={}, budget={"requests": "1000000/min"})
    with sandbox.Worker(broker, "neighbour") as neighbour, raw_http.Connection(neighbour.docker_socket, 60) as api:
        fill(broker)
        refusals(api, "keeper", 3500)  # half of the reserve is used before it shows that the disk is full; a share is less
    sent = 0
    with sandbox.Worker(broker, "hostile") as worker, raw_http.Connection(worker.docker_socket, 60) as api:
        while sent < 3500:
            sent += 50
            if 503 in refusals(api, "keeper", 50):
                break
        sent += 1000
        refusals(api, who, 1000)
        (broker.logs / "hog").unlink()
    denied = broker.audit(decision="DENY", profile="hostile")
    assert sum(r["count"] for r in denied) == sent
    assert [r for r in denied if r["rule"] == "audit.unwritten"], "the disk was full"


def test_trail_accounts_and_their_directories_are_the_keepers_alone(broker):
    broker.profile("modes", docker={})
    assert sandbox.run_python(broker, "modes", "pass").code == 0
    for path, mode in [(broker.logs, 0o750), (broker.logs / "audit.jsonl", 0o600), (broker.logs / "audit.jsonl.reads", 0o600),
                       (broker.state, 0o700), (broker.state / "accounts", 0o700), (broker.state / "accounts/modes", 0o600),
                       (broker.state / "sessions", 0o700), (broker.state / "broker-id", 0o600)]:
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == mode, path
        assert status.st_uid == broker.user, path
