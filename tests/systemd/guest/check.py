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
import time

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
UID_FIRST, UID_LAST = 2_000_224_256, 2_147_352_575


def restarts(unit):
    return int(run("systemctl", "show", "-P", "NRestarts", unit))


def status_text(unit):
    return run("systemctl", "show", "-P", "StatusText", unit)


def entries_of(unit):
    return [json.loads(line) for line in run("journalctl", "--no-pager", "-o", "json", "-u", unit).splitlines()]


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


def a_broker_that_is_stopped_stays_stopped_and_its_workers_wait_for_the_next():
    run("systemctl", "start", UNIT)
    wait_until(lambda: len(containers()) == 1, 40, lambda: journal_of(UNIT))
    failures = journal_of(UNIT).count("Failed with result")
    run("systemctl", "stop", "sallyport-broker")
    wait_until(lambda: status_text(UNIT).startswith("waiting: connect to the broker"), 20, lambda: journal_of(UNIT))
    assert not containers() and not slices(), left_behind()
    assert (state_of("sallyport-broker"), state_of(UNIT)) == ("inactive", "active")
    assert "the broker is stopping: the worker gets SIGTERM" in journal_of(UNIT)
    run("systemctl", "start", "sallyport-broker")
    wait_until(lambda: len(containers()) == 1 and status_text(UNIT) == "the worker runs", 40, lambda: journal_of(UNIT))
    run("systemctl", "restart", "sallyport-broker")
    wait_until(lambda: len(containers()) == 1 and status_text(UNIT) == "the worker runs", 40, lambda: journal_of(UNIT))
    assert journal_of(UNIT).count("Failed with result") == failures, "whoever watches for failed units is called for nothing"
    run("systemctl", "stop", UNIT)
    wait_until(nothing_is_left, 10, left_behind)


def a_dockerd_that_comes_late_is_waited_for():
    run("systemctl", "stop", "docker.socket", "docker.service")
    run("systemctl", "start", UNIT)
    assert status_text(UNIT).startswith("waiting: the broker refused the session: dockerd cannot be used"), status_text(UNIT)
    run("systemctl", "start", "docker.socket", "docker.service")
    wait_until(lambda: len(containers()) == 1 and status_text(UNIT) == "the worker runs", 40, lambda: journal_of(UNIT))
    run("systemctl", "stop", UNIT)
    wait_until(nothing_is_left, 10, left_behind)


def stopping_a_worker_that_waits_for_a_broker_is_no_failure():
    run("systemctl", "stop", "sallyport-broker")
    run("systemctl", "start", UNIT)
    assert status_text(UNIT).startswith("waiting: connect to the broker"), status_text(UNIT)
    run("systemctl", "stop", UNIT)
    assert state_of(UNIT) == "inactive", journal_of(UNIT)
    run("systemctl", "start", "sallyport-broker")


def what_is_wrong_in_a_profile_fails_the_start_and_is_not_tried_again():
    for name, text in (("typo", "[worker]\ncomand = ['x']\n"), ("nowhere", "[worker]\ncommand = ['/nosuch']\n"), ("missing", None)):
        if text:
            (PROFILE_DIRECTORY / f"{name}.toml").write_text(text)
        unit = f"sallyport-worker@{name}"
        started = subprocess.run(["systemctl", "start", unit], capture_output=True, text=True, timeout=60)
        assert started.returncode != 0 and state_of(unit) == "failed", (name, started, journal_of(unit))
        time.sleep(3)  # longer than its RestartSec
        assert (state_of(unit), restarts(unit)) == ("failed", 0), journal_of(unit)
        run("systemctl", "reset-failed", unit)


def what_is_wrong_in_broker_toml_fails_the_start_and_is_not_tried_again():
    config = pathlib.Path("/etc/sallyport/broker.toml")
    before = config.read_text()
    run("systemctl", "stop", "sallyport-broker")
    config.write_text(before + "max_session = 3\n")
    try:
        started = subprocess.run(["systemctl", "start", "sallyport-broker"], capture_output=True, text=True, timeout=60)
        time.sleep(3)
        assert started.returncode != 0 and (state_of("sallyport-broker"), restarts("sallyport-broker")) == ("failed", 0)
    finally:
        config.write_text(before)
        run("systemctl", "reset-failed", "sallyport-broker")
        run("systemctl", "start", "sallyport-broker")


def one_profile_has_many_workers():
    alone("many", ["/bin/sleep", "60"])
    units = [f"sallyport-worker@many:{number}" for number in (1, 2)]
    run("systemctl", "start", *units)
    assert [state_of(unit) for unit in units] == ["active", "active"]
    run("systemctl", "stop", *units)


def the_time_to_stop_follows_the_profile():
    """The unit's own would be over after two seconds, and the attack is that it is."""
    drop_in = pathlib.Path("/run/systemd/system/sallyport-worker@.service.d/short.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nTimeoutStopSec=2s\n")
    run("systemctl", "daemon-reload")
    slow = ["/bin/sh", "-c", "trap 'sleep 5; exit 0' TERM; while :; do sleep 0.1; done"]
    try:
        for limits, ends in (("", "failed"), ('grace = "20s"\n', "inactive")):
            unit = alone("slow", slow, limits)
            run("systemctl", "start", unit)
            time.sleep(0.5)  # until its shell has set the trap
            run("systemctl", "stop", unit)
            assert state_of(unit) == ends, (limits, journal_of(unit))
            subprocess.run(["systemctl", "reset-failed", unit], capture_output=True, timeout=30)
    finally:
        drop_in.unlink()
        run("systemctl", "daemon-reload")


def a_broker_that_stops_waits_for_its_workers_however_short_its_own_time_is():
    drop_in = pathlib.Path("/run/systemd/system/sallyport-broker.service.d/short.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nTimeoutStopSec=2s\n")
    run("systemctl", "daemon-reload")
    name, slow = "patient", "trap 'sleep 6; echo ended in order; exit 0' TERM; while :; do sleep 0.1; done"
    (PROFILE_DIRECTORY / f"{name}.toml").write_text(f"""
[worker]
command = ["/bin/sh", "-c", {json.dumps(slow)}]
[limits]
grace = "20s"
[docker]
allow = ["run"]
images = ["busybox:*"]
""")
    unit = f"sallyport-worker@{name}"
    try:
        run("systemctl", "start", unit)
        time.sleep(0.5)
        run("systemctl", "stop", "sallyport-broker")
        assert state_of("sallyport-broker") == "inactive", journal_of("sallyport-broker")
        assert "ended in order" in journal_of(unit), journal_of(unit)
    finally:
        run("systemctl", "stop", unit)
        drop_in.unlink()
        run("systemctl", "daemon-reload")
        run("systemctl", "start", "sallyport-broker")


def our_own_lines_have_priority_and_fields_that_a_worker_cannot_give_its_own():
    unit = alone("forger", ["/bin/sh", "-c", "echo 'sallyport: forged'; printf 'x\\nSALLYPORT_PROFILE=other\\n'; exec sleep 60"],
                 'time = "1s"\n')
    run("systemctl", "start", unit)
    try:
        wait_until(lambda: "time is up" in journal_of(unit), 20, lambda: journal_of(unit))
        entries = entries_of(unit)
        (own,) = [entry for entry in entries if "time is up" in str(entry["MESSAGE"])][:1]
        assert (own["PRIORITY"], own["SALLYPORT_PROFILE"], own["SYSLOG_IDENTIFIER"]) == ("4", "forger", "sallyport"), own
        for entry in entries:
            if "forged" in str(entry["MESSAGE"]) or "SALLYPORT_PROFILE=" in str(entry["MESSAGE"]):
                assert "SALLYPORT_PROFILE" not in entry and entry["PRIORITY"] == "6", entry
    finally:
        run("systemctl", "stop", unit)
    of_broker = [entry for entry in entries_of("sallyport-broker") if " begins: profile " in str(entry["MESSAGE"])]
    assert of_broker and all(entry["SALLYPORT_SESSION"] in entry["MESSAGE"] and entry["PRIORITY"] == "6"
                             and entry["SALLYPORT_PROFILE"] in entry["MESSAGE"] for entry in of_broker), of_broker[:2]


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


def the_units_are_enabled_for_the_next_boot():
    """The worker first, as it may well come: nothing but its own waiting brings it behind the broker."""
    write_profile("check", "boot")
    # As the first check, but before there is anything to see it.
    pathlib.Path("/etc/systemd/system/proc-sys.service").write_text(f"""
[Unit]
Before=docker.service sallyport-broker.service {UNIT}.service
[Service]
Type=oneshot
ExecStart=mount -o remount,rw,bind /proc/sys
[Install]
WantedBy=multi-user.target
""")
    run("systemctl", "enable", "proc-sys", UNIT, "sallyport-broker", "docker")
    machine.boot_again()


def after_a_boot_broker_and_worker_run():
    wait_until(lambda: state_of("sallyport-broker") == "active" and status_text(UNIT) == "the worker runs", 60,
               lambda: journal_of(UNIT) + journal_of("sallyport-broker"))
    wait_until(lambda: len(containers()) == 1, 40, lambda: journal_of(UNIT))
    assert [restarts(unit) for unit in (UNIT, "sallyport-broker")] == [0, 0], journal_of(UNIT) + journal_of("sallyport-broker")


def a_dockerd_that_is_restarted_under_both_ends_neither():
    before = main_pid(UNIT), main_pid("sallyport-broker")
    run("systemctl", "restart", "docker")
    time.sleep(3)
    assert (main_pid(UNIT), main_pid("sallyport-broker")) == before, journal_of(UNIT)
    run("systemctl", "stop", UNIT)
    wait_until(nothing_is_left, 20, left_behind)


def a_worker_is_started_again_however_it_has_ended():
    for status in (0, 1, 78, 143):
        unit = alone(f"ends{status}", ["/bin/sh", "-c", f"sleep 0.2; exit {status}"])
        run("systemctl", "start", unit)
        wait_until(lambda: restarts(unit) >= 1, 20, lambda: journal_of(unit))
        run("systemctl", "stop", unit)


def what_befalls_one_worker_befalls_no_other():
    """Its unit is started again, and its session is gone before; broker and neighbour do not notice."""
    units = [f"sallyport-worker@check:{number}" for number in (1, 2)]
    run("systemctl", "start", *units)
    wait_until(lambda: all(status_text(unit) == "the worker runs" for unit in units) and len(containers()) == 2, 40,
               lambda: journal_of(units[0]))
    others = main_pid(units[1]), main_pid("sallyport-broker")
    for so_many, *what in ((1, "kill", "--signal=KILL", "--kill-whom=main"), (2, "kill", "--signal=KILL", "--kill-whom=all"),
                           (0, "restart")):
        before, its_own = main_pid(units[0]), set(containers())
        run("systemctl", *what, units[0])
        wait_until(lambda: main_pid(units[0]) not in (0, before) and status_text(units[0]) == "the worker runs"
                   and len(containers()) == 2, 40, lambda: journal_of(units[0]))
        assert len(set(containers()) & its_own) == 1, "the neighbour's alone"
        assert (main_pid(units[1]), main_pid("sallyport-broker")) == others, (what, journal_of("sallyport-broker"))
        assert restarts(units[0]) == so_many, (what, restarts(units[0]))
    run("systemctl", "stop", *units)
    wait_until(nothing_is_left, 20, left_behind)


def workers_of_one_profile_are_stopped_together_with_their_broker():
    units = [f"sallyport-worker@check:{number}" for number in (1, 2, 3)]
    run("systemctl", "start", *units)
    wait_until(lambda: all(status_text(unit) == "the worker runs" for unit in units), 40, lambda: journal_of(units[0]))
    run("systemctl", "stop", "sallyport-broker", *units)
    assert [state_of(unit) for unit in units] == ["inactive"] * 3, journal_of(units[0])
    wait_until(nothing_is_left, 20, left_behind)


if machine.has_booted_again():
    machine.run_checks(globals(), first=after_a_boot_broker_and_worker_run)
else:
    machine.run_checks(globals(), first=proc_sys_is_writable_as_on_a_real_host, before=after_a_boot_broker_and_worker_run)
