"""A TCP socket that lingers, passed to gate and relay: they get no descriptor by it, yet are who closes it last."""
import socketserver
import threading

import pytest
from support import sandbox

PASS_ONE = """
import array, socket, struct, time
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(1)
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 20))
client.setblocking(False)
try:
    while True: client.send(b'x' * 65536)
except BlockingIOError: pass
door = socket.socket(socket.AF_UNIX)
door.connect(args['door'])
door.sendmsg([b'GET /_ping HTTP/1.1\\r\\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [client.fileno()]))])
client.close()
time.sleep(0.5)
second = socket.socket(socket.AF_UNIX)
second.settimeout(10)
second.connect(args['door'])
second.sendall(b'GET /_ping HTTP/1.1\\r\\nHost: d\\r\\nConnection: close\\r\\n\\r\\n')
try: result = second.recv(15).decode()
except TimeoutError: result = 'hangs'
"""


class Pings(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def upstream(broker):
    path = broker.directory / "pings.sock"
    path.unlink(missing_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(path), Pings) as server:
        server.daemon_threads = True
        path.chmod(0o777)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix:{path}"
        server.shutdown()


@pytest.mark.parametrize("door", ["docker.sock", "up.sock"])
def test_a_socket_that_lingers_holds_up_neither_gate_nor_relay(broker, upstream, door):
    broker.profile("linger", docker={}, sandbox={"loopback": True},
                   forwards=[{"listen": "unix:/run/sallyport/up.sock", "to": upstream}])
    with sandbox.Worker(broker, "linger") as worker:
        assert worker.do(PASS_ONE, door=f"/run/sallyport/{door}") == "HTTP/1.1 200 OK"
