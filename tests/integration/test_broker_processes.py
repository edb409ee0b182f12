"""The broker's processes as the kernel shows them, and what it says when it cannot start."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest
from support import places, sandbox
from support.broker import KEEPER_USER, Broker
from support.processes import children_of, is_alive, uids_of, wait_until

from test_hardening import is_sanitized

NAMESPACES = ["pid", "mnt", "net", "ipc", "uts", "cgroup"]
NO_CAPABILITIES = {f"Cap{name}": "0000000000000000" for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
plain_build = pytest.mark.skipif(is_sanitized(), reason="gates of a sanitizer build keep the host's root")


def status(pid) -> dict:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def shown(pid, wanted) -> dict:
    now = status(pid)
    return {key: now[key] for key in wanted}


def namespace(pid, name) -> str:
    return os.readlink(f"/proc/{pid}/ns/{name}")


@pytest.fixture(scope="module")
def scene(dockerd):
    """A session with both a gate and a relay."""
    broker = Broker(dockerd.socket, sessions=8)
    broker.profile("both", docker={}, forwards=[{"listen": "127.0.0.1:7000", "to": "127.0.0.1:9"}])
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
    wanted = {**NO_CAPABILITIES, "NoNewPrivs": "1", "Seccomp": "2", "Threads": "1", "Groups": ""}
    assert shown(contained, wanted) == wanted
    assert len(set(uids_of(contained))) == 1 and uids_of(contained)[0] != 0


def test_a_process_of_the_same_uid_may_not_look_into_gate_or_relay(contained):
    # Not dumpable: its files in /proc are root's, and ptrace is refused to its own uid.
    assert os.stat(f"/proc/{contained}/environ").st_uid == 0


@plain_build
def test_gate_and_relay_hold_exactly_their_descriptors(contained):
    links = {int(fd): os.readlink(f"/proc/{contained}/fd/{fd}") for fd in os.listdir(f"/proc/{contained}/fd")}
    assert [links[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3
    kinds = sorted(link.split(":")[0] for fd, link in links.items() if fd > 2)
    assert set(kinds) <= {"socket", "anon_inode"}, links
    assert pathlib.Path(f"/proc/{contained}/environ").read_bytes() == b""


@plain_build
def test_gate_and_relay_have_limits(contained):
    rows = pathlib.Path(f"/proc/{contained}/limits").read_text().splitlines()
    limits = {row[:25].strip(): row[26:46].strip() for row in rows}
    assert limits["Max core file size"] == "0" and limits["Max file size"] == "0" and limits["Max processes"] == "1"
    assert int(limits["Max address space"]) <= 256 << 20 and int(limits["Max open files"]) <= 1024


def test_the_keeper_has_dockerds_group_and_nothing_else(scene, dockerd):
    wanted = {**NO_CAPABILITIES, "NoNewPrivs": "1", "Seccomp": "2", "Groups": str(os.stat(dockerd.socket).st_gid)}
    assert shown(scene.keeper_pid, wanted) == wanted
    assert uids_of(scene.keeper_pid) == [KEEPER_USER] * 4
    assert os.stat(f"/proc/{scene.keeper_pid}/environ").st_uid == 0, "not dumpable"


def test_the_spawner_has_its_capabilities_and_never_dockerds_socket(scene, dockerd):
    # DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_ADMIN 12, SYS_PTRACE 19, SYS_ADMIN 21
    only = "00000000002811e2"
    wanted = {**NO_CAPABILITIES, "CapPrm": only, "CapEff": only, "CapBnd": only, "NoNewPrivs": "1"}
    assert shown(scene.spawner_pid, wanted) == wanted
    ours = {os.readlink(f"/proc/{scene.spawner_pid}/fd/{fd}") for fd in os.listdir(f"/proc/{scene.spawner_pid}/fd")}
    with open("/proc/net/unix") as table:
        dockerds = {f"socket:[{line.split()[6]}]" for line in table if line.strip().endswith(str(dockerd.socket))}
    assert dockerds and not ours & dockerds


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
def refusal(broker, *options, programs=None, user=None) -> str:
    command = [broker.program("sallyport-broker") if programs is None else f"{programs}/sallyport-broker", *broker.options]
    for option, value in options:
        command[command.index(option) + 1] = str(value)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, user=user)
    assert done.returncode == 1, done
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
])
def test_it_refuses_a_keepers_user_that_cannot_be_one(stopped, config, says):
    stopped.config.write_text(config + "\n")
    assert says in refusal(stopped)


def test_it_refuses_directories_that_others_may_write(stopped):
    stopped.state.mkdir(mode=0o700)
    stopped.state.chmod(0o777)
    assert "may be written by others; chmod 0755" in refusal(stopped)
    stopped.state.chmod(0o700)
    os.chown(stopped.state, 4711, 4711)
    assert "belongs to uid 4711; chown it to root" in refusal(stopped)


def test_it_refuses_a_state_directory_that_the_keeper_cannot_reach(stopped):
    closed = stopped.directory / "closed"
    closed.mkdir(mode=0o700)
    assert "must let others pass" in refusal(stopped, ("--state-dir", f"{closed}/state"))


def test_it_refuses_a_relative_place(stopped):
    assert "must be an absolute path" in refusal(stopped, ("--state-dir", "state"))


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


def test_a_private_fd_that_is_no_control_socket_is_refused(stopped):
    command = [stopped.program("sallyport-broker"), *stopped.options, "--private-fd"]
    for fd in ("0", "77"):
        done = subprocess.run([*command, fd], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and "not a SOCK_SEQPACKET socket" in done.stderr
