"""`sallyport run --private-broker`: a broker for one run, by root only, that leaves nothing; never without being asked for."""
import os
import signal
import subprocess

import pytest
from support import leaks, places, sandbox
from support.broker import Broker
from support.processes import wait_until
from support.recorder import Recorder

RUN_ONE = "import docker; print(docker.from_env().containers.run('busybox', ['echo', 'private'], remove=True).decode(), end='')"


@pytest.fixture
def places_only(dockerd):
    """The configuration of a broker that was never started."""
    broker = Broker(dockerd.socket, start=False)
    for directory in (broker.state, broker.logs, broker.runtime):
        directory.mkdir()
        directory.chmod(0o755)
    broker.profile("worker", docker={})
    yield broker
    broker.remove()


def test_a_container_runs_and_nothing_is_left(places_only, dockerd):
    done = sandbox.run_python(places_only, "worker", RUN_ONE, options=["--private-broker"])
    assert (done.code, done.out) == (0, "private\n"), done
    leaks.wait_until_clean(places_only, dockerd)
    assert not list(places_only.state.glob("private-*")), "its state directory is removed"
    assert [r["endpoint"] for r in places_only.audit(event="request", method="POST") if r["decision"] == "ALLOW"], "the audit trail stays"


def test_without_a_broker_and_without_asking_there_is_no_session(places_only):
    done = sandbox.run_python(places_only, "worker", RUN_ONE)
    assert done.code == 125 and "broker" in done.stderr and done.out == "", done


def test_the_private_broker_dies_and_what_it_left_is_reaped(places_only, dockerd):
    code = RUN_ONE.replace("['echo', 'private'], remove=True).decode(), end=''", "['sleep', '600'], detach=True).id, flush=True")
    code += "\nimport time; time.sleep(60)"
    with sandbox.Run(places_only, "worker", [places.PYTHON, "-u", "-c", code], options=["--private-broker"]) as running:
        identity = running.process.stdout.readline().decode().strip()
        assert dockerd.inspect(identity)["State"]["Running"]
        from support.processes import command_of, descendants_of
        brokers = [pid for pid in descendants_of(running.launcher_pid) if "sallyport-broker" in command_of(pid)]
        assert brokers, "its processes are the launcher's children"
        os.kill(brokers[0], signal.SIGKILL)
        assert running.wait(20) == 125
    wait_until(lambda: dockerd.request("GET", f"/v1.41/containers/{identity}/json").status == 404, 5, "the container is left")
    leaks.wait_until_clean(places_only, dockerd)


def test_what_dockerd_may_still_make_is_left_on_the_ledger_and_said(places_only, dockerd):
    recorder = Recorder(dockerd.socket)
    recorder.cuts = f"POST /v{dockerd.spoken}/containers/create".encode()
    places_only.docker_socket = recorder.socket
    try:
        done = sandbox.run_python(places_only, "worker", RUN_ONE, options=["--private-broker"])
        [state] = places_only.state.glob("private-*")
        assert "dockerd cannot be reached" in done.stderr and f"--reap-only --state-dir {state}" in done.stderr, done
        [ledger] = (state / "sessions").iterdir()
        name = next(line.split()[1] for line in ledger.read_text().splitlines() if line.startswith("intent "))
        labels = {"sallyport.broker": (state / "broker-id").read_text().strip(), "sallyport.session": ledger.name}
        identity = dockerd.run_foreign(name, labels=labels, start=False)  # dockerd makes it now
        places_only.state = state
        reap = subprocess.run([places.program("sallyport-broker"), *places_only.options, "--reap-only"], capture_output=True,
                              text=True, timeout=30)
        assert reap.returncode == 0, reap
        assert dockerd.request("GET", f"/v1.41/containers/{identity}/json").status == 404
        assert not list((state / "sessions").iterdir())
    finally:
        recorder.end()


def test_only_root_may_ask_for_it(places_only):
    done = subprocess.run([places.program("sallyport"), "run", *places_only.options, "--private-broker", "worker", "--", "/bin/true"],
                          capture_output=True, text=True, user=64999, group=64999, extra_groups=[], timeout=30)
    assert done.returncode == 125 and "root" in done.stderr, done
