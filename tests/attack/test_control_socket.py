"""Anybody on the host may connect to the control socket: what a stranger can make the keeper do is answer."""
import os
import socket
import time

from support import sandbox
from support.fork_as import forked
from support.hello import Control

STRANGER = 64993


def test_strangers_who_say_nothing_keep_nobody_out(broker):
    broker.profile("plain-docker", docker={})
    path = broker.control_socket

    def knock():
        held = []
        for _ in range(400):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                client.connect(path)
            except OSError:
                continue
            held.append(client)
        time.sleep(3)
        return len(held)
    child = os.fork()
    if child == 0:
        os._exit(0 if forked(knock, uid=STRANGER).get("value", 0) > 128 else 1)
    time.sleep(0.5)
    try:
        assert sandbox.run(broker, "plain-docker", ["/bin/true"]).code == 0
    finally:
        assert os.waitpid(child, 0)[1] == 0


def test_whoever_has_too_many_connections_that_say_nothing_is_told_so(broker):
    def knock():
        held = [Control(broker.control_socket) for _ in range(17)]
        answer = held[16].receive()
        held[0].socket.settimeout(10)
        return [answer, held[0].receive()]
    seen = forked(knock, uid=STRANGER)
    assert seen["value"][0] == ["Refused", f"uid {STRANGER} has 16 connections open that have not said what they want"], seen
    assert seen["value"][1] == ["Refused", "no hello came within 5 s"], seen


def test_a_strangers_descriptors_are_never_the_keepers(broker):
    """Closing one may hang for as long as its owner likes, where it lies on a filesystem that he runs."""
    path, keeper = broker.control_socket, f"/proc/{broker.keeper_pid}/fd"

    def speak():
        reader, writer = os.pipe()
        control = Control(path)
        control.send(b"\0" * 64, [writer] * 10)
        return [*control.receive(), reader]
    seen = forked(speak, uid=STRANGER)
    assert seen["value"][0] == "Refused" and "[[open]]" in seen["value"][1], seen
    assert broker.alive() and len(os.listdir(keeper)) < 60
