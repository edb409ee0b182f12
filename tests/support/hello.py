"""Speaks the control socket's handshake (include/sallyport/handshake.hpp) without any code of the launcher."""
import array
import hashlib
import os
import socket
import struct


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<I", len(data)) + data


VERSION = 4


def open_session(profile: str, profile_bytes: bytes, uid_base=0, has_docker=True, forwards=0, command="/usr/bin/true",
                 version=VERSION) -> bytes:
    return (bytes([0]) + struct.pack("<I", version) + text(profile) + hashlib.sha256(profile_bytes).digest() +
            struct.pack("<I", uid_base) + bytes([1 if has_docker else 0, forwards]) + text(command))


def kill_session(session: str, version=VERSION) -> bytes:
    return bytes([2]) + struct.pack("<I", version) + text(session)


ANSWERS = {0: "Opened", 1: "Refused", 2: "Ended", 3: "Done", 4: "Notice", 5: "LeftBehind", 6: "EndWorker", 7: "RefusedForNow"}


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(15)
        self.socket.connect(path)

    def send(self, message: bytes, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([message], ancillary)

    def receive(self):
        """(name, text): the text of Refused, Ended and Notice, the session of Opened; ("Closed", "") at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            return "Closed", ""
        name = ANSWERS[data[0]]
        if name in ("Done", "EndWorker"):
            return name, ""
        size = struct.unpack_from("<I", data, 1)[0]
        return name, data[5:5 + size].decode()

    def close(self):
        self.socket.close()


class PlayedLauncher:
    """What a launcher brings to OpenSession: itself, an "init" that sleeps, a listener and one end of a stream."""

    def __init__(self, directory):
        self.init = os.fork()
        if self.init == 0:
            import signal
            signal.pause()
            os._exit(0)
        self.path = f"{directory}/played-{os.getpid()}.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.stream, self.stream_inside = socket.socketpair()
        self.pidfds = [os.pidfd_open(os.getpid()), os.pidfd_open(self.init)]

    def fds(self, lock=None):
        return [*self.pidfds, *([lock] if lock is not None else []), self.listener.fileno(), self.stream.fileno()]

    def end(self):
        import signal
        os.kill(self.init, signal.SIGKILL)
        os.waitpid(self.init, 0)
        for fd in self.pidfds:
            os.close(fd)
        self.listener.close()
        self.stream.close()
        self.stream_inside.close()
