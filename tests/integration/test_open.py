"""Who may open a session: decided by the kernel's word about the peer, not by what the peer says."""
import os

import pytest
from support import leaks, sandbox
from support.broker import Broker
from support.fork_as import forked
from support.hello import VERSION, Control, PlayedLauncher, kill_session, open_session
from support.processes import wait_until

ALLOWED_UID, OTHER_UID = 64991, 64992
ALLOWED_GID = 64993


@pytest.fixture
def broker_with_open(dockerd):
    broker = Broker(dockerd.socket, config_extra=f'[[open]]\nprofile = "shared"\nusers = [{ALLOWED_UID}]\n'
                    f'[[open]]\nprofile = "grouped"\ngroups = [0, {ALLOWED_GID}]\n')
    for name in ("shared", "private", "grouped"):
        broker.profile(name, docker={})
    play = broker.directory / "play"
    play.mkdir()
    play.chmod(0o777)
    yield broker
    broker.remove()


def open_as(broker, uid, profile, change=None, gids=()):
    """As `uid`, without root: the whole hello of a launcher, then a ping on the session's stream where it was opened."""
    text = (broker.profiles / f"{profile}.toml").read_bytes()

    def speak():
        launcher = PlayedLauncher(broker.directory / "play")
        try:
            control = Control(broker.control_socket)
            control.send((change or open_session)(profile, text), launcher.fds())
            answer = control.receive()
            if answer[0] == "Opened":
                launcher.stream_inside.settimeout(10)
                launcher.stream_inside.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                return [*answer, launcher.stream_inside.recv(1000).decode()]
            return list(answer)
        finally:
            launcher.end()
    answer = forked(speak, uid=uid, gids=gids)
    assert "value" in answer, answer["trace"]
    return answer["value"]


def test_another_user_is_refused_and_told_what_to_write(broker_with_open):
    name, reason = open_as(broker_with_open, OTHER_UID, "shared")[:2]
    assert name == "Refused" and "[[open]]" in reason, (name, reason)


@pytest.mark.parametrize("gids,answer", [([ALLOWED_GID], "Opened"), ([64000], "Refused"),
                                         ([*range(63000, 63299), ALLOWED_GID], "Refused"), (range(63000, 63300), "Refused")])
def test_a_group_that_open_names_is_looked_for_among_256_and_whoever_is_in_more_is_in_none(broker_with_open, gids, answer):
    assert open_as(broker_with_open, OTHER_UID, "grouped", gids=gids)[0] == answer


def test_the_user_that_open_names_gets_a_session_for_that_profile_only(broker_with_open, dockerd):
    opened = open_as(broker_with_open, ALLOWED_UID, "shared")
    assert opened[0] == "Opened" and opened[2].startswith("HTTP/1.1 200"), opened
    assert open_as(broker_with_open, ALLOWED_UID, "private")[0] == "Refused"
    [record] = broker_with_open.audit(event="session-open", decision="DENY")
    assert (record["rule"], record["profile"]) == ("session.refused", "private"), record
    assert record["reason"].startswith(f"uid {ALLOWED_UID}: uid {ALLOWED_UID} may not open"), record
    leaks.wait_until_clean(broker_with_open, dockerd)


def test_root_is_allowed_by_default(broker_with_open):
    assert sandbox.run(broker_with_open, "private", ["/bin/true"]).code == 0


def test_a_profile_that_was_read_differently_is_refused(broker_with_open):
    def other_bytes(profile, text):
        return open_session(profile, text + b"\n")
    name, reason = open_as(broker_with_open, ALLOWED_UID, "shared", other_bytes)[:2]
    assert name == "Refused" and "profile" in reason, reason


@pytest.mark.parametrize("version", [0, VERSION - 1, VERSION + 1, 99])
def test_another_version_of_the_handshake_is_refused_in_words(broker_with_open, version):
    def other_version(profile, text):
        return open_session(profile, text, version=version)
    answer = open_as(broker_with_open, ALLOWED_UID, "shared", other_version)
    assert answer[:2] == ["Refused", "the launcher speaks another version of the handshake"], answer
    control = Control(broker_with_open.control_socket)
    control.send(kill_session("0123456789ab", version=version))
    assert control.receive() == ("Refused", "the command speaks another version of the handshake")


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_hello_with_missing_descriptors_is_refused_and_leaks_none(broker_with_open, count):
    text = (broker_with_open.profiles / "shared.toml").read_bytes()
    keeper = f"/proc/{broker_with_open.keeper_pid}/fd"
    before = 0
    for round_number in range(6):
        control = Control(broker_with_open.control_socket)
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        control.send(open_session("shared", text), fds)
        assert control.receive()[0] in ("Refused", "Closed")
        control.close()
        for fd in fds:
            os.close(fd)
        if round_number == 0:  # the first answer says that the keeper has opened all of its own
            before = len(os.listdir(keeper))
    assert broker_with_open.alive()
    wait_until(lambda: len(os.listdir(keeper)) <= before, 5, "the keeper keeps descriptors of refused hellos: "
               f"{before} before, now {os.listdir(keeper)}")


def test_descriptors_of_the_wrong_kind_are_refused(broker_with_open):
    """A file where a listener should be, a TCP listener, a socket that does not listen."""
    import socket
    text = (broker_with_open.profiles / "shared.toml").read_bytes()
    launcher = PlayedLauncher(broker_with_open.directory / "play")
    tcp = socket.create_server(("127.0.0.1", 0))
    idle = socket.socket(socket.AF_UNIX)
    wrong = os.open("/dev/null", os.O_RDONLY)
    try:
        for fd in (wrong, tcp.fileno(), idle.fileno()):
            control = Control(broker_with_open.control_socket)
            control.send(open_session("shared", text), [*launcher.pidfds, fd, launcher.stream.fileno()])
            assert control.receive()[0] in ("Refused", "Closed")
            control.close()
        for fd in (wrong, tcp.fileno()):
            control = Control(broker_with_open.control_socket)
            control.send(open_session("shared", text), [fd, launcher.pidfds[1], launcher.listener.fileno(), launcher.stream.fileno()])
            assert control.receive()[0] in ("Refused", "Closed")
            control.close()
    finally:
        launcher.end()
        tcp.close()
        idle.close()
        os.close(wrong)
    assert broker_with_open.alive()


def test_random_bytes_on_the_control_socket_end_that_connection_only(broker_with_open):
    import random
    generator = random.Random(7)
    for size in [0, 1, 2, 5, 50, 500, 5000, 50000]:
        for _ in range(4):
            control = Control(broker_with_open.control_socket)
            try:
                control.send(bytes(generator.randrange(256) for _ in range(size)) or b"\0")
                assert control.receive()[0] in ("Refused", "Closed")
            except (BrokenPipeError, OSError):
                pass
            control.close()
    assert sandbox.run(broker_with_open, "private", ["/bin/true"]).code == 0


def test_only_root_may_kill_a_session(broker_with_open):
    with sandbox.Worker(broker_with_open, "private") as worker:
        session = broker_with_open.sessions()[-1]

        def speak():
            control = Control(broker_with_open.control_socket)
            control.send(kill_session(session))
            return list(control.receive())
        answer = forked(speak, uid=ALLOWED_UID)["value"]
        assert answer[0] in ("Refused", "Closed"), answer
        assert worker.do("result = 1 + 1") == 2
        assert broker_with_open.kill_session(session).returncode == 0
        assert worker.wait(10) != 0
    assert broker_with_open.kill_session("0123456789ab").returncode != 0
