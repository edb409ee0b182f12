"""A dockerd of the test's own: own data and exec roots, no bridge, no iptables; ended by pid."""
import grp
import io
import json
import os
import signal
import subprocess
import tarfile
import urllib.parse

from . import flavours, places, raw_http
from .processes import Daemon, is_alive, wait_until

BUSYBOX = "/bin/busybox"


def image_tar(volumes=()) -> bytes:
    """A root filesystem of busybox-static: readable by all, because containers run as a uid of the session's own."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        def add(name, mode, content=None, link=None):
            info = tarfile.TarInfo(name)
            info.mode = mode
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            elif content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if content else None)
        for directory in ("bin", "etc", "proc", "sys", "dev", "tmp", "usr", *[v.strip("/") for v in volumes]):
            add(directory, 0o1777 if directory == "tmp" else 0o755)
        with open(BUSYBOX, "rb") as busybox:
            add("bin/busybox", 0o755, busybox.read())
        for applet in ("sh", "cat", "echo", "true", "false", "sleep", "id", "ls", "dd", "yes", "head", "wc", "seq",
                       "kill", "env", "mount", "touch", "df", "hostname", "nc", "wget", "grep", "ps", "tr", "stty", "test"):
            add(f"bin/{applet}", 0o777, link="busybox")
        add("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")
    return data.getvalue()


class Dockerd:
    def __init__(self, directory=None, flavour=None, **popen):
        """`popen`: what its caller has, of subprocess.Popen."""
        self.popen = popen
        self.directory = directory or places.make_directory("docker")
        self.own_directory = directory is None
        self.flavour = flavour or flavours.wanted()
        self.socket = f"{self.directory}/docker.sock"
        self.daemon = None
        self.start()

    def start(self) -> None:
        with open(f"{self.directory}/daemon.json", "w") as file:
            json.dump(self.flavour.configuration(), file)
        arguments = [*self.flavour.program(), "--config-file", f"{self.directory}/daemon.json",
                     "--data-root", f"{self.directory}/data", "--exec-root", f"{self.directory}/exec",
                     "-H", f"unix://{self.socket}", "--pidfile", f"{self.directory}/pid", "--bridge", "none",
                     "--iptables=false", "--ip-forward=false", "--group", str(grp.getgrnam("docker").gr_gid),
                     "--log-level", "warn"]
        if os.path.exists(f"{self.directory}/pid"):
            os.unlink(f"{self.directory}/pid")
        self.daemon = Daemon(arguments, f"{self.directory}/log", self.flavour.environment(), **self.popen)
        self.daemon.wait_ready(self.answers, 60, "dockerd does not answer")

    @property
    def spoken(self) -> str:
        """The version of the API that a broker has to ask it in: the newest that both know."""
        newest = self.request("GET", "/version").json()["ApiVersion"]
        return min(newest, "1.51", key=lambda version: [int(part) for part in version.split(".")])

    def answers(self) -> bool:
        try:
            return self.request("GET", "/_ping", timeout=5).status == 200
        except (OSError, ConnectionError):
            return False

    def request(self, method, target, body=None, headers=None, timeout=60) -> raw_http.Reply:
        """Tests ask for what they want in 1.41; where dockerd takes no version so old, in its oldest."""
        if self.flavour.oldest_api:
            target = target.replace("/v1.41/", f"/v{self.flavour.oldest_api}/", 1)
        return raw_http.request(self.socket, method, target, body, headers, timeout)

    def import_busybox(self, reference="busybox:latest", changes=(), volumes=()) -> str:
        repository, _, tag = reference.partition(":")
        query = [("fromSrc", "-"), ("repo", repository), ("tag", tag or "latest")] + [("changes", c) for c in changes]
        query += [("changes", f"VOLUME {v}") for v in volumes]
        reply = self.request("POST", "/v1.41/images/create?" + urllib.parse.urlencode(query), image_tar(volumes),
                             {"Content-Type": "application/x-tar"})
        assert reply.status == 200 and b'"error"' not in reply.body, reply
        return self.request("GET", f"/v1.41/images/{reference}/json").json()["Id"]

    def import_program(self, reference, program) -> str:
        """An image of one static program."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for directory in ("proc", "sys", "dev", "tmp"):
                info = tarfile.TarInfo(directory)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            with open(program, "rb") as file:
                content = file.read()
            info = tarfile.TarInfo(os.path.basename(program))
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
        repository, _, tag = reference.partition(":")
        query = urllib.parse.urlencode({"fromSrc": "-", "repo": repository, "tag": tag})
        reply = self.request("POST", f"/v1.41/images/create?{query}", data.getvalue(), {"Content-Type": "application/x-tar"})
        assert reply.status == 200 and b'"error"' not in reply.body, reply
        return self.request("GET", f"/v1.41/images/{reference}/json").json()["Id"]

    def containers(self, **labels) -> list:
        listed = self.request("GET", "/v1.41/containers/json?all=1").json()
        return [c for c in listed if all(c["Labels"].get(k) == v for k, v in labels.items())]

    def inspect(self, identity) -> dict:
        return self.request("GET", f"/v1.41/containers/{identity}/json").json()

    def run_foreign(self, name, command=("sleep", "3600"), image="busybox:latest", labels=None, start=True) -> str:
        """A container that belongs to no session: what attacks aim at."""
        body = {"Image": image, "Cmd": list(command), "Labels": labels or {}, "HostConfig": {"NetworkMode": "none"}}
        made = self.request("POST", f"/v1.41/containers/create?name={name}", body)
        assert made.status == 201, made
        if start:
            assert self.request("POST", f"/v1.41/containers/{made.json()['Id']}/start").status == 204
        return made.json()["Id"]

    def remove(self, identity) -> None:
        self.request("DELETE", f"/v1.41/containers/{identity}?force=1&v=1")

    def kill(self) -> None:
        """SIGKILL, as a crash: the containers live on, and the next start takes them over."""
        containerd = self._containerd_pid()
        self.daemon.process.kill()
        self.daemon.process.wait()
        # containerd has asked for SIGKILL at its parent's death; a dockerd started before it is gone takes it for alive.
        if containerd:
            wait_until(lambda: not is_alive(containerd), 10, "containerd outlives dockerd")
            for stale in ("containerd.pid", "containerd.sock", "containerd.sock.ttrpc"):
                if os.path.exists(f"{self.directory}/exec/containerd/{stale}"):
                    os.unlink(f"{self.directory}/exec/containerd/{stale}")

    def end(self) -> None:
        if self.daemon.alive() and self.answers():
            for container in self.containers():
                self.remove(container["Id"])
        containerd = self._containerd_pid()
        self.daemon.end(20)
        if containerd and is_alive(containerd):
            os.kill(containerd, signal.SIGTERM)
            wait_until(lambda: not is_alive(containerd), 10, "containerd does not end")
        if self.own_directory:
            self._unmount_rest()
            places.remove_directory(self.directory)

    def _containerd_pid(self):
        try:
            with open(f"{self.directory}/exec/containerd/containerd.pid") as file:
                return int(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def _unmount_rest(self) -> None:
        """A killed dockerd leaves its bind mount of the data root and its network namespaces behind."""
        with open("/proc/self/mountinfo") as mounts:
            found = [line.split()[4] for line in mounts if line.split()[4].startswith(f"{self.directory}/")]
        for path in sorted(found, reverse=True):
            subprocess.run(["umount", path], check=False)
