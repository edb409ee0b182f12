"""What we are measured against: HAProxy with a path filter, bubblewrap; and a dockerd that only answers."""
import grp
import os
import socket

from tests.support import places
from tests.support.processes import Daemon, wait_until

from .measure import tool

# The sections of Docker's API that docker-socket-proxy filters by, one rule of regular expressions each.
SECTIONS = ("auth", "build", "commit", "configs", "containers", "distribution", "events", "exec", "grpc", "images", "info",
            "networks", "nodes", "_ping", "plugins", "secrets", "services", "session", "swarm", "system", "tasks", "version",
            "volumes")
ACTIONS = {"((stop)|(restart)|(kill))": "ALLOW_RESTARTS", "start": "ALLOW_START", "stop": "ALLOW_STOP"}
VERSION_PREFIX = r"^(/v[\d\.]+)?"


def haproxy_config(listen_at: str, upstream: str, keeps_server_connections: bool) -> str:
    rules = [f"http-request allow if {{ path,url_dec -m reg -i {VERSION_PREFIX}/containers/[a-zA-Z0-9_.-]+/{what} }} "
             f"{{ env({variable}) -m bool }}" for what, variable in ACTIONS.items()]
    rules += [f"http-request allow if {{ path,url_dec -m reg -i {VERSION_PREFIX}/{section} }} "
              f"{{ env({section.strip('_').upper()}) -m bool }}" for section in SECTIONS]
    return "\n".join([
        "global", "  log stdout format raw daemon info", "  maxconn 4000",
        "defaults", "  mode http", "  log global", "  option httplog", "  option dontlognull",
        *([] if keeps_server_connections else ["  option http-server-close"]),
        "  option redispatch", "  retries 3", "  timeout http-request 10s", "  timeout queue 1m", "  timeout connect 10s",
        "  timeout client 10m", "  timeout server 10m", "  timeout http-keep-alive 10s", "  maxconn 3000",
        "backend docker", f"  server docker unix@{upstream}",
        "backend docker_events", f"  server docker unix@{upstream}", "  timeout server 0",
        "frontend proxy", f"  bind unix@{listen_at}", "  http-request deny unless METH_GET || { env(POST) -m bool }",
        *["  " + rule for rule in rules], "  http-request deny", "  default_backend docker",
        f"  use_backend docker_events if {{ path,url_dec -m reg -i {VERSION_PREFIX}/events }}", ""])


def accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            return True
        except OSError:
            return False


class Haproxy:
    """As docker-socket-proxy configures it (http-server-close: a connection to dockerd per request); or with kept ones."""

    def __init__(self, upstream: str, keeps_server_connections: bool):
        self.directory = places.make_directory("haproxy")
        self.socket = f"{self.directory}/proxy.sock"
        config = self.directory / "haproxy.cfg"
        config.write_text(haproxy_config(self.socket, upstream, keeps_server_connections))
        self.daemon = Daemon(["/usr/sbin/haproxy", "-f", config], self.directory / "log", dict(os.environ, CONTAINERS="1", POST="1"))
        self.daemon.wait_ready(lambda: accepts(self.socket), 10, "haproxy does not listen")

    def end(self):
        self.daemon.end(5)
        places.remove_directory(self.directory)


class FakeDocker:
    def __init__(self):
        self.directory = places.make_directory("fake")
        self.socket = f"{self.directory}/docker.sock"
        self.daemon = Daemon([tool("fake_docker"), self.socket], self.directory / "log")
        self.daemon.wait_ready(lambda: accepts(self.socket), 10, "the fake dockerd does not listen")
        os.chown(self.socket, 0, grp.getgrnam("docker").gr_gid)
        os.chmod(self.socket, 0o660)

    def end(self):
        self.daemon.end(5)
        places.remove_directory(self.directory)


def bubblewrap_command(command: list) -> list:
    """The same namespaces and the same view of the host as `root = "host"` gives. Ours writes six small files in /etc
    (accounts, hosts, resolver), starts an init and installs a filter besides; bubblewrap is spared that."""
    arguments = ["/usr/bin/bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
                 "--unshare-cgroup", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv",
                 "--dir", "/etc"]
    for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/ssl",
                 "/etc/alternatives", "/etc/localtime"):
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            arguments += ["--ro-bind", path, path]
    arguments += ["--dir", "/run", "--tmpfs", "/tmp"]
    for device in ("null", "zero", "full", "random", "urandom"):
        arguments += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    for link, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        arguments += ["--symlink", f"/proc/self/{target}", f"/dev/{link}"]
    return arguments + ["--tmpfs", "/dev/shm", "--proc", "/proc", "--dir", "/var", "--symlink", "/tmp", "/var/tmp", *command]


def wait_for_socket(path: str) -> None:
    wait_until(lambda: accepts(path), 20, f"nobody listens at {path}")
