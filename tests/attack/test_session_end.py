"""When `sallyport run` has returned, nothing of its worker is left: whatever the worker did to outlive it."""
import os
import time

import pytest
from support import leaks, raw_http, sandbox

PARK = """
import array, socket
keep = []
for i in range(300):  # the ends of its pipes wait in sockets that the gate holds
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        client.connect('/run/sallyport/docker.sock')
        client.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2] * 50))])
    except OSError: break
    keep.append(client)
"""
LINGER = """
import os, signal, threading, time
for i in range(10):
    if os.fork() == 0:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
        for _ in range(5): threading.Thread(target=time.sleep, args=(1000,)).start()
        os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(0.3)
"""


@pytest.mark.parametrize("code", ["pass", PARK, LINGER], ids=["plain", "descriptors-in-flight", "stopped-daemons"])
@pytest.mark.parametrize("door", [True, False], ids=["session", "no-session"])
def test_nothing_outlives_the_run(broker, dockerd, code, door):
    broker.profile("ends", **({"docker": {}} if door else {}))
    before = set(leaks._processes(broker.uid_first, broker.uid_last))
    done = sandbox.run_python(broker, "ends", code, seconds=20)
    assert done.code in (0, 1), done
    assert not set(leaks._processes(broker.uid_first, broker.uid_last)) - before, "of the worker, at the moment the launcher ended"


def test_an_attach_without_stream_cannot_make_dockerd_hang_with_the_container(broker, dockerd):
    """dockerd would give it a pipe that nobody reads: then kill, stop and remove wait for good, and so would the session's end."""
    broker.profile("attaching", docker={})
    with sandbox.Worker(broker, "attaching") as worker, raw_http.Connection(worker.docker_socket) as api:
        assert api.request("POST", "/v1.41/containers/create?name=loud", {"Image": "busybox", "Cmd": ["yes", "x" * 1000]}).status == 201
        assert api.request("POST", "/v1.41/containers/loud/start").status == 204
        with raw_http.Connection(worker.docker_socket, timeout=5) as attached:
            attached.send_request("POST", "/v1.41/containers/loud/attach?stream=0&logs=0&stdout=1&stderr=1",
                                  headers={"Connection": "Upgrade", "Upgrade": "tcp"})
            assert attached.socket.recv(200).startswith(b"HTTP/1.1 101 ")
        time.sleep(2)  # more than a pipe holds
    leaks.wait_until_clean(broker, dockerd)


def attach_and_leave(worker, name) -> bytes:
    """The first line of the answer."""
    with raw_http.Connection(worker.docker_socket, timeout=5) as attached:
        attached.send_request("POST", f"/v1.41/containers/{name}/attach?stream=1&stdout=1&stderr=1",
                              headers={"Connection": "Upgrade", "Upgrade": "tcp"})
        return attached.socket.recv(200).partition(b"\r\n")[0]


def test_attaches_to_a_container_that_is_never_started_leave_nothing_in_dockerd(broker, dockerd):
    """dockerd would hold each for ever, after the removal of the container too: a connection and five goroutines."""
    broker.profile("leaving", docker={})
    descriptors = f"/proc/{dockerd.daemon.pid}/fd"
    with sandbox.Worker(broker, "leaving") as worker, raw_http.Connection(worker.docker_socket) as api:
        assert api.request("POST", "/v1.41/containers/create?name=idle", {"Image": "busybox", "Cmd": ["true"]}).status == 201
        before = len(os.listdir(descriptors))
        for _ in range(60):
            assert attach_and_leave(worker, "idle").startswith(b"HTTP/1.1 101 ")
        assert api.request("DELETE", "/v1.41/containers/idle?force=1").status == 204
    leaks.wait_until_clean(broker, dockerd)
    assert len(os.listdir(descriptors)) < before + 30  # pooled connections, and what removes takes meanwhile


def test_attaches_to_a_container_that_prints_nothing_are_bounded_while_it_runs(broker, dockerd):
    """dockerd holds each until the container prints or ends."""
    broker.profile("leaving", docker={})
    descriptors = f"/proc/{dockerd.daemon.pid}/fd"
    with sandbox.Worker(broker, "leaving") as worker, raw_http.Connection(worker.docker_socket) as api:
        assert api.request("POST", "/v1.41/containers/create?name=quiet", {"Image": "busybox", "Cmd": ["sleep", "600"]}).status == 201
        assert api.request("POST", "/v1.41/containers/quiet/start").status == 204
        before = len(os.listdir(descriptors))
        answers = [attach_and_leave(worker, "quiet") for _ in range(80)]
        assert answers.count(b"HTTP/1.1 101 UPGRADED") == 32 and all(b" 429 " in answer for answer in answers[32:]), answers
        assert len(os.listdir(descriptors)) < before + 32 + 20
    leaks.wait_until_clean(broker, dockerd)


def test_a_session_with_the_smallest_share_of_the_cpu_ends_as_quickly_as_any(broker, dockerd):
    """Processes give their memory back while they die: at a hundredth of a CPU that took 20 s, and neighbours waited."""
    broker.profile("slow", docker={}, container={"memory": "512MiB"}, budget={"containers": 8})
    hoarder = "i=0; while [ $i -lt 10 ]; do (dd if=/dev/zero of=/dev/null bs=45M count=1000000) & i=$((i+1)); done; wait"
    with sandbox.Worker(broker, "slow") as worker, raw_http.Connection(worker.docker_socket, timeout=60) as api:
        for number in range(4):
            body = {"Image": "busybox", "Cmd": ["sh", "-c", hoarder], "HostConfig": {"NanoCpus": 10_000_000}}
            assert api.request("POST", f"/v1.41/containers/create?name=slow{number}", body).status == 201
            assert api.request("POST", f"/v1.41/containers/slow{number}/start").status == 204
        time.sleep(10)  # while they take their memory
    leaks.wait_until_clean(broker, dockerd)
