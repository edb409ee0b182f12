"""How cost grows with sessions and with containers; see scripts/growth. Rows for scripts/bench, and a table for people."""
import argparse
import concurrent.futures
import os
import resource
import statistics
import sys
import time

from tests.support import places, raw_http, sandbox
from tests.support.broker import Broker
from tests.support.dockerd import Dockerd
from tests.support.processes import private_bytes

from .launching import COMMAND
from .measure import MIB, Row, ask_tool, tool
from .peers import FakeDocker
from .seat import WITHOUT_LIMITS, Session
from .weights import seconds_of

SESSIONS = (1, 10, 100, 500, 1000)
RANGES_IN_TURN = 4096  # of uids, among which one is looked for (kRangesInTurn)
SCARCE = 508  # of which a place with 500 sandboxes has 8 left
CONTAINERS = (1, 100, 500, 1000, 2000, 4000)
LIST = "/v1.41/containers/json?all=1"


# --- launches beside idle sandboxes ---

class Crowd:
    """A place with so many idle sandboxes in it: sessions of a broker, or such as need none."""

    def __init__(self, most: int, docker_socket=None, ranges=RANGES_IN_TURN):
        self.broker = Broker(docker_socket or "/nonexistent", sessions=ranges, start=docker_socket is not None,
                             config_extra=f"max_sessions = {most + 4}\n")
        docker = {} if docker_socket else None
        self.broker.profile("bench", command=COMMAND, docker=docker)
        self.broker.profile("idle", command=["/bin/sleep", "86400"], docker=docker)
        self.runs = []
        self.command = [places.program("sallyport"), "run", *self.broker.options, "bench"]

    def grow_to(self, sessions: int):
        while len(self.runs) < sessions:
            self.runs.append(sandbox.Run(self.broker, "idle"))
        for run in self.runs:
            assert run.init_pid

    def end(self):
        for run in self.runs:
            run.signal(15)
        for run in self.runs:
            run.end()
        self.broker.remove()


def launch_beside_500(options) -> list:
    rows = one_beside_500("launch, its place having 500 sandboxes", None, options)
    rows += one_beside_500("the same, with 8 uid ranges left", None, options, SCARCE)
    fake = FakeDocker()
    try:
        return rows + one_beside_500("session opened and ended, its broker having 500", fake.socket, options)
    finally:
        fake.end()


def one_beside_500(name: str, docker_socket, options, ranges=RANGES_IN_TURN) -> list:
    """Both places at once, so that what the kernel takes for a start beside 501 sandboxes is the same in both. And with the same span:
    on one machine a wide one cost more by itself (9 ranges 5.5 ms, 508 and more 7.3 ms), on another not (9.2 ms with 9 and with 4096)."""
    few, many = Crowd(1, docker_socket, ranges), Crowd(500, docker_socket, ranges)
    try:
        few.grow_to(1)
        many.grow_to(500)
        one, of_many = ask_tool("launch_loop", 60 if options.quick else 400, "--", *few.command, "--", *many.command)
    finally:
        few.end()
        many.end()
    return [Row(name, "us", of_many["median_us"], one["median_us"], "one", "<= 1.1", of_many["ratio_to_first"])]


# --- lists ---

class Full:
    """A session with ever more containers, on a dockerd of its own."""

    def __init__(self):
        self.docker = Dockerd()
        self.docker.import_busybox()
        self.broker = Broker(self.docker.socket)
        self.broker.profile("bench", command=("/bin/sleep", "86400"), docker={}, budget=WITHOUT_LIMITS | {"containers": 4096})
        self.session = Session(self.broker)
        self.identities = []

    def grow_to(self, containers: int):
        with concurrent.futures.ThreadPoolExecutor(4) as several:
            wanted = range(len(self.identities), containers)
            self.identities += several.map(lambda _: self.session.create(["true"]), wanted)

    def end(self):
        self.session.end()
        self.broker.remove()
        self.docker.end()


def keeper_seconds_of_a_list(full: Full, rounds: int) -> float:
    keeper, taken = full.broker.keeper_pid, []
    with raw_http.Connection(full.session.socket, 60) as connection:
        for _ in range(rounds):
            before = seconds_of(keeper)
            listed = connection.request("GET", LIST)
            assert listed.status == 200 and len(listed.json()) == len(full.identities), listed.status
            taken.append(seconds_of(keeper) - before)
    return statistics.median(taken)


def keeper_of_lists(options) -> list:
    full, rows = Full(), []
    try:
        full.grow_to(100)
        few = keeper_seconds_of_a_list(full, 30) / 100
        for containers in (1000,) if options.quick else (1000, 4000):
            full.grow_to(containers)
            many = keeper_seconds_of_a_list(full, 10) / containers
            rows.append(Row(f"keeper's CPU for each of {containers} containers listed", "us", many * 1e6, few * 1e6, "of 100", "<= 1.2"))
    finally:
        full.end()
    return rows


# --- the table ---

def milliseconds(socket: str, target: str, rounds: int) -> float:
    taken = []
    with raw_http.Connection(socket, 120) as connection:
        for _ in range(rounds):
            begun = time.monotonic()
            assert connection.request("GET", target).status == 200
            taken.append((time.monotonic() - begun) * 1e3)
    return statistics.median(taken)


def line(*cells):
    print("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True)


def table_of_sessions(most: int):
    line("sessions", "next opens in ms", "launch, no broker, ms", "inspect ms, ours", "direct", "ratio", "keeper MiB", "spawner MiB")
    line(*["---"] * 8)
    docker = Dockerd()
    docker.import_busybox()
    broker = Broker(docker.socket, sessions=most + 8, config_extra=f"max_sessions = {most + 4}\n")
    broker.profile("bench", command=("/bin/sleep", "86400"), docker={}, budget=WITHOUT_LIMITS)
    broker.profile("launch", command=COMMAND)
    sessions = []
    try:
        for number in SESSIONS:
            if number > most:
                break
            while len(sessions) < number:
                sessions.append(Session(broker))
            opened = []
            for _ in range(5):
                begun = time.monotonic()
                one = Session(broker)
                opened.append((time.monotonic() - begun) * 1e3)
                one.end()
            launched, = ask_tool("launch_loop", 60, "--", places.program("sallyport"), "run", *broker.options, "launch")
            identity = sessions[-1].create(["true"])
            target = f"/v1.41/containers/{identity}/json"
            ours, direct = milliseconds(sessions[-1].socket, target, 50), milliseconds(docker.socket, target, 50)
            line(number, statistics.median(opened), launched["median_us"] / 1e3, ours, direct, ours / direct,
                 private_bytes(broker.keeper_pid) / MIB, private_bytes(broker.spawner_pid) / MIB)
        begun = time.monotonic()
        for session in sessions:
            session.run.signal(15)
        for session in sessions:
            session.end()
        print(f"\n{len(sessions)} sessions ended at once in {time.monotonic() - begun:.1f} s\n")
        sessions = []
    finally:
        for session in sessions:
            session.end()
        broker.remove()
        docker.end()


def table_of_containers(most: int):
    line("containers", "list ms, ours", "direct", "ratio", "keeper's CPU us each", "inspect ms, ours", "direct", "ratio",
         "create ms, ours", "direct", "ratio")
    line(*["---"] * 11)
    full = Full()
    body = {"Image": "busybox", "Cmd": ["true"]}
    try:
        for number in CONTAINERS:
            if number > most:
                break
            full.grow_to(number)
            listed = [milliseconds(where, LIST, 5) for where in (full.session.socket, full.docker.socket)]
            each = keeper_seconds_of_a_list(full, 5) / number * 1e6
            target = f"/v1.41/containers/{full.identities[-1]}/json"
            inspected = [milliseconds(where, target, 50) for where in (full.session.socket, full.docker.socket)]
            created = []
            for where in (full.session.socket, full.docker.socket):
                taken = []
                for _ in range(5):
                    begun = time.monotonic()
                    made = raw_http.request(where, "POST", "/v1.41/containers/create", body, timeout=60).json()["Id"]
                    taken.append((time.monotonic() - begun) * 1e3)
                    raw_http.request(where, "DELETE", f"/v1.41/containers/{made}", timeout=60)
                created.append(statistics.median(taken))
            line(number, *listed, listed[0] / listed[1], each, *inspected, inspected[0] / inspected[1], *created, created[0] / created[1])
    finally:
        full.end()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/growth", description="Prints how cost grows with sessions and with containers.")
    parser.add_argument("--sessions", type=int, default=SESSIONS[-1], help="up to so many")
    parser.add_argument("--containers", type=int, default=CONTAINERS[-1], help="up to so many")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("scripts/growth: sessions and dockerd need root: run it with sudo", file=sys.stderr)
        return 2
    tool("launch_loop")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # four of each session here
    if options.sessions > 0:
        table_of_sessions(options.sessions)
    if options.containers > 0:
        table_of_containers(options.containers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
