"""Waits and streams of many sessions at their bounds: what is left to the next one, and what the keeper holds for them."""
import contextlib
import os
import time

from support import raw_http, sandbox, thorough
from support.broker import Broker
from support.processes import wait_until

SHARE_FOR_STREAMS, COMMON, CLIENTS = 6, 1536, 128
MIB = 1024 * 1024


def own_memory(pid) -> int:
    """Resident and backed by no file: what the broker's ceiling is about."""
    with open(f"/proc/{pid}/statm") as statm:
        _, resident, shared = statm.read().split()[:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")


class Session:
    """Asked from outside the sandbox: the gate serves its socket to whoever reaches it."""

    def __init__(self, broker):
        self.run = sandbox.Run(broker, "many", ["/bin/sleep", "86400"])
        self.socket = self.run.docker_socket
        wait_until(self.answers, 20, f"the session does not answer: {self.run.stderr}")
        self.waits = []

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/_ping").status == 200
        except (OSError, ConnectionError):
            return False

    def ask(self, method, target, body=None) -> raw_http.Reply:
        return raw_http.request(self.socket, method, target, body, timeout=60)

    def create(self, command=("true",)) -> str:
        made = self.ask("POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": list(command)})
        assert made.status == 201, made
        return made.json()["Id"]

    def wait_for_all(self, identity, count) -> tuple:
        """Waits for the next exit of a container that is not started, on so many connections: (granted, refusals)."""
        opened = [raw_http.Connection(self.socket, 60) for _ in range(count)]
        for connection in opened:
            connection.send_request("POST", f"/v1.41/containers/{identity}/wait?condition=next-exit")
        refusals = []
        for connection in opened:
            status, headers = connection.read_head()
            if status == 200:
                self.waits.append(connection)
                continue
            refusals.append(raw_http.Reply(status, headers, connection._exactly(int(headers["content-length"]))))
            connection.close()
        return len(self.waits), refusals

    def end(self):
        for connection in self.waits:
            connection.close()
        self.run.end()


@contextlib.contextmanager
def full_house(dockerd, sessions):
    broker = Broker(dockerd.socket, sessions=80, config_extra="max_sessions = 64\n")
    broker.profile("many", docker={}, container={"memory": "16MiB"})
    opened = []
    try:
        granted, refusals = 0, []
        for _ in range(sessions):
            opened.append(Session(broker))
            got, refused = opened[-1].wait_for_all(opened[-1].create(), CLIENTS - 2)
            granted += got
            refusals += refused
        yield broker, opened, granted, refusals
    finally:
        for session in opened:
            session.end()
        broker.remove()


def test_the_seventeenth_session_works_beside_sixteen_at_their_bounds(dockerd):
    with full_house(dockerd, 16) as (broker, sessions, granted, refusals):
        assert granted == COMMON + 16 * SHARE_FOR_STREAMS, (granted, len(refusals))
        assert {r.status for r in refusals} == {503}
        assert "its share of 8 connections is used up, and so are the 1536 that all sessions have in common; end waits" in refusals[0].message
        assert broker.audit(rule="dockerd.connections", decision="DENY"), "it is in the trail"
        told = [line for line in broker.log_file.read_text().splitlines() if ": was refused POST /containers/{name}/wait" in line]
        assert 1 <= len(told) <= 16, "it is in the journal once for a session, and does not fill it"
        assert "was refused POST /containers/{name}/wait" in sessions[-1].run.stderr, "and on stderr of its run"

        neighbour = Session(broker)
        sessions.append(neighbour)
        identity = neighbour.create(["sh", "-c", "echo done"])
        with raw_http.Connection(neighbour.socket, 60) as waiting, raw_http.Connection(neighbour.socket, 60) as attached:
            attached.send_request("POST", f"/v1.41/containers/{identity}/attach?stream=1&stdout=1",
                                  headers={"Connection": "Upgrade", "Upgrade": "tcp"})
            assert attached.read_head()[0] == 101
            waiting.send_request("POST", f"/v1.41/containers/{identity}/wait?condition=next-exit")
            assert waiting.read_head()[0] == 200
            assert neighbour.ask("POST", f"/v1.41/containers/{identity}/start").status == 204
            assert b'"StatusCode":0' in waiting.read_chunk().replace(b" ", b"")
            assert raw_http.frames(attached.read_to_end())[1] == b"done\n"
        assert neighbour.ask("DELETE", f"/v1.41/containers/{identity}").status == 204
        # One of those that are full: its waits cannot keep it from what ends them.
        assert sessions[15].ask("GET", "/v1.41/containers/json?all=1").status == 200

        begun = time.monotonic()
        sessions[0].run.end()
        assert time.monotonic() - begun < 5, "an ending waits for nobody's streams"
        assert own_memory(broker.keeper_pid) < 64 * MIB


def test_the_keeper_of_a_full_house_stays_below_its_ceiling(dockerd):
    """All 64 sessions at their bounds: as many waits as they get, the rest refused; scaled down where time is short."""
    count = thorough.rounds(20, 64)
    with full_house(dockerd, count) as (broker, sessions, granted, refusals):
        assert granted == COMMON + count * SHARE_FOR_STREAMS
        held = own_memory(broker.keeper_pid)
        print(f"keeper: {held / MIB:.1f} MiB for {count} sessions and {granted} waits")
        assert held < 64 * MIB * count / 64, "a full house stays below the ceiling, and a part of it below its part"
        for session in sessions:
            assert session.ask("GET", "/v1.41/containers/json?all=1").status == 200
