"""A broker of the test's own: own configuration, places and uid span, so that two never meet."""
import json
import os
import pathlib
import signal
import subprocess

from . import places, profiles
from .processes import Daemon, children_of, command_of, is_alive, uids_of, wait_until

KEEPER_USER = 64990  # a number of no account
_UIDS_OF_A_PROCESS = 2_000_000  # of a thousand: runc takes none above 2^31
_taken = 0


def next_uid_span(sessions=64):
    """Spans of different test processes and brokers do not overlap."""
    global _taken
    first = 1_000_000 + (os.getpid() % 1000) * _UIDS_OF_A_PROCESS + _taken
    _taken += sessions * 16
    assert _taken <= _UIDS_OF_A_PROCESS, "a process of tests has used up its uids"
    return first, first + sessions * 16 - 1


class Broker:
    def __init__(self, docker_socket, sessions=64, config_extra="", start=True, user=KEEPER_USER):
        self.directory = places.make_directory("broker")
        self.docker_socket = str(docker_socket)
        self.user = user
        self.uid_first, self.uid_last = next_uid_span(sessions)
        self.profiles, self.state, self.logs, self.runtime = (self.directory / name for name in ("profiles", "state", "log", "run"))
        self.profiles.mkdir()
        self.config = self.directory / "broker.toml"
        self.write_config(config_extra)
        self.daemon = None
        self.programs = places.BIN
        if start:
            self.start()

    def write_config(self, extra="") -> None:
        self.config.write_text(f'user = "{self.user}"\nuid_span = "{self.uid_first}-{self.uid_last}"\n{extra}')
        self.config.chmod(0o644)

    def program(self, name) -> str:
        return places.program(name, self.programs)

    @property
    def options(self) -> list:
        return ["--config", str(self.config), "--profile-dir", str(self.profiles), "--state-dir", str(self.state),
                "--log-dir", str(self.logs), "--runtime-dir", str(self.runtime), "--docker-socket", self.docker_socket]

    @property
    def control_socket(self) -> str:
        return f"{self.runtime}/broker.sock"

    @property
    def log_file(self) -> pathlib.Path:
        return self.directory / "broker.log"

    def start(self, environment=None, **popen) -> None:
        """`popen`: what its caller has (hostile_caller.py)."""
        environment = dict(environment or os.environ)
        if os.environ.get("SALLYPORT_TEST_VERBOSE"):
            environment["SALLYPORT_DEBUG"] = "1"
        self.daemon = Daemon([self.program("sallyport-broker"), *self.options], self.log_file, environment, **popen)
        self.daemon.wait_ready(self._accepts, 20, "the broker does not listen")

    def _accepts(self) -> bool:
        import socket
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(self.control_socket)
                return True
            except OSError:
                return False

    # --- processes ---
    @property
    def spawner_pid(self) -> int:
        return self.daemon.pid

    @property
    def keeper_pid(self) -> int:
        """The spawner's child with the keeper's user; the socket accepts a moment before that child has changed its user."""
        return wait_until(lambda: next((c for c in children_of(self.spawner_pid) if uids_of(c)[:1] == [self.user]), None), 5,
                          "the broker has no keeper", every=0.001)

    def processes_of(self, part: str, session_uid_base=None) -> list:
        """Gates or relays: children of the spawner with the uid of that part of some session's range."""
        offset = {"gate": 2, "relay": 3, "dialer": 5}[part]
        found = []
        for child in children_of(self.spawner_pid):
            uid = (uids_of(child) or [0])[0]
            if self.uid_first <= uid <= self.uid_last and (uid - self.uid_first) % 16 == offset:
                if session_uid_base is None or uid - offset == session_uid_base:
                    found.append(child)
        return found

    # --- what it wrote ---
    def audit(self, **fields) -> list:
        records = []
        for path in sorted(self.logs.rglob("audit.jsonl*")):
            for line in path.read_bytes().split(b"\n"):
                if not line.strip(b"\0"):  # the reserve at the end, which a killed keeper leaves
                    continue
                records.append(json.loads(line))
        records.sort(key=lambda record: (record["time"], record["seq"]))  # reads have files of their own
        return [record for record in records if all(record.get(key) == value for key, value in fields.items())]

    def sessions(self) -> list:
        return list(dict.fromkeys(record["session"] for record in self.audit() if record.get("session")))

    def audit_for_people(self, *arguments) -> str:
        done = subprocess.run([self.program("sallyport"), "audit", *self.options, *arguments], capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # --- profiles ---
    def profile(self, name="worker", **sections) -> str:
        return profiles.write_profile(self.profiles, name, **sections)

    def kill_session(self, session) -> subprocess.CompletedProcess:
        return subprocess.run([self.program("sallyport"), "kill", *self.options, session], capture_output=True, text=True, timeout=30)

    # --- end ---
    def alive(self) -> bool:
        return self.daemon is not None and self.daemon.alive()

    def kill(self, part="keeper") -> None:
        """SIGKILL of one of the two; the other must end by itself."""
        pid = self.keeper_pid if part == "keeper" else self.spawner_pid
        os.kill(pid, signal.SIGKILL)
        self.daemon.process.wait(10)
        wait_until(lambda: not is_alive(pid), 5, f"{part} does not end")

    def end(self) -> int:
        return self.daemon.end(15) if self.daemon else 0

    def sanitizer_reports(self) -> str:
        """What AddressSanitizer or UndefinedBehaviorSanitizer said in any of the broker's processes."""
        if not self.log_file.exists():
            return ""
        lines = self.log_file.read_text(errors="replace").splitlines()
        begin = next((n for n, line in enumerate(lines) if "AddressSanitizer" in line or "runtime error:" in line), None)
        return "" if begin is None else "\n".join(lines[begin:begin + 60])

    def remove(self) -> None:
        self.end()
        report = self.sanitizer_reports()
        places.remove_directory(self.directory)
        assert not report, report

    def __repr__(self):
        return f"Broker({self.directory}, {command_of(self.daemon.pid) if self.daemon else 'not started'})"


class SharedBroker:
    """One broker for many tests. Where one dies the tests after it get a new one, and only the test in which it died fails."""

    def __init__(self, docker_socket):
        self.docker_socket = docker_socket
        self._broker = None

    def get(self) -> Broker:
        if self._broker is None or not self._broker.alive():
            if self._broker is not None:
                self._broker.end()
                places.remove_directory(self._broker.directory)  # what its log says, the test in which it died has said
            self._broker = Broker(self.docker_socket)
        return self._broker

    def remove(self) -> None:
        if self._broker is not None:
            self._broker.remove()
