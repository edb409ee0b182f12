"""The launcher's supervising is held up by no descriptor that it shares with its caller: time limit and signals are kept whatever
becomes of stdin, stderr, the terminal and the status descriptor."""
import contextlib
import os
import pty
import signal
import socket
import subprocess
import threading
import time

import pytest
from support import launcher
from support.full_pipe import full_pipe


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        made.profile("timed", limits={"time": "1s"})
        made.profile("whole")
        made.profile("wishes", limits={"time": "1s", "memory": "1GiB"})
        yield made


def test_launchers_that_share_a_stdin_take_nothing_from_each_others_time(own):
    """What poll says is there another may have taken by the time of the read."""
    read_end, write_end = os.pipe()
    launchers = [subprocess.Popen(launcher.command(own, "timed", "/bin/sleep", "60"), stdin=read_end, stderr=subprocess.DEVNULL)
                 for _ in range(16)]
    os.close(read_end)
    try:
        begun = time.monotonic()
        while time.monotonic() < begun + 10 and any(one.poll() is None for one in launchers):
            if time.monotonic() < begun + 0.8:  # then no more comes that would let go of who waits
                os.write(write_end, b"x")
            time.sleep(0.002)
        assert [one.poll() for one in launchers] == [124] * 16
    finally:
        os.close(write_end)
        for one in launchers:
            one.kill()
            one.wait()


def at_a_terminal(argv, in_background: bool) -> tuple:
    """(pid, the terminal's other side); the child is a shell-like leader of a session with that terminal."""
    leader, terminal = pty.fork()
    if leader == 0:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it moves the foreground about
        pid = os.posix_spawn(argv[0], argv, os.environ, setpgroup=0, setsigdef=[signal.SIGTTOU])
        if not in_background:
            os.tcsetpgrp(0, pid)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.kill(pid, signal.SIGKILL)
            os._exit(99)
        os._exit(os.waitstatus_to_exitcode(status))
    return leader, terminal


def ended(leader, terminal, seconds) -> int:
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            pid, status = os.waitpid(leader, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(leader, signal.SIGKILL)
        os.waitpid(leader, 0)
        return -1
    finally:
        os.close(terminal)


def after_typing(keys: bytes, own, *command, in_background=False) -> int:
    leader, terminal = at_a_terminal(launcher.command(own, "timed", *command), in_background)
    time.sleep(0.3)
    os.write(terminal, keys)
    return ended(leader, terminal, 10)


def test_a_launcher_in_the_background_of_a_terminal_is_not_stopped_by_what_a_person_types(own):
    assert after_typing(b"the next command\n", own, "/bin/sleep", "60", in_background=True) == 124, "99: it was stopped"


def test_what_a_person_types_reaches_a_worker_in_the_foreground(own):
    assert after_typing(b"hello\n", own, "/bin/sh", "-c", "read line; test \"$line\" = hello && exit 42") == 42


def test_the_terminals_stop_key_does_not_stop_the_clock(own):
    assert after_typing(b"\x1a", own, "/bin/sleep", "60") == 124, "99: it was stopped"


def test_a_named_pipe_as_stdin_ends_with_its_last_writer(own):
    """Opened anew behind its last writer it would never tell."""
    path = own.directory / "fifo"
    os.mkfifo(path)
    writer = subprocess.Popen(["/bin/sh", "-c", f"echo data >{path}"])
    with open(path, "rb") as stdin:
        writer.wait()
        done = subprocess.run(launcher.command(own, "timed", "/bin/cat"), stdin=stdin, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "data\n"), done


def test_output_for_a_slow_reader_is_whole_in_the_background_of_a_terminal_too(own):
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    command = launcher.command(own, "whole", "/usr/bin/head", "-c", "120000", "/dev/zero")  # more than a pipe, and no more than its worker can leave behind
    leader, terminal = at_a_terminal(["/bin/bash", "-c", f'exec "$@" >&{write_end}', "bash", *command], in_background=True)
    os.close(write_end)
    time.sleep(2)
    got = 0
    while data := os.read(read_end, 1 << 16):
        got += len(data)
    os.close(read_end)
    assert (got, ended(leader, terminal, 10)) == (120_000, 0)


def write_for_ever(server):
    with contextlib.suppress(OSError):
        one, _ = server.accept()
        _, [end], _, _ = socket.recv_fds(one, 1, 1)
        while True:
            os.write(end, b"x" * 65536)


@pytest.mark.parametrize("holder", ["silent", "writes for ever"])
def test_an_end_of_its_output_that_another_holds_does_not_keep_the_launcher(own, holder):
    """By a socket of the host in a directory that it sees a worker can give its stdout away."""
    place = own.directory / f"given-{holder[:6]}"
    place.mkdir()
    place.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "socket"))
        os.chmod(place / "socket", 0o777)
        server.listen(1)
        if holder != "silent":
            threading.Thread(target=write_for_ever, args=[server], daemon=True).start()
        own.profile("gives", sandbox={"readable": [str(place)]}, limits={"output": "64KiB"})
        own.directory.chmod(0o755)
        done = subprocess.run(launcher.command(own, "gives", "/usr/bin/python3", "-c", f"""
import socket
one = socket.socket(socket.AF_UNIX)
one.connect({str(place / "socket")!r})
socket.send_fds(one, [b"x"], [1])
print("said")
"""), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    said = done.stdout if holder == "silent" else done.stdout.replace("x", "") or "said\n"  # the others may be first
    assert (done.returncode, said) == (0, "said\n"), done


def test_a_stderr_that_nobody_reads_puts_off_neither_start_nor_end(own):
    """There is a warning to write before the worker is watched."""
    with full_pipe() as write_end:
        process = subprocess.Popen(launcher.command(own, "wishes", "/bin/sleep", "60"), stdin=subprocess.DEVNULL, stderr=write_end)
        os.close(write_end)
        try:
            assert process.wait(20) == 124
        finally:
            process.kill()


def test_a_status_descriptor_that_nobody_reads_does_not_hold_up_the_end(own):
    with full_pipe() as write_end:
        process = subprocess.Popen(launcher.command(own, "timed", "/bin/true", options=["--status-fd", str(write_end)]),
                                   stdin=subprocess.DEVNULL, pass_fds=[write_end])
        os.close(write_end)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
