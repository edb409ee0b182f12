#!/usr/bin/python3
"""Runs inside the booted machine, as root: install, start, a worker runs a container, stop, nothing is left.

Each function below is one check, in order; its name is the sentence that is printed.
"""
import json
import os
import pathlib
import pwd
import re
import subprocess

import machine
from machine import journal_of, main_pid, processes, run, state_of, status_of, wait_until

UNIT = "sallyport-worker@check"
PROFILE_DIRECTORY = pathlib.Path("/etc/sallyport/profiles")
WORKER = """
import sys, docker, time
client = docker.from_env(timeout=30)
if "%s" == "once":
    print("container says", client.containers.run("busybox", ["echo", "hello"], remove=True).decode().strip(), flush=True)
held = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="held")
print("holding", held.id, flush=True)
time.sleep(1000)
"""
UID_FIRST, UID_LAST = 200_000, 265_535


def restarts(unit):
    return int(run("systemctl", "show", "-P", "NRestarts", unit))


def redis_ids():
    entry = pwd.getpwnam("redis")
    return entry.pw_uid, entry.pw_gid


def of_sessions():
    return [one for one in processes() if UID_FIRST <= one[1] <= UID_LAST or one[2] in ("sallyport", "sallyport-gate", "sallyport-relay")]


def containers():
    return run("docker", "ps", "-aq", "--no-trunc").split()


def slices():
    units = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "sallyport-*.slice", "docker-*.scope")
    directories = [str(path) for path in pathlib.Path("/sys/fs/cgroup").rglob("sallyport-*")
                   if path.is_dir() and re.search(r"sallyport-[0-9a-f]{12}", path.name)]
    return [line for line in units.splitlines() if line] + directories


def mounts():
    """Where something of sallyport's, or of a container, is mounted."""
    points = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if "sallyport" in point or point.startswith("/var/lib/docker/overlay2/")]


def runtime_files():
    return sorted(str(path.relative_to("/run/sallyport")) for path in pathlib.Path("/run/sallyport").rglob("*"))


def left_behind():
    return {"processes": of_sessions(), "containers": containers(), "slices": slices(), "mounts": mounts()}


def nothing_is_left():
    return not any(left_behind().values())


def write_profile(name, mode):
    path = PROFILE_DIRECTORY / f"{name}.toml"
    path.write_text(f"""
[worker]
command = ["/usr/bin/python3", "-c", {json.dumps(WORKER % mode)}]
[limits]
pids = 64
[docker]
allow = ["run", "stop", "remove", "observe"]
images = ["busybox:*"]
[docker.container]
memory = "64MiB"
""")
    path.chmod(0o644)


def alone(name, command, limits=""):
    """A worker without a broker, as a unit."""
    path = PROFILE_DIRECTORY / f"{name}.toml"
    path.write_text(f"[worker]\ncommand = {json.dumps(command)}\n[limits]\npids = 16\n{limits}")
    path.chmod(0o644)
    return f"sallyport-worker@{name}"


# --- the checks ---

def proc_sys_is_writable_as_on_a_real_host():
    # Only now, when systemd has started: as PID 1 it would raise file-max for the kernel that we share with the host.
    run("mount", "-o", "remount,rw,bind", "/proc/sys")
    options = [line.split()[5] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4] == "/proc/sys"]
    assert options and all(one.startswith("rw") for one in options), options


def the_installed_units_verify_and_the_keeper_has_its_user():
    run("systemd-sysusers")
    assert pwd.getpwnam("sallyport").pw_uid not in (0, None)
    run("systemctl", "daemon-reload")
    said = subprocess.run(["systemd-analyze", "verify", "sallyport-broker.service", "sallyport-worker@worker.service"],
                          capture_output=True, text=True, timeout=60)
    assert said.returncode == 0 and "sallyport" not in said.stderr, said.stderr


def a_second_install_would_find_an_operators_configuration():
    for path in ("/etc/sallyport/broker.toml", "/etc/sallyport/profiles/worker.toml"):
        status = os.stat(path)
        assert status.st_uid == 0 and status.st_mode & 0o022 == 0, path
    assert os.readlink("/usr/bin/sallyport-run") == "sallyport"


def the_shipped_profile_can_be_planned():
    run("groupadd", "-f", "redis")
    plan = run("sallyport", "plan", "worker")
    assert "rq" in plan, plan


def dockerd_runs_with_the_systemd_cgroup_driver():
    machine.docker_with_busybox()


def the_broker_starts_and_says_that_it_is_ready():
    run("systemctl", "start", "sallyport-broker")
    assert state_of("sallyport-broker") == "active"
    assert run("systemctl", "show", "-P", "Type", "sallyport-broker") == "notify"
    assert run("systemctl", "show", "-P", "TasksMax", "sallyport-broker") == "infinity", "sandboxes are among its tasks"
    assert os.path.exists("/run/sallyport/broker.sock")


def the_keeper_is_its_own_user_with_the_group_of_docker_and_no_capability():
    keeper = [pid for pid, uid, name in processes() if uid == pwd.getpwnam("sallyport").pw_uid and name == "sallyport-broke"]
    assert len(keeper) == 1, processes()
    status = status_of(keeper[0])
    docker_group = os.stat("/run/docker.sock").st_gid
    assert status["Groups"].split() == [str(docker_group)], status["Groups"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, (name, status[name])
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status


def the_spawner_keeps_few_capabilities_and_not_the_docker_socket():
    kept = {"DAC_OVERRIDE": 1, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21}
    pid = main_pid("sallyport-broker")
    status = status_of(pid)
    for name in ("CapPrm", "CapBnd"):
        assert int(status[name], 16) == sum(1 << bit for bit in kept.values()), (name, status[name])
    peers = run("ss", "-xp", "state", "connected")
    assert not [line for line in peers.splitlines() if "docker.sock" in line and f"pid={pid}," in line], peers


def a_worker_runs_a_container():
    write_profile("check", "once")
    run("systemctl", "start", UNIT)
    wait_until(lambda: "holding" in journal_of(UNIT) or restarts(UNIT), 40, lambda: journal_of(UNIT))
    said = journal_of(UNIT)
    assert "container says hello" in said, said


def its_container_lives_in_the_slice_of_its_session():
    held = containers()
    assert len(held) == 1, held
    inspected = json.loads(run("docker", "inspect", held[0]))[0]
    parent = inspected["HostConfig"]["CgroupParent"]
    assert re.fullmatch(r"sallyport-[0-9a-f]{12}\.slice", parent), parent
    assert state_of(parent) == "active"
    cgroup = pathlib.Path(f"/proc/{inspected['State']['Pid']}/cgroup").read_text()
    assert parent in cgroup, cgroup
    assert inspected["Name"].startswith(f"/sp-{parent[10:22]}-held"), inspected["Name"]


def reloading_the_broker_opens_its_trail_anew_and_ends_no_session():
    held, trail = containers(), pathlib.Path("/var/log/sallyport/audit.jsonl")
    trail.rename("/var/log/sallyport/moved")
    run("systemctl", "reload", "sallyport-broker")
    wait_until(trail.exists, 10, lambda: journal_of("sallyport-broker"))
    assert containers() == held and state_of(UNIT) == state_of("sallyport-broker") == "active"
    pathlib.Path("/var/log/sallyport/moved").rename(trail)  # where later checks read
    run("systemctl", "reload", "sallyport-broker")


def the_worker_has_no_capability_and_a_uid_of_the_span():
    workers = [one for one in of_sessions() if one[2] == "python3"]
    assert workers and all(UID_FIRST <= uid <= UID_LAST for _, uid, _ in workers), of_sessions()
    status = status_of(workers[0][0])
    assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status


def stopping_the_worker_leaves_nothing():
    run("systemctl", "stop", UNIT)
    wait_until(nothing_is_left, 10, left_behind)
    assert state_of("sallyport-broker") == "active"
    assert state_of(UNIT) == "inactive", "a worker that ends because it is stopped has not failed"


def what_a_worker_prints_chooses_no_priority():
    unit = alone("forger", ["/bin/sh", "-c", "echo '<0>forged'; exec sleep 60"])
    run("systemctl", "start", unit)
    try:
        wait_until(lambda: "forged" in journal_of(unit), 10, lambda: journal_of(unit))
        entries = [json.loads(line) for line in run("journalctl", "--no-pager", "-o", "json", "-u", unit).splitlines()]
        (forged,) = [entry for entry in entries if "forged" in str(entry["MESSAGE"])]
        assert forged["MESSAGE"] == "<0>forged" and forged["PRIORITY"] == "6", forged
    finally:
        run("systemctl", "stop", unit)


def a_worker_whose_time_is_up_says_so_and_is_started_again():
    unit = alone("timed", ["/bin/sleep", "60"], 'time = "1s"\n')
    run("systemctl", "start", unit)
    try:
        wait_until(lambda: restarts(unit), 20, lambda: journal_of(unit))
        said = journal_of(unit)
        assert "the worker's time is up (limits.time, 1 s)" in said and "status=124" in said, said
    finally:
        run("systemctl", "stop", unit)


def the_units_are_as_hardened_as_was_tried():
    for unit, most in (("sallyport-broker.service", 5.1), (f"{UNIT}.service", 6.6)):
        said = run("systemd-analyze", "security", "--no-pager", unit)
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1])
        assert exposure <= most, (unit, exposure)


def the_shipped_profile_runs_an_rq_worker_that_does_a_job():
    os.makedirs("/run/redis", exist_ok=True)
    os.chown("/run/redis", *redis_ids())
    redis = subprocess.Popen(["redis-server", "--port", "0", "--save", "", "--unixsocket", "/run/redis/redis-server.sock",
                              "--unixsocketperm", "770"], user="redis", group="redis", cwd="/tmp",
                             stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists("/run/redis/redis-server.sock"), 10, "redis listens")
        run("systemctl", "start", "sallyport-worker@worker")
        job = """
import redis, rq, rq.serializers, time
queue = rq.Queue("evaluations", connection=redis.Redis(unix_socket_path="/run/redis/redis-server.sock"), serializer=rq.serializers.JSONSerializer)
job = queue.enqueue("operator.add", 2, 3)
while job.get_status() not in ("finished", "failed"): time.sleep(0.1)
print("result", job.result)
"""
        said = run("timeout", "30", "/usr/bin/python3", "-c", job)
        assert said == "result 5", said + journal_of("sallyport-worker@worker")
        run("systemctl", "stop", "sallyport-worker@worker")
        wait_until(nothing_is_left, 10, left_behind)
    finally:
        redis.kill()
        redis.wait()


def a_broker_that_is_killed_ends_its_sessions_and_the_next_one_reaps():
    run("systemctl", "start", UNIT)
    wait_until(lambda: len(containers()) == 1, 40, lambda: journal_of(UNIT))
    first = containers()[0]
    before = main_pid("sallyport-broker")
    os.kill(before, 9)
    # systemd restarts the broker, and the worker, whose session ended with the old one, runs again.
    wait_until(lambda: state_of("sallyport-broker") == "active" and main_pid("sallyport-broker") not in (0, before), 20,
               lambda: journal_of("sallyport-broker"))
    wait_until(lambda: containers() and first not in containers(), 30,
               lambda: f"{containers()} {journal_of(UNIT)}")
    run("systemctl", "stop", UNIT)
    wait_until(nothing_is_left, 15, left_behind)


def stopping_the_broker_under_a_worker_leaves_nothing():
    run("systemctl", "start", UNIT)
    wait_until(lambda: len(containers()) == 1, 40, lambda: journal_of(UNIT))
    run("systemctl", "stop", UNIT, "sallyport-broker")
    wait_until(nothing_is_left, 15, left_behind)
    assert not [one for one in processes() if one[2].startswith("sallyport")], processes()


def the_audit_trail_is_there_and_can_be_read():
    trail = run("sallyport", "audit")
    lines = trail.splitlines()
    others = [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| (ALLOW|DENY ) \| ", line)]
    assert lines and not others, others
    assert any("POST /containers/create" in line for line in lines), trail[:2000]
    status = os.stat("/var/log/sallyport")
    assert status.st_mode & 0o007 == 0, oct(status.st_mode)


def only_empty_places_and_uid_locks_are_left_in_the_runtime_directory():
    left = [name for name in runtime_files() if not re.fullmatch(r"uids(/\d+)?|empty|broker\.sock", name)]
    assert not left, left


machine.run_checks(globals(), first=proc_sys_is_writable_as_on_a_real_host)
