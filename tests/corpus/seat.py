"""One session with a recording proxy before dockerd, its own container, a neighbour's and the tokens of the corpora."""
import json
import socket
import time

from support import sandbox
from support.broker import Broker
from support.raw_http import Connection
from support.recorder import Recorder

FOREIGN_NAME = "victim_fix"
SECRETS = [b"foreign-secret", b"foreign-env-secret", b"foreign-label-secret"]
OWN_COMMAND = ["sh", "-c", "echo own output; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]


class Seat:
    def __init__(self, dockerd):
        self.dockerd = dockerd
        self.recorder = Recorder(dockerd.socket)
        self.broker = Broker(self.recorder.socket)
        self.broker.profile("corpus", docker={}, container={"memory": "64MiB", "pids": 128},
                            budget={"containers": 8, "creates": "100000/min", "requests": "1000000/min"})
        self.other_image = dockerd.import_busybox("other:latest", changes=["LABEL of=another"])
        made = dockerd.request("POST", f"/v1.41/containers/create?name={FOREIGN_NAME}", {
            "Image": "busybox:latest", "Cmd": ["sh", "-c", "echo foreign-secret; exec sleep 36000"], "Env": ["S=foreign-env-secret"],
            "Labels": {"tenant": "other", "note": "foreign-label-secret"}, "HostConfig": {"NetworkMode": "none"}})
        assert made.status == 201, made
        self.foreign = made.json()["Id"]
        assert dockerd.request("POST", f"/v1.41/containers/{self.foreign}/start").status == 204
        made = dockerd.request("POST", f"/v1.41/containers/{self.foreign}/exec", {"Cmd": ["true"]})
        self.foreign_exec = made.json()["Id"]
        networks = dockerd.request("GET", "/v1.41/networks").json()
        self.host_network = next(n["Id"] for n in networks if n["Name"] == "host")
        self.worker = sandbox.Worker(self.broker, "corpus")
        self.session = self.broker.sessions()[-1]
        self.own = self.own_name = None
        self.counter = 0
        self.make_own()

    def connect(self) -> Connection:
        return Connection(self.worker.connect())

    def ask(self, method, target, body=None):
        with self.connect() as connection:
            return connection.request(method, target, body)

    # --- own container ---
    def make_own(self, started=True):
        self.counter += 1
        self.own_name = f"own{self.counter}"
        made = self.ask("POST", f"/v1.41/containers/create?name={self.own_name}",
                        {"Image": "busybox", "Cmd": OWN_COMMAND, "OpenStdin": True})
        assert made.status == 201, made
        self.own = made.json()["Id"]
        if started:
            started = self.ask("POST", f"/v1.41/containers/{self.own}/start")
            assert started.status == 204, started

    def own_state(self):
        reply = self.dockerd.request("GET", f"/v1.41/containers/{self.own}/json")
        return reply.json()["State"]["Status"] if reply.status == 200 else "gone"

    def prepare(self, running=True):
        """Own container in the wanted state; every other container of the session is removed."""
        if self.own_state() != ("running" if running else "created"):
            self.make_own(running)
        self.clear()

    def own_containers(self) -> list:
        return [c["Id"] for c in self.dockerd.containers(**{"sallyport.session": self.session})]

    def clear(self):
        for identity in self.own_containers():
            if identity != self.own:
                self.ask("DELETE", f"/v1.41/containers/{identity}?force=1")
        self.recorder.take()

    def values(self) -> dict:
        shortest = next(self.foreign[:n] for n in range(1, 64) if not self.own.startswith(self.foreign[:n]))
        self.counter += 1
        return {"OWN_ID": self.own, "OWN_ID12": self.own[:12], "OWN_NAME": self.own_name, "NEW_NAME": f"new{self.counter}",
                "FOREIGN_ID": self.foreign, "FOREIGN_ID12": self.foreign[:12], "FOREIGN_ID1": shortest,
                "FOREIGN_NAME": FOREIGN_NAME, "OTHER_IMAGE_ID": self.other_image,
                "OTHER_IMAGE_ID_PREFIX": self.other_image.removeprefix("sha256:")[:12], "HOSTNET_ID": self.host_network,
                "EXEC_ID": self.foreign_exec}

    # --- what must not change ---
    def world(self) -> dict:
        """All that belongs to others at dockerd."""
        foreign = self.dockerd.inspect(self.foreign)
        ask = lambda path: self.dockerd.request("GET", f"/v1.41/{path}").json()  # noqa: E731
        return {"containers": sorted(c["Id"] for c in self.dockerd.containers()
                                     if c["Labels"].get("sallyport.session") != self.session),
                "images": sorted((i["Id"], *(i["RepoTags"] or [])) for i in ask("images/json?all=1")),
                "volumes": sorted(v["Name"] for v in ask("volumes")["Volumes"] or []),
                "networks": sorted(n["Id"] for n in ask("networks")),
                "foreign": {"State": foreign["State"], "Name": foreign["Name"], "HostConfig": foreign["HostConfig"],
                            "Networks": foreign["NetworkSettings"]["Networks"], "ExecIDs": foreign["ExecIDs"]}}

    def send(self, data: bytes, quiet=0.5, longest=20.0) -> bytes:
        """One write, then all that comes until the peer closes or is quiet after an answer."""
        connection = self.worker.connect()
        connection.settimeout(quiet)
        answer, deadline = b"", time.monotonic() + longest
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read: the answer may still be there
        except socket.timeout:
            pass
        while time.monotonic() < deadline:
            try:
                data = connection.recv(65536)
            except socket.timeout:
                if answer:
                    break
                continue
            except ConnectionResetError:
                break
            if not data:
                break
            answer += data
        connection.close()
        return answer

    def end(self):
        self.worker.end()
        self.broker.remove()
        self.recorder.end()
        self.dockerd.remove(self.foreign)


def statuses(answer: bytes) -> list:
    """Every status line of an answer that is HTTP."""
    found = []
    for part in answer.split(b"HTTP/1.1 ")[1:]:
        if part[:3].isdigit():
            found.append(int(part[:3]))
    return found


def error_shape(answer: bytes) -> bool:
    body = answer.partition(b"\r\n\r\n")[2]
    try:
        value = json.loads(body)
    except ValueError:
        return False
    return list(value) == ["message"] and bool(value["message"])
