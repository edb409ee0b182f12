"""GET /containers/{id}/json through the broker, against direct and against HAProxy with a path filter.

The peer to beat is HAProxy configured as docker-socket-proxy ships it. HAProxy that keeps its server connections is
measured too, as the bound of what one process in front of dockerd can do: a request through the broker crosses two
processes, six wake-ups instead of four, and its answer is rebuilt."""
import statistics

from tests.support.dockerd import Dockerd

from .measure import Row, ask_tool, in_turn, paired_ratio
from .peers import FakeDocker, Haproxy
from .seat import Session, broker_for

PEERS = {"direct": "", "HAProxy as docker-socket-proxy": "better", "HAProxy, kept connections": ""}


def rows_of(upstream: str, connections: int, results: dict) -> list:
    rows = []
    for metric, unit, goal in (("p50_us", "us", "< 1.0"), ("rate", "1/s", "> 1.0")):
        ours = [result[metric] for result in results["ours"]]
        for peer, wish in PEERS.items():
            theirs = [result[metric] for result in results[peer]]
            name = f"inspect on {upstream}, {connections} connection{'s' if connections > 1 else ''}, {'latency' if unit == 'us' else 'rate'}"
            rows.append(Row(name, unit, statistics.median(ours), statistics.median(theirs), peer, goal if wish else "",
                            paired_ratio(ours, theirs)))
    return rows


def measure(upstream: str, name: str, options, container=None) -> list:
    """Against whatever listens at `upstream`."""
    broker = broker_for(upstream)
    session = plain = kept = None
    rows = []
    try:
        session = Session(broker)
        plain, kept = Haproxy(upstream, False), Haproxy(upstream, True)
        identity = session.create(["sleep", "600"])
        sockets = {"ours": session.socket, "direct": upstream, "HAProxy as docker-socket-proxy": plain.socket,
                   "HAProxy, kept connections": kept.socket}
        for connections in (1, 16):
            results = in_turn(sockets, 3 if options.quick else 9, lambda socket: ask_tool(
                "http_load", "--socket", socket, "--target", f"/v1.41/containers/{identity}/json", "--connections", connections,
                "--seconds", 0.4 if options.quick else 0.8, "--warmup", 0.2))
            rows += rows_of(name, connections, results)
    finally:
        for part in (plain, kept, session):
            if part:
                part.end()
        broker.remove()
    return rows


def on_fake(options) -> list:
    fake = FakeDocker()
    try:
        return measure(fake.socket, "a fast upstream", options)
    finally:
        fake.end()


def on_dockerd(options) -> list:
    docker = Dockerd()
    try:
        docker.import_busybox()
        return measure(docker.socket, "dockerd", options)
    finally:
        docker.end()
