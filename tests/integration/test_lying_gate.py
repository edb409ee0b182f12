"""A gate that lies is ended with its session, the record says so, and nobody else notices."""
import os
import shutil
import subprocess

import pytest
from support import leaks, places, sandbox
from support.broker import Broker
from support.processes import wait_until

LIES = {1: "noise", 2: "a datagram larger than any message", 3: "an unknown message", 4: "one request id twice",
        5: "a name that no grammar takes", 6: "bytes after the message", 7: "its end", 8: "a crash", 9: "requests without end"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Our programs in a directory of their own, so that the gate can be exchanged between two sessions."""
    directory = places.make_directory("programs")
    for name in os.listdir(places.BIN):
        if name.startswith("sallyport"):
            shutil.copy2(places.BIN / name, directory / name, follow_symlinks=False)
    yield directory
    places.remove_directory(directory)


def gate(programs, lie):
    made = programs / "made"
    subprocess.run(["clang-19", "-static", "-O1", f"-DLIE={lie}", "-o", made, places.ROOT / "tests/support/lying_gate.c"], check=True)
    os.replace(made, programs / "sallyport-gate")


def start(programs, dockerd):
    broker = Broker(dockerd.socket, start=False)
    broker.programs = programs
    broker.start()
    broker.profile("seat", docker={})
    return broker


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: LIES[lie].replace(" ", "-"))
def test_a_lie_ends_its_own_session(programs, dockerd, lie):
    shutil.copy2(places.BIN / "sallyport-gate", programs / "sallyport-gate")
    gate(programs, lie)
    broker = start(programs, dockerd)
    try:
        broker.profile("plain")
        done = sandbox.run(broker, "seat", ["/bin/sleep", "30"], seconds=20)
        assert done.code in (125, 137) and done.status[-1]["ended"] != "exited", done
        assert broker.alive()
        (end,) = wait_until(lambda: broker.audit(event="session-end"), 5, "the session's end is not recorded")
        assert "gate" in end["reason"] or "misconduct" in end["reason"], end
        leaks.wait_until_clean(broker, dockerd)
    finally:
        broker.remove()


def test_a_gate_that_says_nothing_is_left_alone(programs, dockerd):
    """The twin: the same exchanged program, without a lie."""
    gate(programs, 0)
    broker = start(programs, dockerd)
    try:
        assert sandbox.run(broker, "seat", ["/bin/sleep", "1"]).code == 0
    finally:
        broker.remove()
