"""What systemd would hear of a unit: the receiving end of NOTIFY_SOCKET."""
import contextlib
import os
import socket


class Systemd:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(30)
        self.environment = dict(os.environ, NOTIFY_SOCKET=str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def hears(self) -> bytes:
        return self.socket.recv(4096)

    def hears_of(self, name: bytes) -> bytes:
        """The value of the next message that begins so."""
        while not (said := self.hears()).startswith(name):
            pass
        return said[len(name):]

    def heard_nothing(self) -> bool:
        self.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            return not self.socket.recv(4096)
        return True
