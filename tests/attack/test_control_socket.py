"""Anybody on the host may connect to the control socket: what a stranger can make the keeper do is answer."""
import os
import select
import socket

from support import sandbox
from support.fork_as import forked
from support.hello import Control

STRANGER = 64993


def test_strangers_who_say_nothing_keep_nobody_out(broker):
    """Of 400 connections of one uid the keeper holds 16, and each that it holds costs a descriptor."""
    broker.profile("plain-docker", docker={})
    path, keeper = broker.control_socket, f"/proc/{broker.keeper_pid}/fd"
    before = len(os.listdir(keeper))
    connected, hold = os.pipe(), os.pipe()

    def knock():
        held = []
        for _ in range(400):
            held.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            held[-1].connect(path)  # waits while the backlog is full
        os.write(connected[1], b"x")
        os.read(hold[0], 1)
        answered = [client for client in held if select.select([client], [], [], 0)[0]]
        return sum(b"connections open" in client.recv(4096) for client in answered)
    child = os.fork()
    if child == 0:
        os._exit(0 if forked(knock, uid=STRANGER).get("value", 0) > 300 else 1)
    try:
        assert select.select([connected[0]], [], [], 30)[0], "the strangers cannot even be refused"
        assert len(os.listdir(keeper)) <= before + 16 + 8, "what strangers make the keeper hold"
        assert sandbox.run(broker, "plain-docker", ["/bin/true"]).code == 0
    finally:
        os.write(hold[1], b"x")
        assert os.waitpid(child, 0)[1] == 0, "those beyond 16 are refused with words"
        for end in (*connected, *hold):
            os.close(end)


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
    assert seen["value"][0] == "Refused" and "may not open any session: run as root" in seen["value"][1], seen
    assert broker.alive() and len(os.listdir(keeper)) < 60
