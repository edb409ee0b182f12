"""Every line of attack.jsonl is refused or neutralised: see README.md for what that means."""
import json
import os
import pathlib
import platform
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import canonical  # noqa: E402
import corpus  # noqa: E402
import seat as seats  # noqa: E402
from support.raw_http import Connection  # noqa: E402

LINES = corpus.load("attack.jsonl")


class _Canned:
    """What was received, read again as replies."""

    def __init__(self, data):
        self.data = data

    def settimeout(self, _):
        pass

    def recv(self, size):
        data, self.data = self.data[:size], self.data[size:]
        return data


def replies(answer: bytes, method: str) -> list:
    reader = Connection.__new__(Connection)
    reader.socket, reader.pending = _Canned(answer), b""
    found = []
    while reader.pending or reader.socket.data:
        found.append(reader.read_reply(method if not found else "GET"))
    return found


def names_no_fact_of_the_host(body: bytes) -> bool:
    facts = [platform.node(), platform.release(), platform.version(), str(os.cpu_count() * 10**6)]
    with open("/proc/meminfo") as memory:
        facts.append(str(int(memory.readline().split()[1]) * 1024))
    value = json.loads(body)
    return not any(fact and fact.encode() in body for fact in facts if len(fact) > 3) and not value.get("Images") and \
        value.get("NCPU", 0) in (0, None, 1) and "DockerRootDir" not in {k for k, v in value.items() if v}


@pytest.mark.parametrize("line", corpus.part(LINES), ids=lambda line: line.id)
def test_line_is_refused_or_neutralised(seat, count, line):
    ran, _ = count
    ran[f"attack ({line.kind()})"] += 1
    seat.prepare(running=not line.id.startswith("start-"))
    values = seat.values()
    before = seat.world()
    answer = seat.send(line.bytes(values), longest=15)

    problems = []
    got = replies(answer, line.method)
    # What is smuggled behind a harmless request is what must be refused there.
    refused = all(400 <= reply.status < 600 for reply in (got[1:] if line.id == "raw-pipeline" else got))
    for reply in got:
        if reply.status >= 400 and line.method != "HEAD":
            assert reply.message
    if line.id == "info":
        assert got[0].status == 200 and names_no_fact_of_the_host(got[0].body), got
    elif line.expect == "answers" and [reply.status for reply in got] != line.fields["answers"]:
        problems.append(f"not answered with {line.fields['answers']}: {got}")
    elif line.expect == "deny" and not refused:
        problems.append(f"not refused: {got}")
    for request in seat.recorder.take():
        problems += canonical.problems_of_request(request, seat.session, {seat.own, *seat.own_containers(), *created(got)},
                                                   seat.dockerd.spoken)
    for identity in seat.own_containers():
        problems += canonical.problems_of_container(seat.dockerd.inspect(identity), seat.session)
    after = seat.world()
    problems += [f"{what} changed: {before[what]} -> {after[what]}" for what in before if before[what] != after[what]]
    problems += [f"the answer holds {secret}" for secret in seats.SECRETS if secret in answer]
    if values["FOREIGN_ID"] not in line.bytes(values).decode("latin-1"):
        problems += ["the answer holds the foreign id"] if values["FOREIGN_ID"].encode() in answer else []
    assert seat.broker.alive() and seat.worker.process.poll() is None, "the broker or the session did not survive"
    assert not problems, "\n".join(problems)


def created(got) -> list:
    found = []
    for reply in got:
        if reply.status == 201:
            found.append(reply.json()["Id"])
    return found


def test_the_oracle_sees_what_dockerd_does_without_us(seat):
    """The same checks fail on the same lines when they are sent to dockerd directly: the oracle can fail."""
    line = next(line for line in LINES if line.id == "create-privileged")
    with Connection(seat.dockerd.socket) as direct:
        direct.send(line.bytes(seat.values()).replace(b"/v1.41/", f"/v{seat.dockerd.spoken}/".encode(), 1))
        made = direct.read_reply()
    assert made.status == 201
    try:
        assert canonical.problems_of_container(seat.dockerd.inspect(made.json()["Id"]), seat.session)
    finally:
        seat.dockerd.remove(made.json()["Id"])
