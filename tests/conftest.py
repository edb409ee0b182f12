"""One dockerd and one broker for a whole run; tests that kill things make their own."""
import os
import pathlib
import shutil
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import leaks, sandbox, thorough  # noqa: E402
from support.broker import Broker, SharedBroker  # noqa: E402
from support.dockerd import Dockerd  # noqa: E402

LEFT_OUT = pytest.StashKey()

if os.getuid() != 0:
    pytest.exit("the integration tests need root: they start dockerd, a broker and sandboxes", returncode=1)


def pytest_sessionstart(session):
    """`scripts/test` cuts a stage by SIGTERM: the test that runs then fails, what ran by then is counted, all is torn down."""
    def cut(_number, _frame):
        session.shouldstop = "SIGTERM: the time of this run is up"
        raise pytest.fail.Exception("SIGTERM: the time of this run was up in this test")
    signal.signal(signal.SIGTERM, cut)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long, so it runs only in `scripts/test all` (SALLYPORT_TEST_ALL=1)")


def pytest_collection_modifyitems(config, items):
    left_out = [] if thorough.IN_ALL else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        config.stash[LEFT_OUT] = len(left_out)


def pytest_terminal_summary(terminalreporter, config):
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} long tests left out: scripts/test all runs them")


@pytest.fixture(scope="session")
def dockerd():
    daemon = Dockerd()
    daemon.import_busybox()
    daemon.import_busybox("volumed:latest", volumes=["/data"])
    yield daemon
    daemon.end()


@pytest.fixture(scope="session")
def shared_broker(dockerd):
    shared = SharedBroker(dockerd.socket)
    yield shared
    shared.remove()


@pytest.fixture
def broker(shared_broker, dockerd):
    """The shared broker; a test in which it dies, or that leaves anything of its sessions behind, fails."""
    broker = shared_broker.get()
    before = broker.keeper_pid
    yield broker
    assert broker.alive() and broker.keeper_pid == before, \
        f"the broker died:\n{broker.sanitizer_reports()}\n{broker.daemon.log_tail(40)}"
    leaks.wait_until_clean(broker, dockerd)


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
