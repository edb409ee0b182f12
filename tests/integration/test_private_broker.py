"""`sallyport run --private-broker`: a broker for one run, by root only, that leaves nothing but its profile's accounts and trail; never without being asked for."""
import fcntl
import os
import signal
import socket
import subprocess
import time

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
    [state] = places_only.state.iterdir()
    assert sorted(path.name for path in state.iterdir()) == ["accounts", "broker-id", "lock", "sessions"]
    assert [path.name for path in (state / "accounts").iterdir()] == ["worker"] and not list((state / "sessions").iterdir())
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


def creates_of_a_run(broker):
    done = sandbox.run_python(broker, "worker", sandbox.EIGHT_CREATES, options=["--private-broker"])
    assert done.code == 0, done
    return done.out.split().count("201")


def test_the_next_run_finds_its_rates_as_they_were_and_goes_on_with_the_same_trail(places_only):
    places_only.profile("worker", docker={}, budget={"creates": "5/min", "containers": 20})
    began = time.monotonic()
    made = [creates_of_a_run(places_only) for _ in range(3)]
    assert made[0] == 5 and sum(made) <= 5 + (time.monotonic() - began) * 5 / 60, made
    for directory in (places_only.state, places_only.logs):
        assert [path.name for path in directory.iterdir()] == ["private-worker.0"], "however often it runs"
    assert len(places_only.audit(event="session-end")) == 3


def test_runs_that_only_count_tell_it_once_a_minute_at_most(places_only):
    run = lambda: sandbox.run_python(places_only, "worker", "pass", options=["--private-broker"])
    assert run().code == 0
    [accounts] = places_only.state.glob("private-*/accounts/worker")
    shares = "share 0 0 0\n" * 4 + f"share {1800 * 2304} 0 0\n"
    accounts.write_text(f"sallyport-accounts 3\nhour {int(time.time()) // 3600}\n{shares}unwritten 0\ntold 0\n")
    written = len(places_only.audit())
    for _ in range(5):
        assert run().code == 0
    counted = [r for r in places_only.audit() if r["rule"] == "audit.quota"]
    assert len(counted) == 1 == len(places_only.audit()) - written, counted
    kept = next(line.split() for line in accounts.read_text().splitlines() if line.startswith("share ") and line.split()[1] != "0")
    assert counted[0]["count"] + int(kept[2]) == 10, "an opening and an end of each"


def test_runs_side_by_side_have_a_place_each_and_no_further_one_is_made(places_only):
    places_only.profile("worker", docker={}, budget={"creates": "5/min", "containers": 20})
    places_only.profile("other", docker={}, budget={"creates": "5/min", "containers": 20})
    with sandbox.Run(places_only, "worker", [places.PYTHON, "-u", "-c", sandbox.EIGHT_CREATES + "import time; time.sleep(60)"],
                     options=["--private-broker"]) as running:
        assert running.process.stdout.readline().split().count(b"201") == 5
        assert creates_of_a_run(places_only) == 5, "its own"
        assert creates_of_a_run(places_only) < 5
        assert sandbox.run_python(places_only, "other", "pass", options=["--private-broker"]).code == 0
    assert creates_of_a_run(places_only) < 5
    names = ["private-other.0", "private-worker.0", "private-worker.1"]
    for directory in (places_only.state, places_only.logs):
        assert sorted(path.name for path in directory.iterdir()) == names


def test_more_runs_than_have_places_are_refused_with_words(places_only):
    held = []
    for number in range(64):
        directory = places_only.state / f"private-worker.{number}"
        directory.mkdir()
        held.append(os.open(directory, os.O_RDONLY))
        fcntl.flock(held[-1], fcntl.LOCK_EX)
    done = sandbox.run_python(places_only, "worker", "pass", options=["--private-broker"])
    assert done.code == 125, done
    assert "profile worker has 64 runs with private brokers already: max_sessions in broker.toml allows no more" in done.stderr
    os.close(held.pop())
    assert sandbox.run_python(places_only, "worker", "pass", options=["--private-broker"]).code == 0
    for descriptor in held:
        os.close(descriptor)


def test_a_link_that_the_keeper_has_put_in_a_places_stead_is_not_followed(places_only):
    """The keeper's user may have the directory above, and what a broker opens there is given to the keeper."""
    victim = places_only.directory / "victim"
    victim.mkdir()
    link = places_only.state / "private-worker.0"
    link.symlink_to(victim)
    os.lchown(link, places_only.user, places_only.user)
    done = sandbox.run_python(places_only, "worker", "pass", options=["--private-broker"])
    assert done.code == 125 and f"open the private broker's directory {link}" in done.stderr, done
    places_only.state = link
    started = [places.program("sallyport-broker"), *places_only.options, "--reap-only"]
    refused = subprocess.run(started, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1 and f"the directory {link} is a link of uid {places_only.user}" in refused.stderr, refused
    assert victim.stat().st_uid == 0 and not list(victim.iterdir())
    os.lchown(link, 0, 0)
    assert subprocess.run(started, capture_output=True, text=True, timeout=30).returncode == 0, "root's own is"
    assert victim.stat().st_uid == places_only.user


def test_only_root_may_ask_for_it(places_only):
    done = subprocess.run([places.program("sallyport"), "run", *places_only.options, "--private-broker", "worker", "--", "/bin/true"],
                          capture_output=True, text=True, user=64999, group=64999, extra_groups=[], timeout=30)
    assert done.returncode == 125 and "root" in done.stderr, done


def test_a_log_directory_in_use_is_not_taken_twice(places_only):
    """Two brokers that write one trail would cut off each other's records."""
    taken = places_only.logs / "private-worker.0"
    taken.mkdir(mode=0o700)
    held = os.open(taken, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert sandbox.run_python(places_only, "worker", "pass", options=["--private-broker"]).code == 0
    finally:
        os.close(held)
    assert not list(taken.iterdir()) and (places_only.logs / "private-worker.1").is_dir()
    assert sandbox.run_python(places_only, "worker", "pass", options=["--private-broker"]).code == 0
    assert list(taken.iterdir()), "once it is free"


@pytest.mark.parametrize("uid", [0, 64991])
def test_a_private_broker_serves_no_peer_but_root(places_only, uid):
    os.seteuid(uid)
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    finally:
        os.seteuid(0)
    ours.close()  # whom it serves, it serves until then
    with theirs:
        done = subprocess.run([places_only.program("sallyport-broker"), *places_only.options, "--private-fd", str(theirs.fileno())],
                              capture_output=True, text=True, timeout=30, pass_fds=[theirs.fileno()])
    assert ("a private broker serves root only" in done.stderr, done.returncode) == (uid != 0, 1 if uid else 0), done
