"""The broker's processes as the kernel shows them, and what it says when it cannot start."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest
from support import hostile_caller, kernel_view, launcher, places, sandbox
from support.broker import KEEPER_USER, Broker, SharedBroker
from support.kernel_view import NO_CAPABILITIES, NO_SIGNALS, shown, status
from support.processes import children_of, is_alive, uids_of, wait_until

from test_hardening import is_sanitized

NAMESPACES = ["pid", "mnt", "net", "ipc", "uts", "cgroup"]
ONLY_PIPE_IGNORED = "0000000000001000"
plain_build = pytest.mark.skipif(is_sanitized(), reason="gates of a sanitizer build keep the host's root")


def namespace(pid, name) -> str:
    return os.readlink(f"/proc/{pid}/ns/{name}")


@pytest.fixture(scope="module")
def scene(dockerd):
    """A session with both a gate and a relay, of a broker whose caller had all that none of its processes may keep."""
    broker = Broker(dockerd.socket, sessions=8, start=False)
    broker.profile("both", docker={}, forwards=[{"listen": "127.0.0.1:7000", "to": "127.0.0.1:9"}])
    with hostile_caller.popen() as popen:
        broker.start(**popen)
    with sandbox.Worker(broker, "both"):
        yield broker
    broker.remove()


@pytest.fixture(params=["gate", "relay"])
def contained(request, scene):
    return wait_until(lambda: (scene.processes_of(request.param) or [None])[0], 5, f"no {request.param}")


@plain_build
def test_gate_and_relay_have_an_empty_read_only_root(contained):
    assert os.listdir(f"/proc/{contained}/root/") == []
    mounts = pathlib.Path(f"/proc/{contained}/mountinfo").read_text().splitlines()
    assert len(mounts) == 1 and " / ro,nosuid,nodev,noexec" in mounts[0], mounts
    assert os.readlink(f"/proc/{contained}/cwd") == "/"


def test_gate_and_relay_have_namespaces_of_their_own(contained, scene):
    for name in NAMESPACES:
        assert namespace(contained, name) != namespace(os.getpid(), name), name
    gate, relay = scene.processes_of("gate")[0], scene.processes_of("relay")[0]
    for name in NAMESPACES:
        assert namespace(gate, name) != namespace(relay, name), name
    assert status(contained)["NSpid"].split()[-1] == "1"
    interfaces = pathlib.Path(f"/proc/{contained}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces if not line.strip().startswith(("sit", "tunl", "ip6"))] == ["lo"]


def test_gate_and_relay_have_no_privilege_and_a_filter(contained):
    wanted = {**NO_CAPABILITIES, "NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "1", "Threads": "1", "Groups": "",
              "SigBlk": NO_SIGNALS, "SigIgn": ONLY_PIPE_IGNORED}
    assert shown(contained, wanted) == wanted
    assert len(set(uids_of(contained))) == 1 and uids_of(contained)[0] != 0
    assert status(contained)["Gid"] == status(contained)["Uid"], "of the same number, which no other process has"
    assert status(contained)["NSsid"].split()[-1] == "1", "in a session without a terminal"


def test_each_process_runs_under_the_filter_that_is_made_for_it(scene):
    found = {"Gate": scene.processes_of("gate")[0], "Relay": scene.processes_of("relay")[0], "Keeper": scene.keeper_pid}
    for name, pid in found.items():
        installed = kernel_view.filter_of(pid)
        if installed is None:
            pytest.skip("this kernel does not tell which filter a process has (CONFIG_CHECKPOINT_RESTORE)")
        assert installed == kernel_view.built_filter(name), name


def test_a_process_of_the_same_uid_may_not_look_into_gate_or_relay(contained):
    # Not dumpable: its files in /proc are root's, and ptrace is refused to its own uid.
    assert not kernel_view.is_dumpable(contained)


def test_gate_and_relay_go_first_where_memory_is_short(contained):
    assert pathlib.Path(f"/proc/{contained}/oom_score_adj").read_text() == "500\n"


@plain_build
def test_gate_and_relay_hold_exactly_their_descriptors(contained, scene):
    links = kernel_view.descriptors(contained)
    assert [links[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3
    sockets = [fd for fd, link in links.items() if link.startswith("socket:")]
    of_asio = sorted(link for fd, link in links.items() if fd > 2 and fd not in sockets)
    assert of_asio == ["anon_inode:[eventfd]", "anon_inode:[eventpoll]", "anon_inode:[timerfd]"], links
    is_gate = contained in scene.processes_of("gate")
    assert sorted(sockets) == ([3, 4, 5] if is_gate else [3, 4]), links
    assert pathlib.Path(f"/proc/{contained}/environ").read_bytes() == b""


@plain_build
def test_gate_and_relay_have_limits(contained, scene):
    is_gate = contained in scene.processes_of("gate")
    wanted = {"Max core file size": "1", "Max file size": "0", "Max msgqueue size": "0", "Max locked memory": "0",
              "Max processes": "1", "Max open files": "512" if is_gate else "576",
              "Max address space": str((256 if is_gate else 128) << 20)}
    limits = kernel_view.limits(contained)
    assert {name: limits[name] for name in wanted} == {name: (value, value) for name, value in wanted.items()}


def test_the_keeper_has_dockerds_group_and_nothing_else(scene, dockerd):
    wanted = {**NO_CAPABILITIES, "NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "1",
              "Groups": str(os.stat(dockerd.socket).st_gid), "SigBlk": NO_SIGNALS, "Umask": "0077"}
    assert shown(scene.keeper_pid, wanted) == wanted
    assert uids_of(scene.keeper_pid) == [KEEPER_USER] * 4
    assert status(scene.keeper_pid)["Gid"].split() == [str(KEEPER_USER)] * 4
    ignored = int(status(scene.keeper_pid)["SigIgn"], 16)
    assert ignored == 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1, hex(ignored)
    assert not kernel_view.is_dumpable(scene.keeper_pid)
    assert kernel_view.limits(scene.keeper_pid)["Max core file size"] == ("1", "1")


def test_keeper_and_spawner_have_nothing_that_their_caller_left_them(scene):
    for pid in (scene.keeper_pid, scene.spawner_pid):
        assert not hostile_caller.is_held_by(pid)
        soft, hard = kernel_view.limits(pid)["Max open files"]
        assert soft == hard, "all the descriptors that there are"


def test_the_spawner_has_its_capabilities_and_never_dockerds_socket(scene, dockerd):
    # DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_ADMIN 12, SYS_PTRACE 19, SYS_ADMIN 21
    only = "00000000002811e2"
    wanted = {**NO_CAPABILITIES, "CapPrm": only, "CapEff": only, "CapBnd": only, "NoNewPrivs": "1", "Groups": "",
              "SigIgn": ONLY_PIPE_IGNORED, "Umask": "0077"}
    assert shown(scene.spawner_pid, wanted) == wanted
    assert kernel_view.limits(scene.spawner_pid)["Max core file size"] == ("1", "1")
    ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    assert int(status(scene.spawner_pid)["SigBlk"], 16) == sum(1 << number - 1 for number in ends), "those that it reads itself"
    ours = {os.readlink(f"/proc/{scene.spawner_pid}/fd/{fd}") for fd in os.listdir(f"/proc/{scene.spawner_pid}/fd")}
    with open("/proc/net/unix") as table:
        dockerds = {f"socket:[{line.split()[6]}]" for line in table if line.strip().endswith(str(dockerd.socket))}
    assert dockerds and not ours & dockerds


def test_each_half_of_the_broker_has_let_go_of_the_others_descriptors(scene):
    """The control socket, the trail and the ledger are the keeper's alone; the programs that are started the spawner's."""
    keepers, spawners = (kernel_view.descriptors(pid) for pid in (scene.keeper_pid, scene.spawner_pid))
    with open("/proc/net/unix") as table:
        control = {f"socket:[{line.split()[6]}]" for line in table if line.strip().endswith(scene.control_socket)}
    assert control & set(keepers.values()) and not control & set(spawners.values())
    places_of_the_keeper = (str(scene.state), str(scene.logs))
    of_places = [link for link in spawners.values() if link.startswith(places_of_the_keeper)]
    assert of_places == [str(scene.state / "lock")], "held until both have ended"
    assert len([link for link in keepers.values() if link.startswith(places_of_the_keeper)]) > 2
    gate = scene.program("sallyport-gate")
    assert os.path.realpath(gate) in spawners.values() and os.path.realpath(gate) not in keepers.values()


def test_directories_files_and_socket_have_the_owners_and_modes_that_are_promised(scene):
    keepers, roots = (KEEPER_USER, KEEPER_USER), (0, 0)
    wanted = {scene.state: (keepers, 0o700), scene.state / "lock": (roots, 0o600), scene.state / "broker-id": (keepers, 0o600),
              scene.state / "sessions": (keepers, 0o700), scene.state / "accounts": (keepers, 0o700),
              scene.logs: (keepers, 0o750), scene.runtime: (roots, 0o711), scene.runtime / "uids": (roots, 0o700),
              scene.runtime / "empty": (roots, 0o700), scene.runtime / "broker.sock": (roots, 0o666)}
    wanted.update({path: (roots, 0o600) for path in (scene.runtime / "uids").iterdir()})
    wanted.update({path: (keepers, 0o600) for path in (scene.state / "sessions").iterdir()})
    assert len(wanted) > 11, "a uid range and a ledger of the session among them"
    seen = {}
    for path in wanted:
        info = path.stat()
        seen[path] = ((info.st_uid, info.st_gid), info.st_mode & 0o7777)
    assert seen == wanted


def test_nothing_of_a_session_is_mounted_where_the_host_sees_it(scene):
    assert str(scene.runtime) not in pathlib.Path("/proc/self/mountinfo").read_text()


def test_descriptors_that_the_caller_left_open_go_no_further(dockerd):
    broker = Broker(dockerd.socket, start=False)
    secret = os.open("/etc/shadow", os.O_RDONLY)
    inherited = [os.dup2(secret, fd, inheritable=True) for fd in (50, 51, 700)]
    try:
        from support.processes import Daemon
        broker.daemon = Daemon([broker.program("sallyport-broker"), *broker.options], broker.log_file, pass_fds=inherited)
        broker.daemon.wait_ready(broker._accepts, 20, "the broker does not listen")
        for pid in (broker.spawner_pid, broker.keeper_pid):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                assert os.readlink(f"/proc/{pid}/fd/{fd}") != "/etc/shadow"
    finally:
        for fd in [secret, *inherited]:
            os.close(fd)
        broker.remove()


def test_systemd_is_told_when_sessions_can_be_opened(dockerd):
    broker = Broker(dockerd.socket, start=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        path = f"{broker.directory}/notify"
        listener.bind(path)
        listener.settimeout(10)
        process = subprocess.Popen([broker.program("sallyport-broker"), *broker.options], env={"NOTIFY_SOCKET": path},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert listener.recv(100) == b"READY=1"
            broker.profile("plain", docker={})
            with sandbox.Run(broker, "plain") as run:
                assert run.wait(10) == 0, run.stderr
            process.send_signal(signal.SIGTERM)
            assert listener.recv(100) == b"STOPPING=1"
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
    assert not os.path.exists(broker.control_socket)
    broker.remove()


def test_systemd_is_never_told_that_a_broker_is_ready_which_could_not_begin(stopped):
    closed = stopped.directory / "closed"
    closed.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        path = f"{stopped.directory}/notify"
        listener.bind(path)
        listener.setblocking(False)
        command = [stopped.program("sallyport-broker"), *stopped.options]
        command[command.index("--state-dir") + 1] = f"{closed}/state"
        assert subprocess.run(command, env={"NOTIFY_SOCKET": path}, capture_output=True, timeout=30).returncode == 1
        with pytest.raises(BlockingIOError):
            listener.recv(100)


def test_the_tests_that_follow_the_death_of_a_shared_broker_get_another(dockerd):
    shared = SharedBroker(dockerd.socket)
    try:
        first = shared.get()
        assert shared.get() is first
        first.kill("keeper")
        assert shared.get() is not first and shared.get().alive()
    finally:
        shared.remove()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whom", ["spawner", "keeper"])
def test_a_signal_to_either_process_ends_sessions_and_broker_in_order(own_broker, number, whom):
    own_broker.profile("long", command=["/bin/sleep", "100"], docker={})
    with sandbox.Run(own_broker, "long") as run:
        gate = wait_until(lambda: (own_broker.processes_of("gate") or [None])[0], 10, "no gate")
        keeper = own_broker.keeper_pid
        os.kill(own_broker.spawner_pid if whom == "spawner" else keeper, number)
        assert own_broker.daemon.process.wait(10) == 0
        assert run.wait(10) != 0
        assert not is_alive(gate) and not is_alive(keeper)
    ended = own_broker.audit(event="session-end")
    assert ended and ended[-1]["rule"] == "broker.stopped", ended


# --- what it says when it cannot start: one clear error with a remedy, no process left ---
def refusal(broker, *options, programs=None, user=None, code=1) -> str:
    command = [broker.program("sallyport-broker") if programs is None else f"{programs}/sallyport-broker", *broker.options]
    for option, value in options:
        command[command.index(option) + 1] = str(value)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, user=user)
    assert done.returncode == code, done
    errors = [line for line in done.stderr.splitlines() if " error: " in line]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture
def stopped(dockerd):
    broker = Broker(dockerd.socket, start=False)
    yield broker
    assert not children_of(os.getpid()) or not broker.alive()
    broker.remove()


@pytest.mark.parametrize("missing", ["sallyport-gate", "sallyport-relay"])
def test_it_refuses_to_start_without_its_programs(stopped, missing):
    programs = stopped.directory / "bin"
    programs.mkdir()
    for name in {"sallyport-broker", "sallyport-gate", "sallyport-relay"} - {missing}:
        shutil.copy(stopped.program(name), programs)
    assert f"{programs}/{missing}, which must be installed beside sallyport-broker" in refusal(stopped, programs=programs)
    (programs / missing).write_text("not a program")
    assert "chmod 0755" in refusal(stopped, programs=programs)


def test_it_refuses_to_start_as_another_user_than_root(stopped):
    assert "must be started as root" in refusal(stopped, user=65534)


def test_it_refuses_a_docker_socket_that_is_missing_or_none(stopped):
    assert "start dockerd first" in refusal(stopped, ("--docker-socket", f"{stopped.directory}/none"))
    assert "is not a socket" in refusal(stopped, ("--docker-socket", "/etc/passwd"))


@pytest.mark.parametrize("group,mode", [(0, 0o660), (4711, 0o600), (4711, 0o640)])
def test_it_refuses_a_docker_socket_that_only_root_can_open(stopped, group, mode):
    path = f"{stopped.directory}/docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chown(path, 0, group)
        os.chmod(path, mode)
        assert "not open to a group of its own" in refusal(stopped, ("--docker-socket", path))


@pytest.mark.parametrize("config,says", [
    ('user = "nobody-of-that-name"', "does not exist; make it (useradd"),
    ('user = "70001"\nuid_span = "70000-80000"', "lies within uid_span"),
    ('user = "70000"\nuid_span = "70000-80000"', "lies within uid_span"),
    ('user = "80000"\nuid_span = "70000-80000"', "lies within uid_span"),
])
def test_it_refuses_a_keepers_user_that_cannot_be_one(stopped, config, says):
    stopped.config.write_text(config + "\n")
    assert says in refusal(stopped)


def test_it_refuses_a_keepers_user_whose_group_is_roots(stopped):
    """Seen by this start alone: in a mount namespace with accounts of its own."""
    accounts = stopped.directory / "passwd"
    accounts.write_text(f"root:x:0:0::/:/bin/sh\nkeeper:x:{KEEPER_USER}:0::/:/bin/sh\n")
    script = f"mount --bind {accounts} /etc/passwd && exec \"$@\""
    done = subprocess.run(["unshare", "--mount", "/bin/sh", "-c", script, "sh", stopped.program("sallyport-broker"), *stopped.options],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "has root's group as its own" in done.stderr, done


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_it_refuses_directories_that_others_may_write(stopped, mode):
    stopped.state.mkdir(mode=0o700)
    stopped.state.chmod(mode)
    assert "may be written by others; chmod 0755" in refusal(stopped)
    stopped.state.chmod(0o700)
    os.chown(stopped.state, 4711, 4711)
    assert "belongs to uid 4711; chown it to root" in refusal(stopped)


def test_a_lock_that_is_a_link_is_refused_and_nothing_is_made_through_it(stopped):
    """The directory is the keeper's: a taken-over one would have root open what it chooses."""
    victim = stopped.directory / "victim"
    stopped.state.mkdir(mode=0o700)
    (stopped.state / "lock").symlink_to(victim)
    assert "open the lock" in refusal(stopped)
    assert not victim.exists()


@pytest.mark.parametrize("torn", ["00112233445566f", "00112233445566ff", "00112233445566FF\n", "00112233445566ff\n0"])
def test_a_broker_id_that_is_torn_is_refused_and_stays(stopped, torn):
    """Another one in its place would forget all that an earlier broker left."""
    stopped.state.mkdir(mode=0o700)
    (stopped.state / "broker-id").write_text(torn)
    for path in (stopped.state, stopped.state / "broker-id"):
        os.chown(path, KEEPER_USER, KEEPER_USER)
    done = subprocess.run([stopped.program("sallyport-broker"), *stopped.options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "broker-id: it is malformed" in done.stderr, done
    assert (stopped.state / "broker-id").read_text() == torn


def test_it_refuses_a_state_directory_that_the_keeper_cannot_reach(stopped):
    closed = stopped.directory / "closed"
    closed.mkdir(mode=0o700)
    assert "must let others pass" in refusal(stopped, ("--state-dir", f"{closed}/state"))


def test_it_refuses_a_relative_place(stopped):
    assert "must be an absolute path" in refusal(stopped, ("--state-dir", "state"), code=78)


def test_a_second_broker_of_one_id_or_one_socket_is_refused(own_broker):
    assert "another broker holds" in refusal(own_broker)
    assert "another broker serves" in refusal(own_broker, ("--state-dir", own_broker.directory / "other"))


def test_a_second_start_waits_for_a_broker_that_is_about_to_end(own_broker):
    first = own_broker.daemon
    own_broker.daemon = None
    os.kill(first.pid, signal.SIGSTOP)
    second = subprocess.Popen([own_broker.program("sallyport-broker"), *own_broker.options], stderr=subprocess.PIPE, text=True)
    assert "waiting for an earlier broker" in second.stderr.readline()
    os.kill(first.pid, signal.SIGCONT)
    first.end()
    wait_until(own_broker._accepts, 10, "the second broker does not serve")
    second.terminate()
    assert second.wait(10) == 0


def test_a_broker_that_is_stopped_as_soon_as_it_accepts_ends_in_order(stopped):
    """Its keeper may not listen to signals yet: the delay keeps it there."""
    delayed = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prlimit64", "-e", "inject=prlimit64:delay_exit=300000"]
    with subprocess.Popen([*delayed, stopped.program("sallyport-broker"), *stopped.options], stderr=subprocess.PIPE, text=True) as tracer:
        try:
            wait_until(stopped._accepts, 20, "the broker does not serve")
            (broker,) = children_of(tracer.pid)
            os.kill(broker, signal.SIGTERM)
            assert tracer.wait(20) == 0, tracer.stderr.read()
        finally:
            tracer.kill()


def test_a_broker_whose_stderr_nobody_reads_goes_on_and_says_what_is_lost(stopped):
    stopped.profile("plain", docker={})
    read_end, write_end = os.pipe()
    fill(write_end)
    broker = subprocess.Popen([stopped.program("sallyport-broker"), *stopped.options], stdin=subprocess.DEVNULL, stderr=write_end)
    try:
        wait_until(stopped._accepts, 20, "a line that nobody reads holds up its start")
        assert sandbox.run(stopped, "plain", ["/bin/true"]).code == 0
        os.set_blocking(read_end, False)
        while len(os.read(read_end, 1 << 20)) == 1 << 20:
            pass
        assert sandbox.run(stopped, "plain", ["/bin/true"]).code == 0
        said = os.read(read_end, 1 << 20).decode()
        assert "lines of this log are lost: stderr did not take them" in said and "begins: profile plain" in said, said
        fill(write_end)
        os.close(read_end)  # whoever read it is gone: no SIGPIPE ends a half of the broker
        assert sandbox.run(stopped, "plain", ["/bin/true"]).code == 0
    finally:
        os.close(write_end)
        broker.terminate()
        assert broker.wait(20) == 0


def fill(pipe):
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe, bytes(4096)):
            pass
    os.set_blocking(pipe, True)


# Runs its arguments on a host that has a journal, and says what that has heard.
WITH_A_JOURNAL = """
import os, socket, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.setblocking(False)
code = subprocess.call(sys.argv[1:])
try:
    print(journal.recv(65536))
except BlockingIOError:
    print("nothing")
sys.exit(code)
"""


@pytest.mark.parametrize("stream", ["the file that is stderr", "another"])
def test_lines_go_to_the_journal_where_stderr_is_the_journals_whatever_else_the_environment_says(stopped, stream):
    """JOURNAL_STREAM is inherited by whatever a unit starts, with another stderr too."""
    stopped.profile("wishes", limits={"memory": "1GiB"})
    with open(stopped.directory / "stderr", "w+") as stderr:
        status = os.fstat(stderr.fileno())
        environment = dict(os.environ, JOURNAL_STREAM="1:1" if stream == "another" else f"{status.st_dev}:{status.st_ino}")
        done = subprocess.run(["unshare", "--mount", "/usr/bin/python3", "-c", WITH_A_JOURNAL,
                               *launcher.command(stopped, "wishes", "/bin/true")], env=environment, stdout=subprocess.PIPE,
                              stderr=stderr, text=True, timeout=20)
        stderr.seek(0)
        in_file = "not enforced" in stderr.read()
    assert done.returncode == 0 and ("not enforced" in done.stdout) != in_file, done
    assert in_file == (stream == "another"), done


def test_a_brokers_lines_have_their_time_where_no_journal_gives_it_to_them(stopped):
    with open(stopped.directory / "stderr", "w+") as stderr:
        broker = subprocess.Popen([stopped.program("sallyport-broker"), *stopped.options], stderr=stderr,
                                  env=dict(os.environ, JOURNAL_STREAM="1:1"))
        try:
            wait_until(stopped._accepts, 20, "it does not start")
        finally:
            broker.terminate()
            assert broker.wait(20) == 0
        stderr.seek(0)
        lines = stderr.read()
    assert re.search(r"^20\d\d-\d\d-\d\d [0-9:]{8} sallyport-broker\[\d+\] info: the broker is stopping$", lines, re.M), lines


def test_a_private_fd_that_is_no_control_socket_is_refused(stopped):
    command = [stopped.program("sallyport-broker"), *stopped.options, "--private-fd"]
    for fd in ("0", "77"):
        done = subprocess.run([*command, fd], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and "not a SOCK_SEQPACKET socket" in done.stderr
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as stream, open("/dev/null") as file:
        for fd in (tcp.fileno(), stream.fileno(), file.fileno()):
            done = subprocess.run([*command, str(fd)], capture_output=True, text=True, timeout=20, pass_fds=[fd])
            assert done.returncode == 1 and "not a SOCK_SEQPACKET socket" in done.stderr, fd


def test_it_refuses_a_control_socket_that_is_something_else(stopped):
    stopped.runtime.mkdir()
    (stopped.runtime / "broker.sock").write_text("of somebody")
    assert "exists and is not a socket; remove it" in refusal(stopped)
    assert (stopped.runtime / "broker.sock").read_text() == "of somebody"


@pytest.mark.parametrize("mode,says", [(0o754, "is not a program that every user may execute"), (0o757, "may be written by everybody")])
def test_it_refuses_programs_that_others_may_change_or_not_execute(stopped, mode, says):
    programs = stopped.directory / "bin"
    programs.mkdir()
    for name in ("sallyport-broker", "sallyport-gate", "sallyport-relay"):
        shutil.copy(stopped.program(name), programs)
    (programs / "sallyport-gate").chmod(mode)
    assert says in refusal(stopped, programs=programs)
