"""`sallyport run` as a caller sees it: exit codes, signals, stdio, limits, the status line, and one clear error for each mistake."""
import ctypes
import errno
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from support import launcher, places, sandbox
from support.processes import descendants_of, wait_until


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        made.profile("plain")
        yield made


def run(own, *program, **options):
    return sandbox.run(own, "plain", program, **options)


# --- how it ended ---
def test_the_exit_code_is_the_workers(own):
    for code in (0, 1, 42, 125, 255):
        done = run(own, "/bin/sh", "-c", f"exit {code}")
        assert done.code == code and done.status == [{
            "profile": "plain", "instance": None, "session": None, "ended": "exited", "code": code, "signal": None, "time_up": False,
            "dropped_output_bytes": 0, "not_enforced": [], "exit_code": code, "reason": ""}], done


def test_a_signal_is_128_and_its_number(own):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        done = run(own, "/bin/sh", "-c", f"kill -{int(number)} $$")
        assert done.code == 128 + number and done.status[0]["ended"] == "signalled" and done.status[0]["signal"] == number, done


def test_what_the_worker_leaves_running_dies_with_it(own):
    marker = f"{time.monotonic_ns() % 10**6}.5"
    done = run(own, "/bin/sh", "-c", f"setsid sleep {marker} & setsid sh -c 'sleep {marker} & sleep {marker}' & sleep 0.2; exit 4")
    assert done.code == 4, done
    assert subprocess.run(["pgrep", "-f", f"sleep {marker}"], capture_output=True).stdout == b""


# --- signals ---
@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "WINCH"])
def test_signals_to_the_launcher_reach_the_worker(own, name):
    code = f"""
import os, signal
signal.signal(signal.SIG{name}, lambda *_: (os.write(1, b"got {name}\\n"), os._exit(9)))
os.write(1, b"ready\\n")
while True: signal.pause()
"""
    with sandbox.Run(own, "plain", [places.PYTHON, "-c", code]) as running:
        assert running.process.stdout.readline() == b"ready\n"
        running.signal(getattr(signal, f"SIG{name}"))
        assert running.process.stdout.readline() == f"got {name}\n".encode()
        assert running.wait(10) == 9


def test_a_signal_that_comes_before_the_worker_is_there_is_kept(own):
    process = subprocess.Popen(launcher.command(own, "plain", "/usr/bin/sleep", "30"), preexec_fn=lambda: signal.pthread_sigmask(
        signal.SIG_BLOCK, [signal.SIGTERM]))
    process.send_signal(signal.SIGTERM)  # blocked by the caller, so it waits until the launcher reads it
    assert process.wait(10) == 128 + signal.SIGTERM


def test_a_caller_that_ignores_and_blocks_everything_changes_nothing(own):
    def hostile_start():
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    done = subprocess.run(launcher.command(own, "plain", "/usr/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"), capture_output=True,
                          text=True, preexec_fn=hostile_start, timeout=20)
    assert done.returncode == 0 and done.stdout.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16], done
    done = subprocess.run(launcher.command(own, "plain", "/bin/sh", "-c", "exit 6"), preexec_fn=hostile_start, timeout=20)
    assert done.returncode == 6


# --- stdio ---
def test_bytes_go_in_and_out_unchanged(own):
    data = os.urandom(3_000_000)
    done = run(own, "/bin/cat", stdin=data)
    assert done.code == 0 and done.stdout == data


def test_stderr_is_apart_from_stdout_and_can_be_opened_again(own):
    done = run(own, "/bin/sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr")
    assert done.out == "out\n" and done.stderr == "err\n", done


def test_output_beyond_the_budget_is_dropped_and_said_and_hangs_nobody(own):
    own.profile("quiet", limits={"output": "64KiB"})
    done = sandbox.run(own, "quiet", ["/bin/sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3"])
    said = "".join(line for line in done.stderr.splitlines(True) if "sallyport: " in line)
    assert "all of it from here on is dropped" in said and f"{2_000_000 - 65536} bytes of the worker's output were dropped" in said, said
    from_worker = len(done.stdout) + done.stderr.count("\0")
    assert done.code == 3 and from_worker == 65536, (done.code, from_worker)
    assert done.status[0]["dropped_output_bytes"] == 2_000_000 - 65536


def test_a_caller_who_stops_reading_does_not_stop_signals(own):
    with sandbox.Run(own, "plain", ["/bin/cat", "/dev/zero"]) as running:
        time.sleep(0.5)  # the pipes are full
        running.signal(signal.SIGTERM)
        wait_until(lambda: not descendants_of(running.launcher_pid), 5, "the worker still runs")
        running.signal(signal.SIGTERM)  # and let go of the rest of the output
        assert running.wait(5) == 128 + signal.SIGTERM


def test_a_reader_who_leaves_gives_the_worker_a_sigpipe(own):
    with sandbox.Run(own, "plain", ["/bin/cat", "/dev/zero"]) as running:
        running.process.stdout.read(10)
        running.process.stdout.close()
        assert running.wait(10) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [0, 1, 2]])
def test_closed_standard_descriptors_of_the_caller_are_no_trap(own, closed):
    marker = own.directory / "status"
    with open(marker, "wb") as status:
        number = os.dup2(status.fileno(), 50, inheritable=True)
        done = subprocess.Popen(launcher.command(own, "plain", "/usr/bin/python3", "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))",
                                                 options=["--status-fd", "50"]),
                                pass_fds=[50], preexec_fn=lambda: [os.close(fd) for fd in closed],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, _ = done.communicate(timeout=20)
        os.close(number)
    assert done.returncode == 0 and json.loads(marker.read_text())["code"] == 0
    if 1 not in closed:
        assert out == b"['0', '1', '2', '3']\n"  # 3 is the directory that was being listed


def test_a_terminal_of_the_caller_is_not_the_workers(own):
    child, terminal = pty.fork()
    if child == 0:
        os.execv(places.program("sallyport"), launcher.command(own, "plain", places.PYTHON, "-c", """
import os, sys
print([os.isatty(fd) for fd in range(3)], os.path.exists("/dev/tty"))
"""))
    output = b""
    try:
        while data := os.read(terminal, 4096):
            output += data
    except OSError:
        pass
    assert os.waitpid(child, 0)[1] == 0 and b"[False, False, False] False" in output, output


# --- limits ---
def test_the_time_limit_terms_and_then_kills(own):
    own.profile("timed", limits={"time": "1s"})
    started = time.monotonic()
    done = sandbox.run(own, "timed", ["/bin/sleep", "60"])
    assert done.code == 124 and done.status[0]["time_up"] is True and time.monotonic() - started < 4, done
    assert done.status[0]["signal"] == signal.SIGTERM and done.status[0]["reason"] == "the worker's time was up (limits.time, 1 s)"
    assert done.stderr.count("time is up") == 1 and "time was up" not in done.stderr, "said when it came, and once"
    done = sandbox.run(own, "timed", ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
    assert done.code == 124 and done.status[0]["time_up"] is True and done.status[0]["signal"] == signal.SIGKILL, done
    done = sandbox.run(own, "timed", ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"])
    assert done.code == 124 and done.status[0]["time_up"] is True and done.status[0]["code"] == 0, "and not for a success: it was cut"
    done = sandbox.run(own, "timed", ["/bin/true"])
    assert done.code == 0 and done.status[0]["time_up"] is False, done


def test_a_fork_bomb_stops_at_the_limit_of_pids(own):
    done = launcher.python(own, """
import os, signal
made = 0
try:
    while True:
        if os.fork() == 0: signal.pause()
        made += 1
except OSError as error: print(made, error.errno)
""", profile="forks", limits={"pids": 20})
    assert done.out.split() == ["19", str(errno.EAGAIN)], done


def test_one_sessions_use_of_a_per_uid_limit_is_not_anothers(own):
    """inotify instances are counted per uid (128 by default); with one uid for all, one worker starves the others."""
    hold = """
import ctypes, sys
libc = ctypes.CDLL(None)
made = 0
while made < 20000 and libc.inotify_init() >= 0: made += 1
print(made, flush=True)
sys.stdin.read()
"""
    own.profile("greedy", limits={"open_files": 1024})
    one = "import ctypes; print(ctypes.CDLL(None).inotify_init() >= 0)"
    as_nobody = {"user": 64999, "group": 64999, "extra_groups": []}
    limit = int(open("/proc/sys/fs/inotify/max_user_instances").read())
    if limit >= 1000:
        pytest.skip(f"fs.inotify.max_user_instances is {limit}: too many to use up within the limit of open files")
    with subprocess.Popen([places.PYTHON, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **as_nobody) as greedy:
        assert int(greedy.stdout.readline()) <= limit
        off = subprocess.run([places.PYTHON, "-c", one], capture_output=True, text=True, **as_nobody)
        assert off.stdout == "False\n", "the attack must be real: processes of one uid share the limit"
        greedy.stdin.close()
    with sandbox.Run(own, "greedy", [places.PYTHON, "-c", hold]) as greedy:
        assert int(greedy.process.stdout.readline()) <= limit
        assert run(own, places.PYTHON, "-c", one).out == "True\n"


def test_limits_that_are_not_enforced_are_said_and_refused_where_required(own):
    own.profile("wishes", limits={"memory": "1GiB"})
    done = sandbox.run(own, "wishes", ["/bin/true"])
    assert done.code == 0 and done.status[0]["not_enforced"] == ["memory"] and "not enforced" in done.stderr, done
    own.profile("demands", limits={"memory": "1GiB", "require": ["memory"]})
    done = sandbox.run(own, "demands", ["/bin/true"])
    assert done.code == 78 and "memory" in done.stderr and done.status[0]["ended"] == "not-built", done


# --- mistakes: one clear error, nothing left; 78 (EX_CONFIG) where a file is wrong or names what is not there, else 125 ---
def refused(own, *words, profile="plain", program=("/bin/true",), code=78, **options):
    done = sandbox.run(own, profile, program, **options)
    assert done.code == code and done.out == "", done
    for word in words:
        assert word in done.stderr, done
    assert done.status[0]["ended"] == "not-built" and done.status[0]["reason"] in done.stderr, done


def test_a_profile_that_is_missing_or_wrong_is_named(own):
    refused(own, "nosuch.toml", "No such file", profile="nosuch")
    refused(own, "profile name", profile="../plain")
    own.profile("broken", text="[worker]\ncomand = ['x']\n")
    refused(own, "broken.toml", "comand", profile="broken")


def test_a_command_that_is_not_there_is_named_with_what_was_tried(own):
    refused(own, "start the worker's program", "nosuch", "/usr/bin/nosuch", program=("nosuch",))
    refused(own, "/etc/passwd", "Permission denied", "executable", program=("/etc/passwd",))


def test_a_working_directory_that_is_not_there_is_named(own):
    own.profile("lost", worker={"directory": "/nowhere"})
    refused(own, "worker.directory", "/nowhere", "No such file", profile="lost")


def test_a_missing_root_is_named(own):
    own.profile("rootless", sandbox={"root": "/nonexistent"})
    refused(own, "/nonexistent", "No such file", profile="rootless")


def test_a_runtime_directory_that_cannot_be_written_is_named(own):
    done = subprocess.run([places.program("sallyport"), "run", *own.options, "--runtime-dir", "/proc/nothing", "plain"], capture_output=True, text=True)
    assert done.returncode == 125 and "/proc/nothing" in done.stderr and "--runtime-dir" in done.stderr, done


def test_a_status_descriptor_that_is_not_open_is_named(own):
    done = subprocess.run(launcher.command(own, "plain", options=["--status-fd", "77"]), capture_output=True, text=True)
    assert done.returncode == 78 and "--status-fd 77" in done.stderr, done


def test_whoever_is_not_root_is_told(own):
    done = subprocess.run(launcher.command(own, "plain"), capture_output=True, text=True, user=64999, group=64999, extra_groups=[])
    assert done.returncode == 125 and "root" in done.stderr, done


def test_a_unit_that_protects_kernel_tunables_is_told_so(own):
    """As systemd does it: /proc/sys read-only, in a mount namespace."""
    script = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\""
    done = subprocess.run(["unshare", "--mount", "/bin/sh", "-c", script, "sh", *launcher.command(own, "plain")], capture_output=True, text=True)
    assert done.returncode == 125 and "ProtectKernelTunables=" in done.stderr, done
    script = "mount -t tmpfs none /proc/sys && exec \"$@\""
    done = subprocess.run(["unshare", "--mount", "/bin/sh", "-c", script, "sh", *launcher.command(own, "plain")], capture_output=True, text=True)
    assert done.returncode == 125 and "ProtectKernelTunables=" in done.stderr, done


@pytest.mark.parametrize("over,bound,says", [
    ("/dev/zero", "/dev/tty", "/dev/zero of the host is not the device of that name"),
    ("/dev/null", "/etc/hostname", "/dev/null of the host is not the device of that name"),
])
def test_a_host_where_something_else_lies_at_that_place_is_told_so(own, over, bound, says):
    script = f"mount --bind {bound} {over} && exec \"$@\""
    done = subprocess.run(["unshare", "--mount", "/bin/sh", "-c", script, "sh", *launcher.command(own, "plain")], capture_output=True, text=True)
    assert done.returncode == 125 and says in done.stderr, done


def test_a_host_without_user_namespaces_is_told_so(own):
    script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\""
    done = subprocess.run(["unshare", "--user", "--map-root-user", "/bin/sh", "-c", script, "sh", *launcher.command(own, "plain")],
                          capture_output=True, text=True)
    assert done.returncode == 125 and "sallyport: " in done.stderr, done


def test_a_broker_that_is_not_there_is_named_with_the_way_out(own):
    own.profile("docked", docker={})
    refused(own, "broker", "sallyport-broker.service", "--private-broker", profile="docked", code=125)


def test_uid_ranges_that_are_all_taken_are_told(own):
    locks = []
    import fcntl
    try:
        for base in range(own.uid_first, own.uid_last, 16):
            (own.runtime / "uids").mkdir(parents=True, exist_ok=True)
            lock = open(own.runtime / "uids" / str(base), "w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            locks.append(lock)
        refused(own, "every range of uid_span", "is in use; end a session or widen uid_span in broker.toml", code=125)
    finally:
        for lock in locks:
            lock.close()


def test_a_uid_range_that_is_let_go_of_in_a_moment_is_waited_for(own):
    import fcntl
    locks = []
    (own.runtime / "uids").mkdir(parents=True, exist_ok=True)
    for base in range(own.uid_first, own.uid_last, 16):
        locks.append(open(own.runtime / "uids" / str(base), "w"))
        fcntl.flock(locks[-1], fcntl.LOCK_EX)
    try:
        with sandbox.Run(own, "plain", ["/bin/true"]) as running:
            with pytest.raises(subprocess.TimeoutExpired):  # it does not refuse
                running.process.wait(0.3)
            locks.pop().close()
            assert running.wait(10) == 0, running.stderr
    finally:
        for lock in locks:
            lock.close()


def test_two_sandboxes_at_a_time_have_two_ranges(own):
    with sandbox.Worker(own, "plain") as first, sandbox.Worker(own, "plain") as second:
        assert abs(first.uid_base - second.uid_base) >= 16


# --- the program itself ---
def test_sallyport_run_is_sallyport_run(own):
    done = sandbox.run(own, "plain", ["/bin/echo", "hello"], program="sallyport-run")
    assert done.code == 0 and done.out == "hello\n", done


def test_verbs_that_do_not_exist_are_named():
    for verb in ("nosuch", "../run", "a/b", ""):
        done = subprocess.run([places.program("sallyport"), verb], capture_output=True, text=True)
        assert done.returncode == 125 and "no such verb" in done.stderr, done


def test_it_works_with_few_descriptors_of_the_callers_own(own):
    done = subprocess.run(launcher.command(own, "plain"), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert done.returncode == 0


def test_a_tight_limit_of_namespaces_is_waited_for_not_failed_at(own):
    """The kernel counts the namespaces of an ended sandbox for some time yet; the next start meets its own predecessor."""
    script = 'echo 1 > /proc/sys/user/max_net_namespaces && for i in 1 2 3 4 5; do "$@" || exit 1; done'
    command = ["/bin/sh", "-c", script, "sh", *launcher.command(own, "plain", "/bin/true")]
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # in a user namespace of the test's own, whose limit hurts nobody else
        unshared = ctypes.CDLL(None).unshare(0x10000000 | 0x00020000)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        if unshared == 0:
            os.execv(command[0], command)
        os._exit(99)
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w") as id_map:
            id_map.write(f"0 0 {own.uid_last + 1}")
    os.write(go[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- more of the host ---
@pytest.mark.parametrize("parent", ["/tmp", "/var/tmp", "/opt"])
def test_a_readable_directory_is_seen_at_its_place_and_cannot_be_written(own, parent):
    with tempfile.TemporaryDirectory(prefix="sp-readable-", dir=parent) as directory:
        os.chmod(directory, 0o777)
        with open(f"{directory}/code", "w") as file:
            file.write("seen")
        look = ["/bin/sh", "-c", f"cat {directory}/code; echo x >{directory}/new"]
        assert run(own, *look).out == ""  # the denied twin: not named, not there
        own.profile("readable", sandbox={"readable": [directory]})
        done = sandbox.run(own, "readable", look)
        assert done.out == "seen" and "Read-only file system" in done.stderr and not os.path.exists(f"{directory}/new"), done
