"""Who may open a session: decided by the kernel's word about the peer, not by what the peer says."""
import os
import subprocess

import pytest
from support import launcher, sandbox
from support.broker import Broker
from support.fork_as import forked
from support.hello import VERSION, Control, PlayedLauncher, kill_session, open_session
from support.processes import wait_until

OTHER_UID = 64992


@pytest.fixture
def own(dockerd):
    broker = Broker(dockerd.socket)
    broker.profile("worker", docker={})
    play = broker.directory / "play"
    play.mkdir()
    play.chmod(0o777)
    yield broker
    broker.remove()


def ask(broker, message, uid=0):
    """As `uid`: the whole hello of a launcher."""
    def speak():
        launcher = PlayedLauncher(broker.directory / "play")
        try:
            control = Control(broker.control_socket)
            control.send(message, launcher.fds())
            return list(control.receive())
        finally:
            launcher.end()
    answer = forked(speak, uid=uid)
    assert "value" in answer, answer["trace"]
    return answer["value"]


def text_of(broker):
    return (broker.profiles / "worker.toml").read_bytes()


def test_another_user_is_refused(own):
    name, reason = ask(own, open_session("worker", text_of(own)), uid=OTHER_UID)
    assert (name, reason) == ("Refused", f"uid {OTHER_UID} may not open any session: run as root")


def test_naming_others_is_refused_as_long_as_it_is_of_no_use(own):
    """It would say that they may, and only root could."""
    own.write_config(f'[[open]]\nprofile = "worker"\nusers = [{OTHER_UID}]\n')
    broker = [own.program("sallyport-broker"), *own.options]
    for command in (broker, launcher.command(own, "worker", "/bin/true")):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 78 and f"{own.config}: section [[open]] is of no use yet" in done.stderr, done


def test_root_is_allowed_by_default(own):
    assert sandbox.run(own, "worker", ["/bin/true"]).code == 0


def test_a_profile_that_was_read_differently_is_refused(own):
    name, reason = ask(own, open_session("worker", text_of(own) + b"\n"))
    assert name == "Refused" and "profile" in reason, reason


@pytest.mark.parametrize("version", [0, VERSION - 1, VERSION + 1, 99])
def test_another_version_of_the_handshake_is_refused_in_words(own, version):
    answer = ask(own, open_session("worker", text_of(own), version=version))
    assert answer == ["Refused", "the launcher speaks another version of the handshake"], answer
    control = Control(own.control_socket)
    control.send(kill_session("0123456789ab", version=version))
    assert control.receive() == ("Refused", "the command speaks another version of the handshake")


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_hello_with_missing_descriptors_is_refused_and_leaks_none(own, count):
    text = text_of(own)
    keeper = f"/proc/{own.keeper_pid}/fd"
    before = 0
    for round_number in range(6):
        control = Control(own.control_socket)
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        control.send(open_session("worker", text), fds)
        assert control.receive()[0] in ("Refused", "Closed")
        control.close()
        for fd in fds:
            os.close(fd)
        if round_number == 0:  # the first answer says that the keeper has opened all of its own
            before = len(os.listdir(keeper))
    assert own.alive()
    wait_until(lambda: len(os.listdir(keeper)) <= before, 5, "the keeper keeps descriptors of refused hellos: "
               f"{before} before, now {os.listdir(keeper)}")


def test_descriptors_of_the_wrong_kind_are_refused(own):
    """A file where a listener should be, a TCP listener, a socket that does not listen."""
    import socket
    text = text_of(own)
    played = PlayedLauncher(own.directory / "play")
    tcp = socket.create_server(("127.0.0.1", 0))
    idle = socket.socket(socket.AF_UNIX)
    wrong = os.open("/dev/null", os.O_RDONLY)
    try:
        for fd in (wrong, tcp.fileno(), idle.fileno()):
            control = Control(own.control_socket)
            control.send(open_session("worker", text), [*played.pidfds, fd, played.stream.fileno()])
            assert control.receive()[0] in ("Refused", "Closed")
            control.close()
        for fd in (wrong, tcp.fileno()):
            control = Control(own.control_socket)
            control.send(open_session("worker", text), [fd, played.pidfds[1], played.listener.fileno(), played.stream.fileno()])
            assert control.receive()[0] in ("Refused", "Closed")
            control.close()
    finally:
        played.end()
        tcp.close()
        idle.close()
        os.close(wrong)
    assert own.alive()


def test_random_bytes_on_the_control_socket_end_that_connection_only(own):
    import random
    generator = random.Random(7)
    for size in [0, 1, 2, 5, 50, 500, 5000, 50000]:
        for _ in range(4):
            control = Control(own.control_socket)
            try:
                control.send(bytes(generator.randrange(256) for _ in range(size)) or b"\0")
                assert control.receive()[0] in ("Refused", "Closed")
            except (BrokenPipeError, OSError):
                pass
            control.close()
    assert sandbox.run(own, "worker", ["/bin/true"]).code == 0


def test_only_root_may_kill_a_session(own):
    with sandbox.Worker(own, "worker") as worker:
        session = own.sessions()[-1]

        def speak():
            control = Control(own.control_socket)
            control.send(kill_session(session))
            return list(control.receive())
        answer = forked(speak, uid=OTHER_UID)["value"]
        assert answer[0] in ("Refused", "Closed"), answer
        assert worker.do("result = 1 + 1") == 2
        assert own.kill_session(session).returncode == 0
        assert worker.wait(10) != 0
    assert own.kill_session("0123456789ab").returncode != 0
