"""Any bytes on any descriptor that the worker has: an answer in Docker's shape or a closed connection, and nobody else notices."""
import pytest
from support import sandbox

SEND = """
import os, random, socket
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect('/run/sallyport/docker.sock'); return s
def exchange(s, data):
    try: s.sendall(data); s.shutdown(socket.SHUT_WR)
    except OSError: pass
    answer = b''
    try:
        while True:
            part = s.recv(65536)
            if not part: break
            answer += part
    except OSError: pass
    return answer
def well(answer):
    return answer == b'' or answer.startswith((b'HTTP/1.1 4', b'HTTP/1.1 5'))
"""


@pytest.fixture
def pair(broker):
    broker.profile("seat", docker={})
    with sandbox.Worker(broker, "seat") as bad, sandbox.Worker(broker, "seat") as good:
        bad.do(SEND)
        good.do(SEND)
        yield bad, good
        answer = good.do("result = exchange(connect(), b'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n').decode()")
        assert answer.startswith("HTTP/1.1 200"), "another session noticed"


def test_random_bytes_on_the_socket(pair):
    bad, _ = pair
    assert bad.do("""
generator = random.Random(1)
answers = [exchange(connect(), generator.randbytes(generator.choice([1, 10, 100, 5000, 100000]))) for _ in range(200)]
result = [a.decode('latin-1')[:200] for a in answers if not well(a)]
""") == []
    assert bad.do("result = exchange(connect(), b'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n').decode()").startswith("HTTP/1.1 200")


def test_damaged_requests_on_the_socket(pair):
    bad, _ = pair
    assert bad.do("""
generator = random.Random(2)
body = b'{"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}'
good = b'POST /v1.41/containers/create?name=x HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body
wrong = []
for _ in range(300):
    data = bytearray(good)
    for _ in range(generator.randrange(1, 6)):
        data[generator.randrange(len(data))] = generator.randrange(256)
    answer = exchange(connect(), bytes(data))
    if not well(answer) and not answer.startswith((b'HTTP/1.1 201', b'HTTP/1.1 100')):
        wrong.append(answer.decode('latin-1')[:300])
    if answer.startswith(b'HTTP/1.1 201'):
        identity = answer.partition(b'"Id":"')[2][:64].decode()
        exchange(connect(), f'DELETE /v1.41/containers/{identity}?force=1 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'.encode())
result = wrong
""", seconds=120) == []


def test_random_bytes_on_descriptor_3_close_it_and_leave_the_socket_working(pair):
    bad, _ = pair
    assert bad.do("""
s = socket.socket(fileno=os.dup(3)); s.settimeout(5)
result = well(exchange(s, random.Random(3).randbytes(50000)))
""")
    assert bad.do("result = exchange(connect(), b'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n').decode()").startswith("HTTP/1.1 200")


def test_passed_descriptors_are_not_taken(pair, broker):
    """SCM_RIGHTS on a socket that carries requests: the gate's table of descriptors does not grow."""
    import os
    bad, _ = pair
    gates = broker.processes_of("gate")
    before = [len(os.listdir(f"/proc/{gate}/fd")) for gate in gates]
    bad.do("""
import array
kept = []
for _ in range(20):
    s = connect()
    s.sendmsg([b'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 50))])
    s.recv(1000)
    kept.append(s)
""")
    during = [len(os.listdir(f"/proc/{gate}/fd")) for gate in gates]
    assert sum(during) - sum(before) <= 25, (before, during)
    bad.do("kept = None")


def test_more_connections_than_the_limit_are_turned_away_and_sixty_four_are_served(pair):
    bad, _ = pair
    served, others = bad.do("""
held = []
for _ in range(64): held.append(connect())
served = 0
for s in held:
    s.sendall(b'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
for s in held:
    served += s.recv(1000).startswith(b'HTTP/1.1 200')
more = []
for _ in range(300):
    try: s = connect(); s.settimeout(0.05); more.append(s)
    except OSError: break
result = [served, len(more)]
held = more = None
""", seconds=90)
    assert served == 64, (served, others)


def test_a_head_that_never_ends_is_closed_at_its_deadline(pair):
    bad, _ = pair
    seconds = bad.do("""
import time
s = connect(); s.settimeout(30); s.sendall(b'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\nX: ')
begin = time.monotonic()
data = s.recv(1000)
while data and s.recv(1000): pass
result = time.monotonic() - begin
""", seconds=60)
    assert 5 < seconds < 20, seconds


def test_expect_100_continue_is_answered_before_the_body(pair):
    bad, _ = pair
    first, second = bad.do("""
body = b'{"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}'
s = connect()
s.sendall(b'POST /v1.41/containers/create HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nExpect: 100-continue\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body))
first = s.recv(1000).decode()
result = [first, exchange(s, body).decode()]
""")
    assert first == "HTTP/1.1 100 Continue\r\n\r\n" and second.startswith("HTTP/1.1 201"), (first, second)
