"""New connections through a forward: as many as a worker needs in ordinary work, as many as its profile says and no more, and none
at a neighbour's cost."""
import os
import socket
import threading

import pytest
from support import sandbox
from support.processes import wait_until

LISTEN = "127.0.0.1:6379"
# One after the other on so many threads, each answered by the upstream's one byte and closed; how many in so many seconds.
FLOOD = """
import socket, threading, time
def flood(threads, seconds, most=10**9):
    counted, end = [0] * threads, time.monotonic() + seconds
    def connect_on(number):
        while time.monotonic() < end and sum(counted) < most:
            with socket.create_connection(('127.0.0.1', 6379), 30) as client:
                client.settimeout(30)
                if client.recv(1) == b'x':
                    counted[number] += 1
    running = [threading.Thread(target=connect_on, args=(n,)) for n in range(threads)]
    for one in running: one.start()
    for one in running: one.join()
    return sum(counted)
"""


@pytest.fixture
def upstream(broker):
    """Says one byte to whoever comes."""
    path = f"{broker.directory}/one-byte.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(512)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                try:
                    client.sendall(b"x")
                except OSError:
                    pass
    threading.Thread(target=serve, daemon=True).start()
    yield f"unix:{path}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    os.unlink(path)


def test_ordinary_work_meets_no_rate(broker, upstream):
    """Hundreds a second, as of a worker that opens one for each job, more than the 110 that were once let through in silence."""
    broker.profile("usual", forwards=[{"listen": LISTEN, "to": upstream}])
    with sandbox.Worker(broker, "usual") as worker:
        worker.do(FLOOD)
        assert worker.do("result = flood(8, 600, 8000)", seconds=600) >= 8000
        assert "held back" not in worker.stderr
    assert not broker.audit(session=broker.sessions()[-1], rule="forward.rate")


def test_beyond_the_profiles_rate_they_are_held_back_and_that_is_said(broker, upstream):
    broker.profile("bound", forwards=[{"listen": LISTEN, "to": upstream}], limits={"connections": "120/min"})
    with sandbox.Worker(broker, "bound") as worker:
        worker.do(FLOOD)
        # Two a second besides those that are there at once, and a thread's last one, which is let through behind the end.
        assert 120 <= worker.do("result = flood(4, 5)") <= 120 + 2 * 8 + 4
        words = "its forwards open more than the 120 connections a minute of limits.connections: those beyond are held back"
        wait_until(lambda: words in worker.stderr, 5, f"stderr does not say so: {worker.stderr}")
    with sandbox.Worker(broker, "bound") as again:
        again.do(FLOOD)
        assert again.do("result = flood(4, 3)") <= 2 * 12 + 4, "a new session of the profile has what the last one left"
    assert words in broker.log_file.read_text()
    assert broker.audit(session=broker.sessions()[-2], rule="forward.rate")


def test_two_sessions_that_open_all_they_can_have_as_many_each(broker, upstream):
    broker.profile("usual", forwards=[{"listen": LISTEN, "to": upstream}])
    with sandbox.Worker(broker, "usual") as one, sandbox.Worker(broker, "usual") as other:
        opened = {}

        def flood(worker, threads):
            worker.do(FLOOD)
            opened[worker] = worker.do("result = flood(args['threads'], 4)", threads=threads)
        several = [threading.Thread(target=flood, args=(one, 16)), threading.Thread(target=flood, args=(other, 4))]
        for thread in several:
            thread.start()
        for thread in several:
            thread.join()
    assert opened[other] > opened[one] / 8, f"{opened[one]} beside {opened[other]}: four times the threads, not all of the broker"
