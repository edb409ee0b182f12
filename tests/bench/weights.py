"""What each request costs dockerd and the keeper, in processor time: the source of the weights in broker/api/endpoints.hpp.

    SALLYPORT_BIN=build/release/bin /usr/bin/python3 -m tests.bench.weights

Processor time, not latency: it hardly depends on what else runs. Of containers' own processes (runc, shims) only what
dockerd and containerd have waited for is in it. The last column is a row's cost as a multiple of a small inspect's."""
import os
import time

from tests.support import raw_http
from tests.support.dockerd import Dockerd
from tests.support.processes import children_of

from .seat import Session, broker_for

TICK = 1 / os.sysconf("SC_CLK_TCK")
LOG_MEGABYTES = 5


def seconds_of(pid: int) -> float:
    """Of the process and of the children that it has waited for. From nanoseconds where the kernel has them: a tick of 10 ms
    is longer than most requests."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    own = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as schedstat:
                own += int(schedstat.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return own / 1e9 + (int(fields[13]) + int(fields[14])) * TICK


class Costs:
    def __init__(self, docker, broker):
        self.docker = [docker.daemon.pid, *children_of(docker.daemon.pid)]
        self.keeper = broker.keeper_pid
        self.rows = []

    def measure(self, name: str, times: int, once) -> None:
        once()
        time.sleep(0.3)
        before = sum(seconds_of(pid) for pid in self.docker), seconds_of(self.keeper)
        begun = time.monotonic()
        for _ in range(times):
            once()
        took = time.monotonic() - begun
        time.sleep(0.3)
        after = sum(seconds_of(pid) for pid in self.docker), seconds_of(self.keeper)
        docker, keeper = (1000 * (b - a) / times for a, b in zip(before, after))
        self.rows.append((name, docker, keeper, 1000 * took / times))

    def table(self) -> str:
        unit = self.rows[0][1] + self.rows[0][2]
        lines = [f"{'request':46} {'dockerd ms':>10} {'keeper ms':>10} {'wall ms':>8} {'x inspect':>9}"]
        lines += [f"{name:46} {docker:10.3f} {keeper:10.3f} {wall:8.2f} {(docker + keeper) / unit:9.1f}"
                  for name, docker, keeper, wall in self.rows]
        return "\n".join(lines)


def measure_all(session: Session, costs: Costs) -> None:
    connection = raw_http.Connection(session.socket, 120)

    def ask(method, target, body=None, status=(200, 201, 204, 304)):
        reply = connection.request(method, f"/v1.41/containers/{target}", body)
        assert reply.status in status, (method, target, reply)
        return reply

    def made(command):
        return ask("POST", "create", {"Image": "busybox", "Cmd": command}).json()["Id"]

    sleeper = made(["sleep", "86400"])
    ask("POST", f"{sleeper}/start")
    large = made(["true", "x" * 66_000])
    talker = made(["sh", "-c", f"yes 0123456789012345678901234567890123456789 | head -c {LOG_MEGABYTES * 1024 * 1024}"])
    ask("POST", f"{talker}/start")
    ask("POST", f"{talker}/wait")
    quick = made(["true"])

    costs.measure("inspect", 1000, lambda: ask("GET", f"{sleeper}/json"))
    costs.measure("inspect, an argument of 66 KB", 300, lambda: ask("GET", f"{large}/json"))
    costs.measure("list, 4 containers, one with such an argument", 300, lambda: ask("GET", "json?all=1"))
    logs = f"{talker}/logs?stdout=1&stderr=1"
    costs.measure(f"logs of {LOG_MEGABYTES} MB, since after its end", 20, lambda: ask("GET", f"{logs}&since=4000000000"))
    costs.measure(f"logs of {LOG_MEGABYTES} MB, all", 10, lambda: ask("GET", logs))
    costs.measure(f"logs of {LOG_MEGABYTES} MB, the last 100 lines", 50, lambda: ask("GET", f"{logs}&tail=100"))
    costs.measure("logs of nothing", 300, lambda: ask("GET", f"{quick}/logs?stdout=1"))
    costs.measure("wait, of one that has ended", 300, lambda: ask("POST", f"{talker}/wait"))
    costs.measure("kill with a harmless signal", 100, lambda: ask("POST", f"{sleeper}/kill?signal=CONT"))
    costs.measure("resize", 100, lambda: ask("POST", f"{sleeper}/resize?h=10&w=10", status=(200, 500)))

    def attach():
        with raw_http.Connection(session.socket, 60) as stream:
            stream.send_request("POST", f"/v1.41/containers/{sleeper}/attach?stream=1&stdout=1",
                                headers={"Connection": "Upgrade", "Upgrade": "tcp"})
            assert stream.read_head()[0] == 101

    costs.measure("attach, opened and closed", 100, attach)

    def follow():
        with raw_http.Connection(session.socket, 60) as stream:
            stream.send_request("GET", f"/v1.41/containers/{sleeper}/logs?stdout=1&follow=1")
            assert stream.read_head()[0] == 200

    costs.measure("logs with follow, opened and closed", 100, follow)

    def start_again():
        ask("POST", f"{quick}/start")
        ask("POST", f"{quick}/wait")

    costs.measure("start (again) and wait", 15, start_again)
    costs.measure("stop of one that has ended", 100, lambda: ask("POST", f"{quick}/stop"))
    costs.measure("create and remove", 20, lambda: ask("DELETE", made(["true"])))

    def start_and_kill():
        ask("POST", f"{sleeper}/kill")
        ask("POST", f"{sleeper}/wait")
        ask("POST", f"{sleeper}/start")

    costs.measure("kill, wait and start", 10, start_and_kill)
    for _ in range(7):
        made(["true", "x" * 66_000])
    costs.measure("list, 11 containers, eight with such an argument", 100, lambda: ask("GET", "json?all=1"))


def main() -> None:
    docker = Dockerd()
    broker = session = None
    try:
        docker.import_busybox()
        broker = broker_for(docker.socket)
        session = Session(broker)
        costs = Costs(docker, broker)
        measure_all(session, costs)
        print(costs.table())
    finally:
        if session:
            session.end()
        if broker:
            broker.remove()
        docker.end()


if __name__ == "__main__":
    main()
