"""Private memory (smaps_rollup) of an idle gate, and of a keeper with a hundred sessions."""
import statistics

from tests.support.processes import private_bytes

from .measure import MIB, Row
from .peers import FakeDocker
from .seat import Session, broker_for


def memory(options) -> list:
    sessions = 10 if options.quick else 100
    fake = FakeDocker()
    broker = None
    open_sessions = []
    try:
        broker = broker_for(fake.socket, sessions=sessions + 4)
        for _ in range(sessions):
            open_sessions.append(Session(broker))
        gates = [private_bytes(pid) / MIB for pid in broker.processes_of("gate")]
        assert len(gates) == sessions, gates
        keeper = private_bytes(broker.keeper_pid) / MIB
        spawner = private_bytes(broker.spawner_pid) / MIB
    finally:
        for session in open_sessions:
            session.end()
        if broker:
            broker.remove()
        fake.end()
    return [Row("private memory of an idle gate", "MiB", statistics.median(gates), 4, "ceiling", "<= 1.0"),
            Row(f"private memory of the keeper, {sessions} sessions", "MiB", keeper, 12, "ceiling", "<= 1.0"),
            Row(f"private memory of the spawner, {sessions} sessions", "MiB", spawner, 12, "keeper's ceiling")]
