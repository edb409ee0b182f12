"""As many sessions, and as many containers, as may be at once: nothing is refused, nothing is held up, nothing is left."""
import concurrent.futures
import os
import resource
import signal
import time

import pytest

from tests.support import leaks, raw_http, sandbox
from tests.support.broker import Broker

SESSIONS = 1000
CONTAINERS = 4096  # the most that a profile may allow, and kMaxListedContainers
UNBOUND = {"creates": "1000000/min", "requests": "10000000/min"}


def create(where, name="one"):
    return raw_http.request(where, "POST", f"/v1.41/containers/create?name={name}", {"Image": "busybox", "Cmd": ["true"]}, timeout=120)


class Seat(sandbox.Run):
    """A session whose worker waits, and its API door from outside."""

    def __init__(self, broker, profile):
        super().__init__(broker, profile, ["/bin/sh", "-c", "echo here; read line"])
        assert self.process.stdout.readline() == b"here\n", self.stderr

    def names(self) -> list:
        listed = raw_http.request(self.docker_socket, "GET", "/v1.41/containers/json?all=1", timeout=120)
        assert listed.status == 200, listed
        return [name for container in listed.json() for name in container["Names"]]

    def run_container(self):
        for action, status in (("start", 204), ("wait", 200)):
            done = raw_http.request(self.docker_socket, "POST", f"/v1.41/containers/one/{action}", timeout=300)
            assert done.status == status, done


@pytest.fixture
def many_files():
    """This program holds four of each session."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.long
def test_a_thousand_sessions_with_a_container_each_open_work_and_end_at_once(dockerd, many_files):
    broker = Broker(dockerd.socket, sessions=SESSIONS + 8, config_extra=f"max_sessions = {SESSIONS + 1}\n")
    seats = []
    try:
        broker.profile("one", docker={}, budget=UNBOUND | {"containers": 1})
        keeper = broker.keeper_pid
        idle = descriptors_of(keeper)
        with concurrent.futures.ThreadPoolExecutor(8) as several:
            list(several.map(lambda _: seats.append(Seat(broker, "one")), range(SESSIONS)))
            assert descriptors_of(keeper) - idle <= 8 * SESSIONS, "kDescriptorsPerSession"
            assert len({seat.uid_base for seat in seats}) == SESSIONS
            for made in several.map(lambda seat: create(seat.docker_socket), seats):
                assert made.status == 201, made
            for names in several.map(Seat.names, seats):
                assert names == ["/one"]
            list(several.map(Seat.run_container, seats[::20]))
        for seat in seats:
            seat.signal(signal.SIGTERM)
        deadline = time.monotonic() + 300
        codes = [seat.wait(max(1, deadline - time.monotonic())) for seat in seats]
        assert set(codes) == {143}, {code: codes.count(code) for code in codes}
        leaks.wait_until_clean(broker, dockerd, 60)
        assert broker.alive() and broker.keeper_pid == keeper, broker.daemon.log_tail(40)
        endings = broker.audit(event="session-end")
        assert len(endings) == SESSIONS and len({ending["session"] for ending in endings}) == SESSIONS
        with Seat(broker, "one") as again:
            assert create(again.docker_socket).status == 201
    finally:
        for seat in seats:
            seat.end()
        broker.remove()


@pytest.mark.long
def test_a_session_lists_as_many_containers_as_a_profile_may_allow_and_is_refused_one_more(dockerd):
    broker = Broker(dockerd.socket)
    try:
        broker.profile("many", docker={}, budget=UNBOUND | {"containers": CONTAINERS})
        with Seat(broker, "many") as seat, concurrent.futures.ThreadPoolExecutor(4) as several:
            made = list(several.map(lambda number: create(seat.docker_socket, f"c{number}"), range(CONTAINERS)))
            assert {reply.status for reply in made} == {201}, next(reply for reply in made if reply.status != 201)
            assert sorted(seat.names()) == sorted(f"/c{number}" for number in range(CONTAINERS))
            beyond = create(seat.docker_socket, "beyond")
            assert beyond.status == 403 and f"the session has {CONTAINERS} containers" in beyond.json()["message"], beyond
            assert raw_http.request(seat.docker_socket, "DELETE", "/v1.41/containers/c17", timeout=60).status == 204
            assert create(seat.docker_socket, "beyond").status == 201, "the count is right at the bound"
        leaks.wait_until_clean(broker, dockerd, 120)
    finally:
        broker.remove()
