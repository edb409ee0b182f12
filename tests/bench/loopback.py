"""What two processes of the host carry over the loopback beside a sandbox with a loopback of its own that fills every socket which
its processes and descriptors allow, in both directions, and keeps them so. Its profile is a small one: one that grants more than
tcp_mem holds is for the virtual machine. What its processes take of the processor is another matter: they sleep once all is full."""
import os
import pathlib
import re
import socket
import statistics
import time

from tests.support import places, sandbox
from tests.support.broker import Broker

from .measure import Row, paired_ratio

PROCESSES, DESCRIPTORS = 4, 512
LEAST_PAIRS = PROCESSES * (DESCRIPTORS - 16) // 2
PART = bytes(256 * 1024)

FILLS = """
import os, signal, socket, sys
def fill():
    server = socket.create_server(('127.0.0.1', 0), backlog=1)
    held = []
    try:
        while True:
            client = socket.create_connection(server.getsockname())
            held.append(client)
            held.append(server.accept()[0])
    except OSError: pass  # no descriptor is left
    for one in held:
        one.setblocking(False)
        try:
            while True: one.send(bytes(1 << 16))
        except OSError: pass
    return held
read_end, write_end = os.pipe()
try:
    while os.fork(): pass
    of_child = True
except BlockingIOError: of_child = False  # no process is left
held = fill()
os.write(write_end, b'%d\\n' % (len(held) // 2))
if of_child: signal.pause()
told = b''
while told.count(b'\\n') < int(sys.argv[1]): told += os.read(read_end, 4096)
print(sum(map(int, told.split())), flush=True)
signal.pause()
"""


def bytes_per_second(seconds) -> float:
    """From one process to another, over one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        reader = os.fork()
        if reader == 0:
            sender.close()
            buffer = bytearray(len(PART))
            while receiver.recv_into(buffer):
                pass
            os._exit(0)
        receiver.close()
        sent, begun = 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            sent += sender.send(PART)
        took = time.monotonic() - begun
    os.waitpid(reader, 0)
    return sent / took


def pages_of_tcp() -> int:
    """Of the whole host."""
    return int(re.search(r"^TCP: .* mem (\d+)$", pathlib.Path("/proc/net/sockstat").read_text(), re.M)[1])


def loopback(options) -> list:
    broker = Broker("/nonexistent", start=False)  # only its places
    broker.profile("fills", command=[places.PYTHON, "-c", FILLS, str(PROCESSES)], sandbox={"loopback": True},
                   limits={"pids": PROCESSES, "open_files": DESCRIPTORS})
    seconds = 1 if options.quick else 4
    idle, beside, pages = [], [], []
    try:
        bytes_per_second(seconds)
        for _ in range(3 if options.quick else 9):
            idle.append(bytes_per_second(seconds))
            before = pages_of_tcp()
            with sandbox.Run(broker, "fills") as hostile:
                pairs = int(hostile.process.stdout.readline() or 0)
                assert pairs >= LEAST_PAIRS, f"{pairs} pairs are not all that its profile allows: {hostile.stderr}"
                pages.append(pages_of_tcp() - before)
                beside.append(bytes_per_second(seconds))
    finally:
        broker.remove()
    mb = 1e6
    least = int(pathlib.Path("/proc/sys/net/ipv4/tcp_mem").read_text().split()[0])
    return [Row(f"host's loopback beside a sandbox that fills {pairs} pairs of sockets", "MB/s", statistics.median(beside) / mb,
                statistics.median(idle) / mb, "idle", ">= 0.9", paired_ratio(beside, idle)),
            Row("TCP memory of the host that these take", "pages", statistics.median(pages), least, "least of tcp_mem")]
