"""docker.budget.lifetime: no way of starting a container escapes it, and none makes the keeper hold more timers."""
import time

from support import raw_http, sandbox
from support.processes import wait_until


def running(dockerd, identity) -> bool:
    return dockerd.inspect(identity)["State"]["Running"]


def test_a_container_that_is_started_again_after_its_lifetime_is_killed_again(broker, dockerd):
    broker.profile("short", docker={}, budget={"lifetime": "2s", "requests": "30000/min"})
    with sandbox.Worker(broker, "short") as worker, raw_http.Connection(worker.docker_socket) as api:
        made = api.request("POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": ["sleep", "600"]}).json()["Id"]
        for _ in range(2):
            for _ in range(20):  # all but the first change nothing
                assert api.request("POST", f"/v1.41/containers/{made}/start").status in (204, 304)
            assert running(dockerd, made)
            wait_until(lambda: not running(dockerd, made), 10, "the container outlives its lifetime")
            time.sleep(0.2)
        assert len(broker.audit(event="reap", rule="docker.budget.lifetime", session=broker.sessions()[-1])) == 2
