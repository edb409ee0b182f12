"""The worker's seat: programs and Python code run inside a real sandbox by `sallyport run`."""
import json
import os
import select
import signal
import socket
import subprocess
import tempfile

from . import places
from .processes import children_of, descendants_of, uids_of, wait_until

# Runs inside the sandbox: executes what each line of stdin says, answers with one line of JSON. What the code prints to
# stdout would be taken for an answer, so code that tests the worker's stdout uses run() below instead.
AGENT = r"""
import json, sys, traceback
scope = {"__name__": "worker"}
for line in sys.stdin:
    ask = json.loads(line)
    try:
        scope["args"] = ask["args"]
        scope["result"] = None
        exec(ask["code"], scope)
        answer = {"result": scope["result"]}
    except BaseException as error:
        answer = {"error": type(error).__name__ + ": " + str(error), "trace": traceback.format_exc(), "errno": getattr(error, "errno", None)}
    sys.stdout.write(json.dumps(answer, default=repr) + "\n")
    sys.stdout.flush()
"""

# For run_python(): the status of each.
EIGHT_CREATES = """
import http.client, json, socket
class Api(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect('/run/sallyport/docker.sock')
statuses = []
for _ in range(8):
    api = Api('d')
    api.request('POST', '/v1.41/containers/create', json.dumps({'Image': 'busybox', 'Cmd': ['true']}), {'Content-Type': 'application/json'})
    statuses.append(api.getresponse().status)
print(*statuses, flush=True)
"""


class WorkerError(Exception):
    """The code in the sandbox raised; errno as there."""

    def __init__(self, answer):
        super().__init__(answer["error"] + "\n" + answer["trace"])
        self.summary = answer["error"]
        self.errno = answer["errno"]


class Run:
    """One `sallyport run` in the background."""

    def __init__(self, broker, profile, command=(), options=(), environment=None, stdin=subprocess.PIPE, program="sallyport",
                 pass_fds=(), prefix=(), **popen):
        """`prefix`: a command that starts the launcher by exec; `popen`: what else the launcher's caller has (hostile_caller.py)."""
        self.broker = broker
        read_end, write_end = os.pipe()
        verb = [] if program == "sallyport-run" else ["run"]
        arguments = [*prefix, broker.program(program), *verb, *broker.options, "--status-fd", str(write_end), *options, profile]
        if command:
            arguments += ["--", *command]
        self.stderr_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen(arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=self.stderr_file,
                                        pass_fds=[write_end, *pass_fds], env=environment, **popen)
        os.close(write_end)
        self.status_pipe = open(read_end, "rb", buffering=0)
        self._status = b""

    @property
    def stderr(self) -> str:
        self.stderr_file.seek(0)
        return self.stderr_file.read().decode(errors="replace")

    @property
    def launcher_pid(self) -> int:
        return self.process.pid

    @property
    def init_pid(self) -> int:
        """The launcher's child in a pid namespace of its own."""
        here = os.stat("/proc/self/ns/pid").st_ino

        def find():
            for child in children_of(self.process.pid):
                try:
                    if os.stat(f"/proc/{child}/ns/pid").st_ino != here:
                        return child
                except (FileNotFoundError, ProcessLookupError):
                    pass
            return None
        return wait_until(find, 10, f"no init below the launcher {self.process.pid}: {self.stderr}", every=0.002)

    @property
    def worker_pid(self) -> int:
        return wait_until(lambda: (children_of(self.init_pid) or [None])[0], 10, "init has no worker")

    @property
    def uid_base(self) -> int:
        """Of the session's range; the worker is its second uid."""
        uid = uids_of(self.worker_pid)[0]
        return uid - 1

    @property
    def docker_socket(self) -> str:
        """The sandbox's own socket, seen from outside: for tests that need speed or a second client, not for proofs."""
        return f"/proc/{self.init_pid}/root/run/sallyport/docker.sock"

    def pids(self) -> list:
        return [self.process.pid] + descendants_of(self.process.pid)

    def signal(self, number) -> None:
        self.process.send_signal(number)

    def status(self, seconds=10) -> list:
        """What the launcher said on --status-fd, line by line as JSON."""
        while select.select([self.status_pipe], [], [], seconds)[0]:
            data = self.status_pipe.read(65536)
            if not data:
                break
            self._status += data
        return [json.loads(line) for line in self._status.splitlines() if line.strip()]

    def wait(self, seconds=60) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"sallyport run still runs after {seconds} s: {self.stderr}") from None

    def end(self, seconds=20) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.status_pipe, self.stderr_file):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Finished:
    def __init__(self, code, stdout, stderr, status):
        self.code, self.stdout, self.stderr, self.status = code, stdout, stderr, status

    @property
    def out(self) -> str:
        return self.stdout.decode(errors="replace")

    def __repr__(self):
        return f"Finished(code={self.code}, stdout={self.out[-2000:]!r}, stderr={self.stderr[-3000:]!r}, status={self.status})"


def run(broker, profile, command=(), stdin=b"", seconds=60, **options) -> Finished:
    """Runs to its end."""
    with Run(broker, profile, command, **options) as running:
        try:
            stdout, _ = running.process.communicate(stdin, seconds)
        except subprocess.TimeoutExpired:
            running.process.kill()
            stdout, _ = running.process.communicate()
            raise TimeoutError(f"sallyport run did not end in {seconds} s: {stdout[-2000:]!r} {running.stderr}") from None
        return Finished(running.process.returncode, stdout, running.stderr, running.status())


def run_python(broker, profile, code, *arguments, **options) -> Finished:
    return run(broker, profile, [places.PYTHON, "-c", code, *arguments], **options)


class Worker(Run):
    """A worker that does what the test tells it, statement by statement."""

    def __init__(self, broker, profile, **options):
        super().__init__(broker, profile, [places.PYTHON, "-u", "-c", AGENT], **options)
        self._answers = b""
        self.do("result = 1")

    def do(self, code, seconds=60, **args):
        self.process.stdin.write(json.dumps({"code": code, "args": args}).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self._line(seconds))
        if "error" in answer:
            raise WorkerError(answer)
        return answer["result"]

    def _line(self, seconds) -> bytes:
        stream = self.process.stdout.fileno()
        while b"\n" not in self._answers:
            if not select.select([stream], [], [], seconds)[0]:
                raise TimeoutError(f"the worker does not answer within {seconds} s: {self.stderr}")
            data = os.read(stream, 1 << 20)
            if not data:
                raise ConnectionError(f"the worker is gone ({self.process.wait(20)}): {self._answers!r} {self.stderr}")
            self._answers += data
        line, _, self._answers = self._answers.partition(b"\n")
        return line

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(self.docker_socket)
        return client
