"""A container's whole life, and a gigabyte of its output, through the broker and direct. The direct side sends the very
configuration that the keeper's canonical request gave the first container (read back by inspect): what differs is the way."""
import statistics
import time

from tests.support import raw_http
from tests.support.dockerd import Dockerd

from .measure import MIB, Row, ask_tool, in_turn, paired_ratio
from .seat import Session, broker_for


# Long printable lines: what dockerd's own log costs, on both sides, is least with them.
LINE = "0123456789" * 800


class Direct:
    """dockerd itself, asked for containers like one that the session made."""

    def __init__(self, docker: Dockerd, session: Session):
        self.socket = docker.socket
        made = docker.inspect(session.create(["true"]))
        self.body = {**made["Config"], "HostConfig": made["HostConfig"]}
        # Of the id: dockerd gave it because nobody named one, and the keeper names none either.
        self.body.pop("Hostname")

    def create_body(self, command) -> dict:
        return {**self.body, "Cmd": list(command)}


class Ours:
    def __init__(self, session: Session):
        self.socket = session.socket

    def create_body(self, command) -> dict:
        return {"Image": "busybox", "Cmd": list(command)}


def create(connection, side, command) -> str:
    made = connection.request("POST", "/v1.41/containers/create", side.create_body(command))
    assert made.status == 201, made
    return made.json()["Id"]


def life(side) -> float:
    with raw_http.Connection(side.socket, 60) as connection:
        begun = time.monotonic()
        identity = create(connection, side, ["true"])
        started = connection.request("POST", f"/v1.41/containers/{identity}/start")
        waited = connection.request("POST", f"/v1.41/containers/{identity}/wait")
        removed = connection.request("DELETE", f"/v1.41/containers/{identity}?v=1")
        took = time.monotonic() - begun
    assert (started.status, waited.status, removed.status) == (204, 200, 204), (started, waited, removed)
    assert waited.json()["StatusCode"] == 0, waited
    return took * 1000


def output(side, megabytes: int) -> float:
    with raw_http.Connection(side.socket, 60) as connection:
        identity = create(connection, side, ["sh", "-c", f"yes {LINE} | head -c {megabytes * MIB}"])
    result = ask_tool("attach_drain", "--socket", side.socket, "--id", identity)
    with raw_http.Connection(side.socket, 60) as connection:
        assert connection.request("DELETE", f"/v1.41/containers/{identity}?force=1").status == 204
    assert result["bytes"] >= megabytes * MIB, result
    return megabytes / result["seconds"]


def with_sides(measure) -> list:
    docker = Dockerd()
    broker = session = None
    try:
        docker.import_busybox()
        broker = broker_for(docker.socket)
        session = Session(broker)
        return measure({"ours": Ours(session), "direct": Direct(docker, session)})
    finally:
        if session:
            session.end()
        if broker:
            broker.remove()
        docker.end()


def lives(options) -> list:
    def measure(sides):
        in_turn(sides, 2, life)
        results = in_turn(sides, 6 if options.quick else 40, life)
        return [Row("container create+start+wait+remove", "ms", statistics.median(results["ours"]),
                    statistics.median(results["direct"]), "direct", "<= 1.05", paired_ratio(results["ours"], results["direct"]))]
    return with_sides(measure)


def attach(options) -> list:
    def measure(sides):
        in_turn(sides, 1, lambda side: output(side, 16))
        megabytes, rounds = (64, 2) if options.quick else (1024, 3)
        results = in_turn(sides, rounds, lambda side: output(side, megabytes))
        return [Row(f"attach, {megabytes} MiB of output", "MiB/s", statistics.median(results["ours"]),
                    statistics.median(results["direct"]), "direct", ">= 0.8", paired_ratio(results["ours"], results["direct"]))]
    return with_sides(measure)
