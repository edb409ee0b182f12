"""What a neighbour's inspect takes beside one hostile session that uses up its default budget: readers of a 5 MB log that
ask for nothing of it, and inspects of a container with an argument of 66 KB, from more connections than it has turns."""
import statistics
import threading
import time

from tests.support import raw_http
from tests.support.dockerd import Dockerd

from .measure import Row, ask_tool
from .seat import Session, broker_for

LOG_READERS, INSPECTORS = 8, 32


class Hostile:
    """Asks on, whatever it is answered, within a `with`."""

    def __init__(self, session: Session):
        self.session = session
        large = session.create(["true", "x" * 66_000])
        talker = session.create(["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 5242880"])
        for action in ("start", "wait"):
            raw_http.request(session.socket, "POST", f"/v1.41/containers/{talker}/{action}", timeout=120)
        self.targets = ([f"/v1.41/containers/{talker}/logs?stdout=1&since=4000000000"] * LOG_READERS +
                        [f"/v1.41/containers/{large}/json"] * INSPECTORS)

    def ask_on(self, target):
        granted, refused = self.answers[target.partition("?")[0].rpartition("/")[2]]
        with raw_http.Connection(self.session.socket, 60) as connection:
            while not self.stopped.is_set():
                (granted if connection.request("GET", target).status == 200 else refused).append(time.monotonic())

    def __enter__(self):
        self.stopped, self.answers = threading.Event(), {"logs": ([], []), "json": ([], [])}
        self.threads = [threading.Thread(target=self.ask_on, args=(target,)) for target in self.targets]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        # Both were served, and both met the budget: else this is no attack, or no defence.
        assert all(granted and refused for granted, refused in self.answers.values()), {
            kind: [len(part) for part in parts] for kind, parts in self.answers.items()}


def neighbour(options) -> list:
    docker = Dockerd()
    broker = None
    sessions = []
    try:
        docker.import_busybox()
        broker = broker_for(docker.socket)
        broker.profile("hostile", command=("/bin/sleep", "86400"), docker={}, container={"memory": "256MiB"})
        honest, hostile = Session(broker), Session(broker, "hostile")
        sessions = [honest, hostile]
        identity = honest.create(["sleep", "600"])
        attack = Hostile(hostile)

        def inspect() -> dict:
            return ask_tool("http_load", "--socket", honest.socket, "--target", f"/v1.41/containers/{identity}/json",
                            "--connections", 1, "--seconds", 3 if options.quick else 8, "--warmup", 0.2)

        idle, beside = [], []
        rounds = 2 if options.quick else 5
        for _ in range(rounds):
            idle.append(inspect())
            with attack:
                beside.append(inspect())  # from its burst on, which has filled up again in the idle part
    finally:
        for session in sessions:
            session.end()
        if broker:
            broker.remove()
        docker.end()
    return [Row(f"neighbour's inspect beside a hostile session, {metric}", "us", statistics.median(r[f"{metric}_us"] for r in beside),
                statistics.median(r[f"{metric}_us"] for r in idle), "idle", "<= 3.0" if metric == "p99" else "",
                statistics.median(b[f"{metric}_us"] / i[f"{metric}_us"] for b, i in zip(beside, idle)))
            for metric in ("p50", "p99")]
