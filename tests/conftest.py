"""One dockerd and one broker for a whole run; tests that kill things make their own."""
import os
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import leaks, sandbox  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.dockerd import Dockerd  # noqa: E402

if os.getuid() != 0:
    pytest.exit("the integration tests need root: they start dockerd, a broker and sandboxes", returncode=1)


@pytest.fixture(scope="session")
def dockerd():
    daemon = Dockerd()
    daemon.import_busybox()
    daemon.import_busybox("volumed:latest", volumes=["/data"])
    yield daemon
    daemon.end()


@pytest.fixture(scope="session")
def shared_broker(dockerd):
    broker = Broker(dockerd.socket)
    yield broker
    broker.remove()


@pytest.fixture
def broker(shared_broker, dockerd):
    """The shared broker; a test that leaves anything of its sessions behind fails."""
    assert shared_broker.alive(), f"the broker died in an earlier test:\n{shared_broker.daemon.log_tail(40)}"
    before = shared_broker.keeper_pid
    yield shared_broker
    assert shared_broker.alive() and shared_broker.keeper_pid == before, f"the broker died:\n{shared_broker.daemon.log_tail(40)}"
    leaks.wait_until_clean(shared_broker, dockerd)


@pytest.fixture
def own_broker(dockerd):
    """For tests that kill the broker or need another configuration."""
    broker = Broker(dockerd.socket)
    yield broker
    broker.remove()


@pytest.fixture
def worker(broker):
    """A worker with the API door, told by the test what to do."""
    broker.profile("seat", docker={}, container={"memory": "64MiB"}, budget={"creates": "600/min", "requests": "30000/min"})
    with sandbox.Worker(broker, "seat") as seat:
        yield seat


@pytest.fixture
def foreign(dockerd):
    """A container that belongs to no session, with a secret in its environment, labels and output."""
    identity = dockerd.run_foreign("victim_fix", ["sh", "-c", "echo foreign-secret; exec sleep 3600"], labels={"owner": "other"})
    yield identity
    dockerd.remove(identity)


def docker_clients() -> list:
    """Debian's 20.10 always; another one where the machine has it."""
    found = ["/usr/bin/docker"]
    other = shutil.which("docker", path="/usr/local/bin")
    return found + ([other] if other else [])
