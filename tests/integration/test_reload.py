"""SIGHUP has the broker open its trail anew, and ends nothing."""
import os
import signal
import subprocess

import pytest
from support import sandbox
from support.broker import KEEPER_USER, Broker
from support.processes import wait_until


@pytest.fixture(params=["the broker", "its keeper"])
def own(request, dockerd):
    """A broker of its own, and the process that gets the signal."""
    made = Broker(dockerd.socket)
    try:
        made.profile("worker", docker={})
        yield made, (made.spawner_pid if request.param == "the broker" else made.keeper_pid)
    finally:
        made.remove()


def said(broker, text) -> int:
    return broker.log_file.read_text().count(text)


def test_sighup_opens_the_trail_anew_and_the_session_goes_on(own):
    broker, pid = own
    with sandbox.Worker(broker, "worker") as worker:
        trail = broker.logs / "audit.jsonl"
        trail.rename(broker.logs / "moved")
        before = (broker.logs / "moved").read_text()
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: said(broker, "the audit trail is opened anew, as SIGHUP asks") == 1, 10, broker.log_file.read_text())
        assert worker.do("result = 1") == 1, "the session is there"
        with sandbox.Worker(broker, "worker") as second:
            second.do("result = 1")
            assert '"session-open"' in trail.read_text()
        assert (broker.logs / "moved").read_text() == before, "nothing more goes there"
    assert said(broker, "the broker is stopping") == 0


@pytest.mark.parametrize("wrong", ["audit.jsonl", "audit.jsonl.reads"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_where_it_cannot_be_opened_it_goes_on_in_the_files_that_were_open_and_that_is_said(own, wrong, make):
    broker, pid = own
    trail, reads = broker.logs / "audit.jsonl", broker.logs / "audit.jsonl.reads"
    wait_until(reads.exists, 10, "no trail")  # its socket accepts before
    trail.rename(broker.logs / "moved")
    reads.rename(broker.logs / "moved-reads")
    make(broker.logs / wrong)
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: said(broker, "the trail goes on in the files that were open") == 1, 10, broker.log_file.read_text())
    with sandbox.Worker(broker, "worker") as worker:
        worker.do("result = 1")
    assert '"session-open"' in (broker.logs / "moved").read_text()
    (broker.logs / wrong).rmdir() if make is os.mkdir else (broker.logs / wrong).unlink()


def test_a_fifo_where_its_trail_should_be_is_refused_and_not_waited_for(dockerd):
    broker = Broker(dockerd.socket, start=False)
    try:
        broker.logs.mkdir()
        os.mkfifo(broker.logs / "audit.jsonl")
        os.chown(broker.logs / "audit.jsonl", KEEPER_USER, -1)
        done = subprocess.run([broker.program("sallyport-broker"), *broker.options], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "open the audit trail" in done.stderr, done
    finally:
        broker.remove()
