"""Forwards: a fixed upstream through relay, keeper and dialer; never a descriptor of an upstream in sandbox or gate."""
import os
import socket
import threading
import time

import pytest
from support import hello, sandbox
from support.processes import descendants_of, uids_of, wait_until
from support.redis_server import Redis

LISTEN = "127.0.0.1:6379"


class Echo:
    """A host service that says who its peer is and then echoes."""

    def __init__(self, directory, family=socket.AF_UNIX):
        self.listener = socket.socket(family)
        self.peers = []
        if family == socket.AF_UNIX:
            self.path = f"{directory}/echo.sock"
            if os.path.exists(self.path):
                os.unlink(self.path)
            self.listener.bind(self.path)
            os.chmod(self.path, 0o777)
            self.address = f"unix:{self.path}"
        else:
            self.listener.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        import struct
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if client.family == socket.AF_UNIX:
                self.peers.append(struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
            threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client):
        try:
            while data := client.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # tests cut connections off
        client.close()

    def end(self):
        self.listener.close()


THROUGH = """
import socket
def through(address, data):
    s = socket.create_connection(address) if isinstance(address, tuple) else socket.socket(socket.AF_UNIX)
    if not isinstance(address, tuple): s.connect(address)
    s.settimeout(20)
    import threading
    threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)), daemon=True).start()
    answer = b''
    while True:
        part = s.recv(65536)
        if not part: break
        answer += part
    return answer
"""


@pytest.fixture
def echo(broker):
    service = Echo(broker.directory)
    yield service
    service.end()


def test_a_tcp_port_in_the_sandbox_reaches_a_unix_upstream_both_ways_to_the_end(broker, echo):
    broker.profile("forward", forwards=[{"listen": LISTEN, "to": echo.address}])
    with sandbox.Worker(broker, "forward") as worker:
        worker.do(THROUGH)
        assert worker.do("data = b'x' * 3000000; result = through(('127.0.0.1', 6379), data) == data")
        assert worker.do("result = [through(('127.0.0.1', 6379), str(n).encode()).decode() for n in range(50)]") == [str(n) for n in range(50)]


def test_the_upstream_sees_the_sessions_own_uid_and_never_root(broker, echo):
    broker.profile("forward", forwards=[{"listen": LISTEN, "to": echo.address}])
    with sandbox.Worker(broker, "forward") as worker:
        worker.do(THROUGH + "through(('127.0.0.1', 6379), b'x')")
        base = worker.uid_base
    assert [(uid, gid) for _, uid, gid in echo.peers] == [(base + 5, base + 5)]


def test_a_unix_path_in_the_sandbox_reaches_a_tcp_upstream(broker):
    service = Echo(broker.directory, socket.AF_INET)
    try:
        broker.profile("forward", forwards=[{"listen": "unix:/run/sallyport/up.sock", "to": service.address}])
        with sandbox.Worker(broker, "forward") as worker:
            worker.do(THROUGH)
            assert worker.do("result = through('/run/sallyport/up.sock', b'hello').decode()") == "hello"
    finally:
        service.end()


def test_nothing_but_the_forward_is_reachable(broker, echo):
    service = Echo(broker.directory, socket.AF_INET)  # the same host service, not named by the profile
    try:
        port = int(service.address.split(":")[1])
        with socket.create_connection(("127.0.0.1", port)):
            pass  # the denied twin: it does listen
        broker.profile("forward", forwards=[{"listen": LISTEN, "to": echo.address}])
        with sandbox.Worker(broker, "forward") as worker:
            assert worker.do("""
import socket
result = []
for address in (('127.0.0.1', args['port']), ('1.1.1.1', 53), ('169.254.169.254', 80)):
    s = socket.socket(); s.settimeout(2)
    try: s.connect(address); result.append('reached')
    except OSError as error: result.append(type(error).__name__)
""", port=port) == ["ConnectionRefusedError", "OSError", "OSError"]
            with pytest.raises(sandbox.WorkerError):
                worker.do("s = socket.socket(socket.AF_UNIX); s.connect(args['path'])", path=echo.path)
    finally:
        service.end()


def test_an_upstream_that_does_not_answer_closes_the_connection_and_the_session_lives(broker):
    broker.profile("forward", forwards=[{"listen": LISTEN, "to": f"unix:{broker.directory}/nobody.sock"}])
    with sandbox.Worker(broker, "forward") as worker:
        worker.do(THROUGH)
        assert worker.do("""
try: result = through(('127.0.0.1', 6379), b'x').decode()
except OSError: result = ''
""") == ""
        assert worker.do("result = 1") == 1


def test_sessions_whose_dials_hang_leave_a_neighbour_its_own(broker, echo):
    """An upstream with a full backlog keeps a dialer for as long as a dial may take. Two sessions with every connection
    that they may have waiting for it would once take all the dialers there are."""
    hanging, first = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    path = f"{broker.directory}/hanging.sock"
    hanging.bind(path)
    os.chmod(path, 0o777)
    hanging.listen(0)
    first.connect(path)
    broker.profile("hanging", forwards=[{"listen": LISTEN, "to": f"unix:{path}"}])
    broker.profile("forward", forwards=[{"listen": LISTEN, "to": echo.address}])
    try:
        with sandbox.Worker(broker, "hanging") as one, sandbox.Worker(broker, "hanging") as other, sandbox.Worker(broker, "forward") as neighbour:
            neighbour.do(THROUGH)
            for hostile in (one, other):
                hostile.do("""
import socket
held = [socket.create_connection(('127.0.0.1', 6379), 5) for _ in range(256)]
""")
            bad = {one.uid_base + 5, other.uid_base + 5}
            wait_until(lambda: sum(not bad.isdisjoint(uids_of(pid)) for pid in descendants_of(broker.spawner_pid)) > 20, 10,
                       "the attack must be real")
            begin = time.monotonic()
            assert neighbour.do("result = through(('127.0.0.1', 6379), b'hello').decode()") == "hello"
            assert time.monotonic() - begin < 2
    finally:
        first.close()
        hanging.close()
        os.unlink(path)


def test_connect_with_AF_UNSPEC_turns_no_connection_into_one_that_dials(broker, echo):
    """A TCP socket can be unbound and dial again in the network namespace it was born in: for a socket of the host's that
    would be the host's network. The worker's side of a forward was born in its own, empty namespace."""
    import ctypes
    service = Echo(broker.directory, socket.AF_INET)
    port = int(service.address.split(":")[1])
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        attack = socket.create_connection(("127.0.0.1", port))
        assert libc.connect(attack.fileno(), bytes(16), 16) == 0, "the attack must be real"
        attack.connect(("127.0.0.1", port))
        attack.close()
        broker.profile("forward", docker={}, forwards=[{"listen": LISTEN, "to": echo.address}])
        with sandbox.Worker(broker, "forward") as worker:
            held = worker.do("""
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
s = socket.create_connection(('127.0.0.1', 6379))
result = {}
for fd in sorted(int(name) for name in os.listdir('/proc/self/fd')):
    try:
        one = socket.socket(fileno=os.dup(fd))
    except OSError:
        continue
    family = one.family
    unbound = libc.connect(fd, bytes(16), 16) == 0
    try:
        one.connect(('127.0.0.1', args['port'])); reached = True
    except (OSError, TypeError):
        reached = False
    result[str(fd)] = [int(family), unbound, reached]
""", port=port)
            assert any(family == socket.AF_INET for family, _, _ in held.values()), held
            assert not any(reached for _, _, reached in held.values()), held
            families_before = {fd: family for fd, (family, _, _) in held.items() if int(fd) <= 3}
            assert set(families_before.values()) <= {socket.AF_UNIX}, families_before
    finally:
        service.end()


def test_redis_and_rq_work_through_a_forward(broker):
    redis = Redis()
    try:
        import rq
        from rq.serializers import JSONSerializer
        broker.profile("queue", forwards=[{"listen": LISTEN, "to": f"unix:{redis.socket}"}],
                       command=["/usr/bin/rq", "worker"], worker={"directory": "/tmp", "environment": {"LANG": "C.UTF-8"}})
        queue = rq.Queue("default", connection=redis.client(), serializer=JSONSerializer)
        job = queue.enqueue("operator.mul", args=(6, 7))
        done = sandbox.run(broker, "queue", ["/usr/bin/rq", "worker", "--burst", "--url",
                                             f"redis://{redis.user}:{redis.password}@127.0.0.1:6379", "--serializer",
                                             "rq.serializers.JSONSerializer", "default"])
        job = rq.job.Job.fetch(job.id, connection=redis.client(), serializer=JSONSerializer)
        assert job.get_status() == "finished" and job.result == 42, (done, job.get_status())
        with sandbox.Worker(broker, "queue") as worker:
            assert worker.do("""
import redis
client = redis.Redis(username=args['user'], password=args['password'])
client.set('x', 1)
result = []
for command in (['CONFIG', 'GET', '*'], ['DEBUG', 'SLEEP', '0'], ['ACL', 'LIST'], ['SHUTDOWN'], ['REPLICAOF', 'NO', 'ONE'], ['MODULE', 'LIST']):
    try: client.execute_command(*command); result.append(command)
    except redis.ResponseError: pass
""", user=redis.user, password=redis.password) == []
    finally:
        redis.end()


def test_a_forward_to_docker_or_to_the_brokers_own_socket_is_refused_by_both_doors(broker, echo):
    broker.profile("forward", forwards=[{"listen": LISTEN, "to": echo.address}])
    assert sandbox.run(broker, "forward", ["/bin/true"]).code == 0  # the allowed twin
    link = broker.directory / "to-the-broker"
    link.symlink_to(broker.control_socket)
    refusals = lambda: len(broker.audit(event="session-open", decision="DENY"))
    for target in (broker.docker_socket, "/var/run/docker.sock", broker.control_socket, link):
        broker.profile("leak", forwards=[{"listen": LISTEN, "to": f"unix:{target}"}])
        before = refusals()
        refused = sandbox.run(broker, "leak", ["/bin/true"])
        assert refused.code == 78 and "forward.to" in refused.stderr, refused
        assert refusals() == before, "by the launcher: the broker has not been asked"
        control = hello.Control(broker.control_socket)
        control.send(hello.open_session("leak", (broker.profiles / "leak.toml").read_bytes(), has_docker=False, forwards=1))
        name, reason = control.receive()
        control.close()
        assert name == "Refused" and "forward.to" in reason, (name, reason)
