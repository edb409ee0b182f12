"""Who has a hard limit of core files of 0 and may not raise it: nothing that would start with 1 fails to start with 0."""
import ctypes
import resource

import pytest
from support import sandbox
from support.broker import Broker
from support.dockerd import Dockerd

LIBC = ctypes.CDLL(None)
SYS_RESOURCE = 24
BOUNDING_SET_DROP = 24  # prctl(2)


def without_cores():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    assert LIBC.prctl(BOUNDING_SET_DROP, SYS_RESOURCE, 0, 0, 0) == 0


SHOWS = """
import docker
client = docker.from_env()
print(client.containers.run('busybox', ['grep', 'core file', '/proc/self/limits']).decode().split()[4:6])
"""


@pytest.fixture(scope="module")
def without():
    daemon = Dockerd(preexec_fn=without_cores)
    daemon.import_busybox()
    yield daemon
    daemon.end()


def test_the_attack_a_container_that_asks_for_more_than_dockerd_may_give_does_not_start(without):
    made = without.request("POST", "/v1.41/containers/create", {
        "Image": "busybox", "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "none", "Ulimits": [{"Name": "core", "Soft": 1, "Hard": 1}]}}).json()["Id"]
    assert "rlimit" in without.request("POST", f"/v1.41/containers/{made}/start").json()["message"]
    without.remove(made)


def test_containers_of_a_dockerd_that_may_not_give_1_start_with_0(without):
    broker = Broker(without.socket)
    try:
        broker.profile("cores", docker={})
        done = sandbox.run_python(broker, "cores", SHOWS)
        assert done.code == 0 and done.out == "['0', '0']\n", done
    finally:
        broker.remove()


def test_containers_of_another_have_1(broker):
    broker.profile("cores", docker={})
    assert sandbox.run_python(broker, "cores", SHOWS).out == "['1', '1']\n"


def test_a_broker_and_a_launcher_without_cores_run_workers_and_containers(dockerd):
    broker = Broker(dockerd.socket, start=False)
    try:
        broker.start(preexec_fn=without_cores)
        broker.profile("cores", docker={})
        done = sandbox.run(broker, "cores", ["/usr/bin/grep", "core file", "/proc/self/limits"], preexec_fn=without_cores)
        assert done.code == 0 and done.out.split()[4:6] == ["0", "0"], done
        assert sandbox.run_python(broker, "cores", SHOWS).out == "['1', '1']\n"
    finally:
        broker.remove()
