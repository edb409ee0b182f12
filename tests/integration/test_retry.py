"""`run --retry`, as the worker's unit has it: what may pass is waited for, what is wrong in a file is an end of its own,
and systemd hears when the worker runs."""
import os
import signal
import subprocess
import time

import pytest
from support import launcher, sandbox
from support.broker import Broker
from support.processes import wait_until
from support.systemd import Systemd

EX_CONFIG = 78
RUNS = b"READY=1\nSTATUS=the worker runs"


@pytest.fixture
def own(dockerd):
    """A broker that is not running yet."""
    made = Broker(dockerd.socket, start=False)
    made.profile("docked", docker={})
    made.profile("plain")
    yield made
    made.remove()


@pytest.fixture
def systemd(tmp_path):
    with Systemd(tmp_path / "notify") as heard:
        yield heard


def test_a_run_that_may_wait_says_so_and_runs_when_a_broker_is_there(own, systemd):
    with sandbox.Run(own, "docked", ["/bin/sleep", "60"], options=["--retry"], environment=systemd.environment) as run:
        waiting = systemd.hears()
        assert waiting.startswith(b"READY=1\nSTATUS=waiting: connect to the broker at ") and b"no broker is running there" in waiting
        assert "it is tried again until it can be done, at least every 30 s" in run.stderr, run.stderr
        own.start()
        assert wait_until(lambda: (said := systemd.hears()) == RUNS and said, 30, lambda: run.stderr)
        assert run.stderr.count("no broker is running there") == 1, "once, however often it was tried"
        assert own.audit(event="session-open")


def test_without_retry_it_fails_at_once(own):
    done = sandbox.run(own, "docked", ["/bin/true"])
    assert done.code == 125 and "no broker is running there" in done.stderr, done


def test_whoever_stops_it_while_it_waits_is_obeyed(own, systemd):
    with sandbox.Run(own, "docked", ["/bin/true"], options=["--retry"], environment=systemd.environment) as run:
        systemd.hears()
        run.signal(signal.SIGTERM)
        assert run.wait(10) == 128 + signal.SIGTERM, run.stderr
        assert "asked to end, it is not tried again" in run.stderr and run.status()[0]["ended"] == "not-built", run.stderr


def waits_until_the_first_ends(own, profile, systemd, why):
    with sandbox.Run(own, profile, ["/bin/sleep", "60"]) as first:
        assert first.worker_pid
        with sandbox.Run(own, profile, ["/bin/sleep", "60"], options=["--retry"], environment=systemd.environment) as second:
            assert why in systemd.hears()
            first.end()
            wait_until(lambda: systemd.hears() == RUNS, 40, lambda: second.stderr)


def test_uids_that_are_all_taken_are_waited_for(dockerd, systemd):
    own = Broker("/nonexistent", sessions=1, start=False, config_extra="max_sessions = 1\n")
    own.profile("plain")
    try:
        waits_until_the_first_ends(own, "plain", systemd, b"every range of uid_span")
    finally:
        own.remove()


def test_the_worker_runs_is_said_only_when_it_does(own, systemd):
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"], environment=systemd.environment) as run:
        assert systemd.hears() == RUNS
        assert b"sleep" in open(f"/proc/{run.worker_pid}/cmdline", "rb").read()
    done = sandbox.run(own, "plain", ["/nosuch"], environment=systemd.environment)
    assert done.code == EX_CONFIG and systemd.heard_nothing(), done


WRONG = {
    "no such profile": ("nosuch", {}, "nosuch.toml"),
    "a name that no profile has": ("../plain", {}, "profile name"),
    "a key that is not known": ("wrong", {"text": "[worker]\ncomand = ['x']\n"}, "comand"),
    "a program that is not there": ("wrong", {"worker": {"command": ["/nosuch"]}}, "start the worker's program (/nosuch)"),
    "a program that may not run": ("wrong", {"worker": {"command": ["/etc/passwd"]}}, "Permission denied"),
    "a directory that is not there": ("wrong", {"worker": {"directory": "/nowhere"}}, "worker.directory"),
    "a root that is not there": ("wrong", {"sandbox": {"root": "/nonexistent"}}, "/nonexistent"),
    "what cannot be enforced and is required": ("wrong", {"limits": {"memory": "1GiB", "require": ["memory"]}}, "limits.require"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_wrong_in_a_profile_is_not_tried_again(own, systemd, mistake):
    name, sections, says = WRONG[mistake]
    if sections:
        own.profile(name, **sections)
    command = launcher.command(own, name, options=["--retry"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=systemd.environment)
    assert done.returncode == EX_CONFIG and says in done.stderr, done
    assert systemd.heard_nothing()


def test_what_is_wrong_in_broker_toml_is_not_tried_again(own):
    config = own.directory / "broker.toml"
    config.write_text(config.read_text() + "max_session = 3\n")
    done = sandbox.run(own, "plain", ["/bin/true"], options=["--retry"])
    assert done.code == EX_CONFIG and "did you mean max_sessions?" in done.stderr, done
    broker = subprocess.run([own.program("sallyport-broker"), *own.options], capture_output=True, text=True, timeout=20)
    assert broker.returncode == EX_CONFIG and "did you mean max_sessions?" in broker.stderr, broker


def test_a_file_that_cannot_be_read_just_now_is_not_a_wrong_one(own):
    """As where a descriptor or memory is missing: nobody has to mend the profile."""
    done = subprocess.run(["prlimit", "--nofile=4:4", *launcher.command(own, "plain")], capture_output=True, text=True, timeout=20)
    assert done.returncode == 125 and f"open {own.directory}/: Too many open files" in done.stderr, done


def test_a_worker_that_ends_at_once_has_run(own, systemd):
    """Also where it has ended when init first looks for it: so late does strace have it look."""
    late = ["strace", "-f", "-qq", "-o", str(own.directory / "trace"), "-e", "trace=waitid", "-e", "inject=waitid:delay_enter=500000"]
    for prefix in ([], late):
        with sandbox.Run(own, "plain", ["/bin/true"], environment=systemd.environment, prefix=prefix) as run:
            assert run.wait(30) == 0, run.stderr
            assert systemd.hears() == RUNS, run.stderr


def test_a_private_broker_does_not_speak_for_the_unit(own, systemd):
    with sandbox.Run(own, "docked", ["/bin/sleep", "1"], options=["--private-broker"], environment=systemd.environment) as run:
        assert systemd.hears() == RUNS, run.stderr
        assert run.wait(30) == 0 and systemd.heard_nothing(), run.stderr


def test_a_workers_own_status_never_looks_like_a_wrong_file_to_its_unit(own):
    ends = ["/bin/sh", "-c", "exit 78"]
    assert sandbox.run(own, "plain", ends).code == EX_CONFIG
    done = sandbox.run(own, "plain", ends, options=["--retry"])
    assert done.code == 1 and (done.status[0]["code"], done.status[0]["exit_code"]) == (EX_CONFIG, 1), done


def test_a_file_may_be_met_half_written_but_not_twice(own, systemd):
    own.start()
    profile = own.profiles / "docked.toml"
    whole = profile.read_text()
    profile.write_text(whole + "[half")
    with sandbox.Run(own, "docked", ["/bin/sleep", "60"], options=["--retry"], environment=systemd.environment) as run:
        wait_until(lambda: "docked.toml" in run.stderr, 20, lambda: run.stderr)
        profile.write_text(whole)
        assert systemd.hears() == RUNS, run.stderr
        assert "it is looked at once more" in run.stderr, run.stderr
    profile.write_text(whole + "[half")
    with sandbox.Run(own, "docked", ["/bin/sleep", "60"], options=["--retry"], environment=systemd.environment) as run:
        assert run.wait(20) == EX_CONFIG and systemd.heard_nothing(), run.stderr


def test_a_program_may_be_missing_for_a_moment(own, systemd):
    """As where it is being upgraded."""
    place = own.directory / "programs"
    place.mkdir()
    own.directory.chmod(0o755)
    own.profile("upgraded", docker={}, sandbox={"readable": [str(place)]}, worker={"command": [str(place / "program")]})
    own.start()
    with sandbox.Run(own, "upgraded", options=["--retry"], environment=systemd.environment) as run:
        wait_until(lambda: "it is looked at once more" in run.stderr, 20, lambda: run.stderr)
        (place / "new").write_text("#!/bin/sh\nexec sleep 60\n")
        (place / "new").chmod(0o755)
        (place / "new").rename(place / "program")
        assert systemd.hears() == RUNS, run.stderr


def test_a_broker_that_dies_while_it_opens_a_session_is_waited_for(own, systemd):
    own.start()
    keeper = own.keeper_pid
    os.kill(keeper, signal.SIGSTOP)
    with sandbox.Run(own, "docked", ["/bin/true"], options=["--retry"], environment=systemd.environment) as run:
        assert run.init_pid
        time.sleep(0.3)
        os.kill(keeper, signal.SIGKILL)
        assert systemd.hears().startswith(b"READY=1\nSTATUS=waiting: "), run.stderr


def test_no_sandbox_is_built_while_nobody_would_open_its_session(own, systemd):
    with sandbox.Run(own, "docked", ["/bin/true"], options=["--retry"], environment=systemd.environment) as run:
        systemd.hears()
        systemd.hears()
        assert not (own.runtime / "uids").exists(), run.stderr


def test_a_refusal_that_does_not_pass_is_not_waited_for(own, systemd, tmp_path):
    own.start()
    elsewhere = own.directory / "other-profiles"
    elsewhere.mkdir()
    (elsewhere / "docked.toml").write_text((own.profiles / "docked.toml").read_text() + "# changed\n")
    done = sandbox.run(own, "docked", ["/bin/true"], options=["--retry", "--profile-dir", str(elsewhere)],
                       environment=systemd.environment)
    assert done.code == 125 and "the broker refused the session: " in done.stderr, done
    assert systemd.heard_nothing()


def test_a_refusal_that_may_pass_is_waited_for(dockerd, systemd):
    own = Broker(dockerd.socket, config_extra="max_sessions = 1\n")
    own.profile("docked", docker={})
    try:
        waits_until_the_first_ends(own, "docked", systemd, b"max_sessions in broker.toml allows no more")
    finally:
        own.remove()


@pytest.mark.parametrize("number", [signal.SIGWINCH, signal.SIGUSR1])
def test_a_signal_that_asks_for_no_end_does_not_end_a_launch(own, number):
    """Such as that of a terminal whose size changes, while the broker is slow to open the session."""
    own.start()
    os.kill(own.keeper_pid, signal.SIGSTOP)
    try:
        with sandbox.Run(own, "docked", ["/bin/sh", "-c", "trap 'exit 9' USR1; sleep 1; sleep 1; exit 5"]) as run:
            assert run.init_pid
            time.sleep(0.3)
            run.signal(number)
            time.sleep(0.3)
            os.kill(own.keeper_pid, signal.SIGCONT)
            # USR1 comes before the shell has its trap, or after.
            assert run.wait(30) in ((5,) if number == signal.SIGWINCH else (9, 128 + number)), run.stderr
    finally:
        os.kill(own.keeper_pid, signal.SIGCONT)


def test_a_signal_that_asks_for_the_end_ends_a_launch(own):
    own.start()
    os.kill(own.keeper_pid, signal.SIGSTOP)
    try:
        with sandbox.Run(own, "docked", ["/bin/true"]) as run:
            assert run.init_pid
            time.sleep(0.3)
            run.signal(signal.SIGTERM)
            assert run.wait(10) == 128 + signal.SIGTERM and "a signal came before the worker had started" in run.stderr
    finally:
        os.kill(own.keeper_pid, signal.SIGCONT)


# --- instances ---

def test_one_profile_has_many_workers_each_with_a_name(own):
    own.start()
    with sandbox.Worker(own, "docked:1") as one, sandbox.Worker(own, "docked:second") as two:
        assert one.do("result = 1") == two.do("result = 1") == 1
        assert {record["profile"] for record in own.audit(event="session-open")} == {"docked"}
    done = sandbox.run(own, "docked:3", ["/bin/true"])
    assert (done.status[0]["profile"], done.status[0]["instance"]) == ("docked", "3"), done
    assert sandbox.run(own, "docked", ["/bin/true"]).status[0]["instance"] is None


@pytest.mark.parametrize("name", ["docked:", "docked:A", "docked:a:b", "docked:../x", "docked:" + 33 * "a", ":a"])
def test_an_instance_that_cannot_be_one_is_refused(own, name):
    done = subprocess.run(launcher.command(own, name), capture_output=True, text=True, timeout=20)
    assert done.returncode == EX_CONFIG and done.stdout == "" and "sallyport: " in done.stderr, done
    assert "[a-z0-9]" in done.stderr, done
