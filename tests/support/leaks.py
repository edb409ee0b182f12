"""What a session may leave behind, looked for everywhere it could be: a clean end leaves none of it."""
import fcntl
import os
import time

from .processes import all_pids, command_of, uids_of

CGROUPS = "/sys/fs/cgroup"


def _processes(first_uid, last_uid) -> list:
    found = []
    for pid in all_pids():
        if any(first_uid <= uid <= last_uid for uid in uids_of(pid)):
            found.append(f"process {pid} {command_of(pid)}")
    return found


def _cgroups(sessions) -> list:
    found = []
    for directory, names, _ in os.walk(CGROUPS):  # passes over what goes while it looks
        found += [f"cgroup {directory}/{name}" for name in names for session in sessions if f"sallyport-{session}" in name]
    return found


def _containers(dockerd, sessions) -> list:
    if dockerd is None or not dockerd.answers():
        return []
    return [f"container {c['Names']} of session {c['Labels']['sallyport.session']}" for c in dockerd.containers()
            if c["Labels"].get("sallyport.session") in sessions]


def _mounts(sessions) -> list:
    with open("/proc/self/mountinfo") as mounts:
        return [f"mount {line.split()[4]}" for line in mounts for session in sessions if session in line]


def _places(broker) -> list:
    """Uid locks that are still held, and sockets other than the control socket."""
    found = []
    for lock in (broker.runtime / "uids").glob("*"):
        with open(lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"uid range {lock.name} is still taken")
    for path in broker.runtime.rglob("*"):
        if path.is_socket() and path.name != "broker.sock":
            found.append(f"socket {path}")
    return found


def left_behind(broker, dockerd=None) -> list:
    sessions = set(broker.sessions())
    return (_processes(broker.uid_first, broker.uid_last) + _cgroups(sessions) + _containers(dockerd, sessions) +
            _mounts(sessions) + _places(broker))


def wait_until_clean(broker, dockerd=None, seconds=5.0) -> None:
    deadline = time.monotonic() + seconds
    while rest := left_behind(broker, dockerd):
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind after {seconds} s: {rest}")
        time.sleep(0.05)
