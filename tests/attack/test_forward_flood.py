"""New connections through a forward: as many as a worker needs in ordinary work, as many as its profile says and no more, and none
at a neighbour's cost."""
import contextlib
import os
import socket
import threading
import time

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


@contextlib.contextmanager
def one_byte_server(path):
    """Says one byte to whoever comes."""
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


@pytest.fixture
def upstream(broker):
    with one_byte_server(f"{broker.directory}/one-byte.sock") as address:
        yield address


@pytest.fixture
def neighbours_upstream(broker):
    """An upstream takes whom it takes in order: a neighbour with one of its own waits for the broker alone."""
    with one_byte_server(f"{broker.directory}/another.sock") as address:
        yield address


def test_ordinary_work_meets_no_rate(broker, upstream):
    """As of a worker that opens one for each job: the ten-thousandth as quickly as the first. Once 110 a second were let through
    after 6,000, without a word."""
    broker.profile("usual", forwards=[{"listen": LISTEN, "to": upstream}])
    with sandbox.Worker(broker, "usual") as worker:
        worker.do(FLOOD)
        first, opened = worker.do("import time; begun = time.monotonic(); flood(8, 600, 800); result = time.monotonic() - begun", 600), 800
        while opened < 9000:
            opened += worker.do("result = flood(8, 600, 1500)", 600)
        last = worker.do("begun = time.monotonic(); flood(8, 600, 800); result = time.monotonic() - begun", 600)
        assert "held back" not in worker.stderr
    assert last < 4 * first, f"{first} s for the first, {last} s for the last"
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


def test_sessions_that_open_all_they_can_leave_a_neighbour_its_own(broker, upstream, neighbours_upstream):
    """Four sessions with 80 connections under way each, more than they have dialers for, and a neighbour with one at a time: it is
    served in turn, not behind all of theirs. And a session opens meanwhile."""
    broker.profile("usual", forwards=[{"listen": LISTEN, "to": upstream}])
    broker.profile("neighbour", forwards=[{"listen": LISTEN, "to": neighbours_upstream}])
    broker.profile("other", command=["/bin/true"], docker={})
    with contextlib.ExitStack() as sessions:
        neighbour = sessions.enter_context(sandbox.Worker(broker, "neighbour"))
        hostile = [sessions.enter_context(sandbox.Worker(broker, "usual")) for _ in range(4)]
        for worker in (neighbour, *hostile):
            worker.do(FLOOD)
        opened = {}

        def flood(worker):
            opened[worker] = worker.do("result = flood(80, 8)", seconds=120)
        several = [threading.Thread(target=flood, args=(worker,)) for worker in hostile]
        for thread in several:
            thread.start()
        time.sleep(1)
        own = neighbour.do("result = flood(1, 4)", seconds=60)
        assert sandbox.run(broker, "other", seconds=30).code == 0
        for thread in several:
            thread.join()
    # One of 321 under way: behind all of theirs it would have a 320th of what they have in half of their time.
    theirs = sum(opened.values())
    assert own > 3 * theirs / 320 / 2, f"{own} beside {theirs}"
