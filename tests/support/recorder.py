"""A proxy between keeper and dockerd that records what the keeper sends: what reaches dockerd is the proof."""
import grp
import json
import os
import selectors
import socket
import threading
import time
import urllib.parse

from . import places


class Request:
    """One request as the keeper wrote it."""

    def __init__(self, method, target, version, headers, body):
        self.method, self.target, self.version, self.headers, self.body = method, target, version, headers, body
        parts = urllib.parse.urlsplit(target)
        self.path = parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.method} {self.target} {self.headers} {self.body[:2000]!r}"


def parse_requests(data: bytes) -> list:
    """The requests on one connection; bytes that are not a request raise, and after an upgrade the rest is a stream."""
    requests = []
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            raise ValueError(f"not a whole request: {data[:200]!r}")
        lines = head.decode("ascii").split("\r\n")
        method, target, version = lines[0].split(" ")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        fields = {name.lower(): value for name, value in headers}
        if len(fields) != len(headers):
            raise ValueError(f"a header twice: {headers}")
        size = int(fields.get("content-length", "0"))
        if "transfer-encoding" in fields or len(rest) < size:
            raise ValueError(f"not framed by its length: {head!r}")
        requests.append(Request(method, target, version, fields, rest[:size]))
        data = rest[size:]
        if "upgrade" in fields:
            return requests
    return requests


class Recorder:
    def __init__(self, upstream: str):
        self.upstream = upstream
        self.directory = places.make_directory("recorder")
        self.socket = f"{self.directory}/docker.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket)
        os.chown(self.socket, 0, grp.getgrnam("docker").gr_gid)
        os.chmod(self.socket, 0o660)
        self.listener.listen(128)
        self.lock = threading.Lock()
        self.sent = []  # per connection: all that the keeper wrote; never shrinks, so that ids stay distinct
        self.taken = {}  # per connection: how many of its requests take() has returned
        self.stopped = False
        self.cuts = None  # dockerd gets nothing of what has this in it, and the keeper's connection is closed
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.stopped:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(self.upstream)
        except OSError:
            client.close()
            return
        record = bytearray()
        with self.lock:
            self.sent.append(record)
        selector = selectors.DefaultSelector()
        selector.register(client, selectors.EVENT_READ, upstream)
        selector.register(upstream, selectors.EVENT_READ, client)
        open_ends = 2
        while open_ends:
            for key, _ in selector.select():
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b""
                if key.fileobj is client and self.cuts and self.cuts in data:
                    open_ends = 0
                    break
                if key.fileobj is client and data:
                    with self.lock:
                        record += data
                try:
                    if data:
                        key.data.sendall(data)
                    else:
                        selector.unregister(key.fileobj)
                        open_ends -= 1
                        key.data.shutdown(socket.SHUT_WR)
                except OSError:
                    open_ends = 0
        client.close()
        upstream.close()

    def take(self) -> list:
        """All requests since the last take(), in order per connection."""
        for patience in range(20):
            try:
                return self._take()
            except ValueError:  # one is being written at this moment
                if patience == 19:
                    raise
                time.sleep(0.05)

    def _take(self) -> list:
        with self.lock:
            streams = [(record, bytes(record)) for record in self.sent]
        found, counts = [], []
        for record, stream in streams:
            requests = parse_requests(stream)
            found += requests[self.taken.get(id(record), 0):]
            counts.append((id(record), len(requests)))
        self.taken.update(counts)
        return found

    def end(self):
        self.stopped = True
        self.listener.close()
        places.remove_directory(self.directory)
