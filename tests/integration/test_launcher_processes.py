"""Launcher, init and worker as the kernel shows them, started by a caller who has all that none of them may pass on."""
import os
import pathlib
import signal
import socket
import subprocess

import pytest
from support import hostile_caller, kernel_view, launcher, places, sandbox
from support.kernel_view import NO_CAPABILITIES, NO_SIGNALS, shown, status
from support.processes import command_of, descendants_of, uids_of, wait_until

NOTHING_SET = {**NO_CAPABILITIES, "NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "1", "Groups": ""}


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        made.profile("plain", limits={"pids": 100, "open_files": 200})
        yield made


@pytest.fixture(scope="module")
def seat(own):
    with hostile_caller.popen() as popen:
        running = sandbox.Worker(own, "plain", **popen)
    with running:
        assert status(running.init_pid)["Seccomp"] == "2", "init has locked itself down before the worker runs"
        yield running


def test_init_has_no_privilege_and_a_filter(seat):
    wanted = {**NOTHING_SET, "SigCgt": NO_SIGNALS, "Threads": "1"}
    assert shown(seat.init_pid, wanted) == wanted
    children = 1 << signal.SIGCHLD - 1  # ignored, the ends of the worker would be lost
    assert not int(status(seat.init_pid)["SigIgn"], 16) & children and int(status(seat.init_pid)["SigBlk"], 16) & children
    assert uids_of(seat.init_pid) == [seat.uid_base] * 4
    assert status(seat.init_pid)["Gid"].split() == [str(seat.uid_base)] * 4
    assert not kernel_view.is_dumpable(seat.init_pid), "the worker may not look into it"
    assert kernel_view.limits(seat.init_pid)["Max core file size"] == ("1", "1")


def test_init_holds_what_it_needs_and_nothing_of_its_caller(own, seat):
    """The launcher's socket, the range's lock, what it hears signals by, and the write ends of the worker's output."""
    kinds = sorted(link.split(":")[0] for link in kernel_view.descriptors(seat.init_pid).values())
    assert kinds == sorted([str(own.runtime / f"uids/{seat.uid_base}"), "anon_inode", "pipe", "pipe", "socket"]), kinds


def test_the_worker_has_no_privilege_and_a_filter(seat):
    wanted = {**NOTHING_SET, "SigBlk": NO_SIGNALS, "Umask": "0022"}
    assert shown(seat.worker_pid, wanted) == wanted
    # python ignores PIPE and XFSZ by itself
    assert int(status(seat.worker_pid)["SigIgn"], 16) & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    assert uids_of(seat.worker_pid) == [seat.uid_base + 1] * 4
    assert status(seat.worker_pid)["Gid"].split() == [str(seat.uid_base + 1)] * 4
    assert all(link.startswith("pipe:") for link in kernel_view.descriptors(seat.worker_pid).values())
    assert sorted(kernel_view.descriptors(seat.worker_pid)) == [0, 1, 2]


def test_the_workers_limits_are_the_plans(seat):
    limits = kernel_view.limits(seat.worker_pid)
    wanted = {"Max core file size": "1", "Max open files": "200", "Max processes": "100", "Max msgqueue size": "0",
              "Max locked memory": str(8 << 20)}
    assert {name: limits[name] for name in wanted} == {name: (value, value) for name, value in wanted.items()}


USUAL = {"policy": os.SCHED_OTHER, "nice": 0, "personality": "00000000", "timerslack_ns": "50000", "oom_score_adj": "1000"}
REAL_TIME = 1  # ioprio_set(2)


def test_init_and_worker_have_no_place_before_others_whatever_the_callers_is(seat):
    callers = kernel_view.place(seat.launcher_pid)
    assert callers["disk class"] == REAL_TIME and callers["personality"] != "00000000" and callers["timerslack_ns"] in ("0", "1"), callers
    assert callers["policy"] == os.SCHED_FIFO or callers["nice"] == -5, callers
    for pid in (seat.init_pid, seat.worker_pid):
        place = kernel_view.place(pid)
        assert place.pop("disk class") != REAL_TIME and place == USUAL, place
        group = kernel_view.core_group(seat.launcher_pid)
        assert group is None or kernel_view.core_group(pid) not in (0, group), "it shares a core with those who trust its caller"
    limits = kernel_view.limits(seat.worker_pid)
    assert {limits[name] for name in ("Max realtime priority", "Max nice priority")} == {("0", "0")}, limits
    assert limits["Max pending signals"] == ("4096", "4096"), limits


def test_what_only_restricts_stays_as_the_caller_has_set_it(own):
    """nice(1), ionice(1) and taskset(1) around the launcher are where the worker starts."""
    prefix = ["nice", "-n", "7", "ionice", "-c", "3", "taskset", "-c", "0"]
    with sandbox.Worker(own, "plain", prefix=prefix) as running:
        place = kernel_view.place(running.worker_pid)
        assert (place["nice"], place["disk class"]) == (7, 3) and os.sched_getaffinity(running.worker_pid) == {0}, place


def test_init_and_worker_run_under_the_filters_that_are_made_for_them(seat):
    for name, pid in {"Init": seat.init_pid, "Worker": seat.worker_pid}.items():
        installed = kernel_view.filter_of(pid)
        if installed is None:
            pytest.skip("this kernel does not tell which filter a process has (CONFIG_CHECKPOINT_RESTORE)")
        assert installed == kernel_view.built_filter(name), name


def test_a_worker_with_a_loopback_runs_under_the_filter_that_has_its_sockets(own):
    own.profile("looped", sandbox={"loopback": True})
    with sandbox.Worker(own, "looped") as running:
        installed = kernel_view.filter_of(running.worker_pid)
        if installed is None:
            pytest.skip("this kernel does not tell which filter a process has (CONFIG_CHECKPOINT_RESTORE)")
        assert installed == kernel_view.built_filter("LoopbackWorker")
        assert installed != kernel_view.built_filter("Worker")


def test_the_launcher_itself_has_closed_what_its_caller_left_open(seat):
    assert not hostile_caller.is_held_by(seat.launcher_pid)
    assert os.readlink(f"/proc/{seat.launcher_pid}/fd/0").startswith("pipe:"), "the caller's own three stay"


def test_a_session_passes_no_more_to_init_and_one_stream_to_the_worker(broker):
    broker.profile("docked", docker={}, forwards=[{"listen": "127.0.0.1:7000", "to": "127.0.0.1:9"}])
    with hostile_caller.popen() as popen:
        running = sandbox.Worker(broker, "docked", **popen)
    with running:
        assert status(running.init_pid)["Seccomp"] == "2", "init has locked itself down before the worker runs"
        kinds = sorted(link.split(":")[0] for link in kernel_view.descriptors(running.init_pid).values())
        assert kinds == sorted([str(broker.runtime / f"uids/{running.uid_base}"), "anon_inode", "pipe", "pipe", "socket"]), \
            "neither listeners nor stream stay with init"
        workers = kernel_view.descriptors(running.worker_pid)
        assert sorted(workers) == [0, 1, 2, 3] and workers[3].startswith("socket:")


def test_processes_of_a_private_broker_have_nothing_of_the_callers(dockerd):
    with launcher.host() as places_only:
        places_only.docker_socket = str(dockerd.socket)
        places_only.profile("docked", docker={})
        with hostile_caller.popen() as popen:
            running = sandbox.Worker(places_only, "docked", options=["--private-broker"], **popen)
        with running:
            brokers = [pid for pid in descendants_of(running.launcher_pid) if command_of(pid).startswith(("sallyport-broker", "sallyport-gate"))]
            assert len(brokers) == 3, [command_of(pid) for pid in brokers]
            for pid in brokers:
                assert not hostile_caller.is_held_by(pid)
                now = status(pid)
                assert now["CapInh"] == now["CapAmb"] == NO_SIGNALS and now["NoNewPrivs"] == "1", now
                assert not {"4711", "4712"} & set(now["Groups"].split()), now
                ends = sum(1 << number - 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
                assert int(now["SigBlk"], 16) & ~ends == 0, now
                assert int(now["SigIgn"], 16) & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0, now
            state, log = places_only.state / "private-docked.0", places_only.logs / "private-docked.0"
            modes = {path: path.stat().st_mode & 0o7777 for path in (places_only.state, places_only.logs, state, log, places_only.runtime)}
            assert modes == {places_only.state: 0o711, places_only.logs: 0o711, state: 0o700, log: 0o750, places_only.runtime: 0o711}, modes


def test_the_ranges_are_roots_to_lock(own, seat):
    for path, mode in ((own.runtime, 0o711), (own.runtime / "uids", 0o700), (own.runtime / f"uids/{seat.uid_base}", 0o600)):
        assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (0, mode), path


# --- what of the host's mounts comes in ---
def mounts_of(pid) -> dict:
    lines = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {line.split()[4]: line for line in lines}


def test_a_mount_below_a_readable_directory_comes_in_read_only_too(own):
    """A file of the host was written through one whose parent alone was made read-only."""
    outside = own.directory / "readable"
    inside = outside / "deep" / "mounted"
    inside.mkdir(parents=True)
    own.profile("below", sandbox={"readable": [str(outside)]})
    script = f"mount -t tmpfs -o mode=777 host {inside} && touch {inside}/victim && chmod 666 {inside}/victim && exec \"$@\""
    prefix = ["unshare", "--mount", "/bin/sh", "-c", script, "sh"]
    with sandbox.Worker(own, "below", prefix=prefix) as running:
        flags = set(mounts_of(running.worker_pid)[str(inside)].split()[5].split(","))
        assert {"ro", "nosuid", "nodev"} <= flags, flags
        written = running.do("""
try:
    open(args['path'], 'w').write('x')
    result = 'written'
except OSError as error: result = error.strerror
""", path=f"{inside}/victim")
        assert written == "Read-only file system"


def test_no_event_of_the_hosts_mounts_comes_in_where_the_host_shares_them(own):
    """As systemd does it: every mount of the host is shared."""
    outside = own.directory / "shared"
    outside.mkdir()
    own.profile("shared", sandbox={"readable": [str(outside)]})
    script = f"mount -t tmpfs host {outside} && mount --make-rshared / && exec \"$@\""
    with sandbox.Run(own, "shared", ["/bin/sleep", "60"], prefix=["unshare", "--mount", "/bin/sh", "-c", script, "sh"]) as running:
        wait_until(lambda: command_of(running.worker_pid) == "/bin/sleep 60", 10, f"no worker: {running.stderr}")
        assert "shared:" in mounts_of(running.launcher_pid)[str(outside)], "the host does share"
        assert not [line for line in mounts_of(running.worker_pid).values() if "shared:" in line or "master:" in line]
        subprocess.run(["nsenter", f"--mount=/proc/{running.launcher_pid}/ns/mnt", "mount", "-t", "tmpfs", "late", str(outside)], check=True)
        assert not [line for line in mounts_of(running.worker_pid).values() if "late" in line]
        assert not [line for line in mounts_of(running.launcher_pid).values() if " - tmpfs sandbox " in line], "and none goes out"


def test_only_the_workers_end_is_the_ends_that_init_reports(own):
    """Others that init reaps end before it."""
    done = sandbox.run(own, "plain", ["/bin/sh", "-c", "for i in 1 2 3; do (sh -c 'exit 9' &) ; done; sleep 0.3; exit 4"])
    assert done.code == 4 and done.status[0]["code"] == 4, done
