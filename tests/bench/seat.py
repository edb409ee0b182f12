"""A session whose API door is open to a measuring program outside the sandbox."""
from tests.support import raw_http, sandbox
from tests.support.broker import Broker
from tests.support.processes import wait_until

WITHOUT_LIMITS = {"containers": 64, "creates": "1000000/min", "requests": "10000000/min"}


def broker_for(docker_socket, sessions=8) -> Broker:
    broker = Broker(docker_socket, sessions=sessions, config_extra=f"max_sessions = {sessions}\n")
    broker.profile("bench", command=("/bin/sleep", "86400"), docker={}, container={"memory": "256MiB"}, budget=WITHOUT_LIMITS)
    return broker


class Session:
    def __init__(self, broker: Broker, profile="bench"):
        self.run = sandbox.Run(broker, profile)
        self.socket = self.run.docker_socket
        wait_until(self._answers, 20, f"the session does not answer: {self.run.stderr}", every=0.001)

    def _answers(self) -> bool:
        if self.run.process.poll() is not None:
            raise RuntimeError(f"the session ended: {self.run.stderr}")
        try:
            return raw_http.request(self.socket, "GET", "/_ping", timeout=5).status == 200
        except (OSError, ConnectionError):
            return False

    def create(self, command) -> str:
        made = raw_http.request(self.socket, "POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": list(command)})
        assert made.status == 201, made
        return made.json()["Id"]

    def end(self):
        self.run.end()
