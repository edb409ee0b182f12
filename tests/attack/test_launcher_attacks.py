"""Attacks of a worker on the launcher's side of its cage. Each is carried out twice: where the defence is off it must
succeed, or the test proves nothing; in the sandbox it must fail."""
import ctypes
import fcntl
import os
import pty
import shutil
import socket
import subprocess

import pytest
from support import launcher, places, sandbox
from support.processes import wait_until

NOBODY = {"user": 64999, "group": 64999, "extra_groups": []}


@pytest.fixture(scope="module")
def own():
    """A host whose profile's root holds the attacks, once as they are and once setuid root."""
    with launcher.host() as made:
        root = made.directory / "root"
        (root / "bin").mkdir(parents=True)
        launcher.static_program(root / "bin", "attacks", (places.ROOT / "tests/attack/attacks.c").read_text())
        shutil.copy(root / "bin/attacks", root / "bin/setuid")
        os.chmod(root / "bin/setuid", 0o4755)
        made.profile("rooted", sandbox={"root": str(root)})
        made.profile("looped", sandbox={"root": str(root), "loopback": True})
        made.attacks = str(root / "bin/attacks")
        made.setuid = str(root / "bin/setuid")
        yield made


def off(own, *arguments, **how) -> str:
    """As some user of the host, with nothing around it."""
    done = subprocess.run([own.attacks, *arguments], capture_output=True, text=True, timeout=30, **{**NOBODY, **how})
    assert done.stderr == "", done
    return done.stdout.strip()


def on(own, *arguments, profile="rooted", **how) -> str:
    done = subprocess.run(launcher.command(own, profile, "/bin/attacks", *arguments), capture_output=True, text=True, timeout=30, **how)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.strip()


def must_be_real(answer, expected="yes"):
    assert answer == expected, f"the attack must succeed where the defence is off, or this test proves nothing: {answer}"


@pytest.mark.parametrize("attack, answer", [("user-namespace", "EPERM"), ("user-namespace-by-clone", "EPERM"), ("trace", "EPERM"),
                                            ("read-process", "EPERM"), ("add-key", "EPERM")])
def test_calls_that_any_user_has_are_not_the_workers(own, attack, answer):
    must_be_real(off(own, attack))
    assert on(own, attack) == answer


def test_io_uring_is_not_there(own):
    without = off(own, "io_uring")
    assert on(own, "io_uring") == "ENOSYS"
    if without != "yes":
        pytest.skip(f"this host has io_uring off for everybody ({without}): that it is open without the filter was not shown")


def test_user_namespaces_are_off_even_without_the_filter(own):
    """Entered from outside, past the filter: the limit of the namespace itself still holds."""
    own.profile("plain")
    must_be_real(off(own, "user-namespace"))
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"]) as running:
        entered = subprocess.run(["nsenter", f"--user=/proc/{running.worker_pid}/ns/user", "--preserve-credentials", own.attacks, "user-namespace"],
                                 capture_output=True, text=True)
        assert entered.stdout.strip() == "ENOSPC", entered


def test_a_setuid_program_gains_nothing(own):
    done = subprocess.run([own.setuid, "gained-user"], capture_output=True, text=True, **NOBODY)
    must_be_real(done.stdout.strip())
    done = subprocess.run(launcher.command(own, "rooted", "/bin/setuid", "gained-user"), capture_output=True, text=True)
    assert done.stdout == "no\n", done


def test_a_program_with_file_capabilities_gains_nothing(own):
    granted = own.attacks.replace("attacks", "granted")
    shutil.copy(own.attacks, granted)
    subprocess.run(["setcap", "cap_kill=ep", granted], check=True)
    must_be_real(subprocess.run([granted, "signal", "1"], capture_output=True, text=True, **NOBODY).stdout.strip())
    assert subprocess.run([own.attacks, "signal", "1"], capture_output=True, text=True, **NOBODY).stdout.strip() == "EPERM"
    done = subprocess.run(launcher.command(own, "rooted", "/bin/granted", "signal", "1"), capture_output=True, text=True)
    assert done.stdout.strip() == "EPERM", done


def test_init_cannot_be_signalled(own):
    """Every signal but those that init asks for is lost on PID 1 anyway; here not even the question is allowed."""
    same_user = subprocess.run(["unshare", "--user", "--map-current-user", "--pid", "--fork", "/bin/sh", "-c", f"{own.attacks} signal 1; exit 0"],
                               capture_output=True, text=True, **NOBODY)
    must_be_real(same_user.stdout.strip())
    assert on(own, "signal", "1") == "EPERM"


# --- what the caller of the launcher has ---
def test_descriptors_of_the_caller_do_not_come_in(own):
    files = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(20)] + [os.open("/etc/shadow", os.O_RDONLY)]
    high = fcntl.fcntl(files[0], fcntl.F_DUPFD, 1000)
    try:
        must_be_real(off(own, "descriptors", pass_fds=[*files, high]), str(3 + len(files) + 1))
        assert on(own, "descriptors", pass_fds=[*files, high]) == "3"
    finally:
        for file in [*files, high]:
            os.close(file)


def test_nobody_walks_out_by_a_directory_or_by_the_working_directory(own):
    marker = own.directory / "outside"
    marker.write_text("x")
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        must_be_real(off(own, "walk-out", str(marker), cwd=own.directory))
        assert on(own, "walk-out", str(marker), pass_fds=[directory], cwd=own.directory) == "ENOENT"
    finally:
        os.close(directory)


def test_a_terminal_of_the_caller_cannot_be_typed_into(own):
    def answer(command) -> str:
        child, terminal = pty.fork()
        if child == 0:
            os.execv(command[0], command)
        output = b""
        try:
            while data := os.read(terminal, 4096):
                output += data
        except OSError:
            pass
        os.waitpid(child, 0)
        return output.decode().replace("id\r\n", "").strip()
    must_be_real(answer([own.attacks, "terminal-input"]))
    assert answer(launcher.command(own, "rooted", "/bin/attacks", "terminal-input")) == "EPERM"


def test_flags_set_on_stdio_do_not_reach_the_caller(own):
    def flags_after(command) -> int:
        read_end, write_end = os.pipe()
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=write_end, stderr=subprocess.DEVNULL, check=True)
            return fcntl.fcntl(write_end, fcntl.F_GETFL) & os.O_NONBLOCK
        finally:
            os.close(read_end)
            os.close(write_end)
    must_be_real(flags_after([own.attacks, "non-blocking"]), os.O_NONBLOCK)
    assert flags_after(launcher.command(own, "rooted", "/bin/attacks", "non-blocking")) == 0


def test_keys_of_the_caller_are_not_found(own):
    """One process joins a keyring, puts a key into it, and starts both."""
    libc = ctypes.CDLL(None, use_errno=True)

    def with_key():
        libc.syscall(250, 1, None)  # keyctl(KEYCTL_JOIN_SESSION_KEYRING)
        key = libc.syscall(248, b"user", b"callers", b"x", 1, -3)  # add_key to KEY_SPEC_SESSION_KEYRING
        libc.syscall(250, 5, key, 0x3F3F3F3F)  # keyctl(KEYCTL_SETPERM): readable by everybody
    done = subprocess.run([own.attacks, "find-key"], capture_output=True, text=True, preexec_fn=with_key)
    must_be_real(done.stdout.strip())
    assert on(own, "find-key", preexec_fn=with_key) == "EPERM", "refused by the filter"


# --- what the host has ---
def test_abstract_sockets_and_the_loopback_of_the_host_are_out_of_reach(own):
    name = f"sallyport-attack-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket() as tcp:
        abstract.bind(b"\0" + name.encode())
        abstract.listen(8)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(8)
        port = str(tcp.getsockname()[1])
        must_be_real(off(own, "abstract", name))
        must_be_real(off(own, "loopback", port))
        assert on(own, "abstract", name) == "ECONNREFUSED"
        assert on(own, "loopback", port) == "EAFNOSUPPORT"
        assert on(own, "loopback", port, profile="looped") == "ECONNREFUSED", "it has one of its own"


def test_shared_memory_of_the_host_is_out_of_reach(own):
    libc = ctypes.CDLL(None, use_errno=True)
    identity = libc.shmget(0, 4096, 0o1000 | 0o666)
    assert identity >= 0
    try:
        must_be_real(off(own, "shared-memory", str(identity)))
        assert on(own, "shared-memory", str(identity)) in ("EINVAL", "ENOSYS")
    finally:
        libc.shmctl(identity, 0, None)


def test_the_launchers_program_cannot_be_overwritten(own):
    """By /proc/self/exe of a process on its way to the exec, or of init (CVE-2019-5736)."""
    assert on(own, "overwrite", "/proc/1/exe") in ("ENOENT", "EACCES")
    assert on(own, "overwrite", "/proc/self/exe") in ("EROFS", "ETXTBSY", "EACCES")
    copy = own.directory / "copy"
    shutil.copy(own.attacks, copy)
    os.chmod(copy, 0o777)
    must_be_real(off(own, "overwrite", str(copy)))


def test_worker_and_init_are_hidden_from_each_other_and_from_their_users_elsewhere(own):
    own.profile("plain")
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"]) as running:
        wait_until(lambda: running.worker_pid, 5, "no worker")
        base = running.uid_base
        for part, secret in ((base, f"/proc/{running.init_pid}/mem"), (base + 1, f"/proc/{running.init_pid}/environ")):
            done = subprocess.run(["/usr/bin/head", "-c", "1", secret], capture_output=True, user=part, group=part, extra_groups=[])
            assert done.returncode != 0 and b"Permission denied" in done.stderr, done
