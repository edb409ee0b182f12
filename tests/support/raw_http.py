"""HTTP over a Unix socket without a library's opinions: tests send any bytes and see exactly what comes back."""
import json
import socket


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The text of an error in Docker's shape; fails where it has another shape."""
        value = self.json()
        assert list(value) == ["message"] and value["message"], f"not an error in Docker's shape: {self.body!r}"
        return value["message"]

    def __repr__(self):
        return f"Reply({self.status}, {self.body[:300]!r})"


class Connection:
    def __init__(self, where, timeout: float = 30):
        if isinstance(where, socket.socket):
            self.socket = where
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(where))
        self.socket.settimeout(timeout)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data: bytes):
        self.socket.sendall(data)

    def send_request(self, method, target, body=None, headers=None):
        fields = {"Host": "docker"}
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
            fields["Content-Length"] = str(len(body))
        elif method in ("POST", "PUT"):
            fields["Content-Length"] = "0"
        fields.update(headers or {})
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        self.send(head.encode() + (body or b""))

    def request(self, method, target, body=None, headers=None) -> Reply:
        self.send_request(method, target, body, headers)
        return self.read_reply(method)

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"closed after {self.pending[:200]!r}")
        self.pending += data

    def _line(self) -> bytes:
        while b"\r\n" not in self.pending:
            self._more()
        line, _, self.pending = self.pending.partition(b"\r\n")
        return line

    def _exactly(self, size) -> bytes:
        while len(self.pending) < size:
            self._more()
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def read_head(self):
        status = int(self._line().split()[1])
        headers = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.decode().strip()
        return status, headers

    def read_chunk(self) -> bytes:
        size = int(self._line(), 16)
        data = self._exactly(size)
        self._exactly(2)
        return data

    def read_reply(self, method="GET") -> Reply:
        status, headers = self.read_head()
        while status == 100:
            status, headers = self.read_head()
        if method == "HEAD" or status in (101, 204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while chunk := self.read_chunk():
                body += chunk
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body = self.read_to_end()
        return Reply(status, headers, body)

    def read_to_end(self) -> bytes:
        data, self.pending = self.pending, b""
        while chunk := self.socket.recv(65536):
            data += chunk
        return data


def frames(stream: bytes) -> dict:
    """dockerd's multiplexed stream (no TTY) as {1: stdout, 2: stderr}."""
    parts = {1: b"", 2: b""}
    while stream:
        size = int.from_bytes(stream[4:8], "big")
        parts[stream[0]] += stream[8:8 + size]
        stream = stream[8 + size:]
    return parts


def request(where, method, target, body=None, headers=None, timeout=30) -> Reply:
    with Connection(where, timeout) as connection:
        return connection.request(method, target, body, headers)
