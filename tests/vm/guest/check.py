#!/usr/bin/python3
"""Runs inside the virtual machine, as root: what needs a kernel of its own. Each function below is one check, in order; its name is
the sentence that is printed."""
import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import time

import machine
from machine import run, state_of, wait_until

machine.PATIENCE = 8
machine.CHECK_WITHIN = 300
PROFILES = pathlib.Path("/etc/sallyport/profiles")
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def write_profile(name, text):
    path = PROFILES / f"{name}.toml"
    path.write_text(text)
    path.chmod(0o644)


HANDLER = """#!/bin/sh
echo "$2 $3" >>/out/cores
"""
CRASH = "kill -SEGV $$"


def handled(act):
    """Of which programs the host's core handler was run, as root, while `act` ran. Once it has been run for a crash of a program of the
    host's after that: so that nothing is found where there is no handler is no success."""
    found = pathlib.Path("/out/cores")
    found.unlink(missing_ok=True)
    act()
    time.sleep(2)  # the kernel starts it beside the end
    crash_of_the_host(0, "/bin/bash")
    wait_until(lambda: found.exists() and "0 bash" in found.read_text().splitlines(), 10, "the core handler is run for that crash")
    return [line for line in found.read_text().splitlines() if line != "0 bash"]


def crash_of_the_host(limit, program="/bin/sh"):
    run("prlimit", f"--core={limit}:{limit}", program, "-c", CRASH, check=False)


OF_THE_HOST = """
import time
held = bytearray(40 << 20)
print("up", flush=True)
time.sleep(600)
"""
EATER = """
import os
held = os.memfd_create("held")  # not in what it is seen to have
while True: os.write(held, bytes(1 << 20))
"""
SHORT_OF_MEMORY = """
import json, pathlib, subprocess, sys
score = pathlib.Path("/proc/self/oom_score_adj")
score.write_text("-1000")  # it is to tell of the others
as_usual = {{"preexec_fn": lambda: score.write_text("0")}}
of_the_host = [subprocess.Popen([sys.executable, "-c", {of_the_host!r}], stdout=subprocess.PIPE, **as_usual) for _ in range(3)]
for process in of_the_host: process.stdout.readline()
ended = subprocess.run({command!r}, **as_usual).returncode
print(json.dumps([sum(process.poll() is None for process in of_the_host), ended]))
for process in of_the_host: process.kill()
"""


def beside_the_host(*command):
    """How many of three processes of the host outlive a command for which there is too little memory, and how that ended."""
    script = SHORT_OF_MEMORY.format(of_the_host=OF_THE_HOST, command=command)
    return json.loads(run("systemd-run", "--quiet", "--pipe", "--wait", "-p", "MemoryMax=256M", "-p", "MemorySwapMax=0",
                          "-p", "OOMPolicy=continue", "/usr/bin/python3", "-c", script).splitlines()[-1])


PLACE = """
import ctypes, os, resource
libc = ctypes.CDLL(None)
read = lambda name: open("/proc/self/" + name).read()
flags = int(read("stat").rpartition(")")[2].split()[6])
def may(act):
    try: act()
    except OSError: return "may not"
    return "may"
print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), libc.syscall(252, 1, 0) >> 13, read("personality").strip(),
      read("timerslack_ns").strip(), read("oom_score_adj").strip(), resource.getrlimit(resource.RLIMIT_RTPRIO)[1],
      resource.getrlimit(13)[1], flags >> 19 & 1, may(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))),
      may(lambda: os.setpriority(os.PRIO_PROCESS, 0, -11)), sep="|")
"""
# What ADDR_NO_RANDOMIZE, PR_SET_IO_FLUSHER and PR_SET_TIMERSLACK leave to whatever is started.
GIVES = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
assert libc.personality(0x40000) >= 0 and libc.prctl(57, 1, 0, 0, 0) == 0 and libc.prctl(29, 1, 0, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


def as_one_before_others(*command):
    return run("systemd-run", "--quiet", "--pipe", "--wait", "-p", "CPUSchedulingPolicy=fifo", "-p", "CPUSchedulingPriority=10",
               "-p", "IOSchedulingClass=realtime", "-p", "Nice=-10", "-p", "LimitRTPRIO=99", "-p", "LimitNICE=40",
               "-p", "OOMScoreAdjust=-900", "/usr/bin/python3", "-c", GIVES, *command)


HOLD = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
held = []
for _ in range(40):  # pairs, each filled by what nobody reads
    client = socket.socket()
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF): client.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    client.connect(server.getsockname())
    held += [client, server.accept()[0]]
    client.setblocking(False)
    try:
        while True: client.send(bytes(1 << 16))
    except BlockingIOError: pass
print("full", flush=True)
time.sleep(600)
"""


def pages_of_tcp():
    """Of the whole host."""
    return int(re.search(r"^TCP: .* mem (\d+)$", pathlib.Path("/proc/net/sockstat").read_text(), re.M)[1])


def pages_taken_by(*command):
    """While a program that holds what it can has run; or what it said where it could not."""
    before = pages_of_tcp()
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = holder.stdout.readline()
        return pages_of_tcp() - before if said == "full\n" else said + holder.stdout.read()
    finally:
        holder.terminate()
        holder.wait(60)


DIALS = """
import socket
print("here", flush=True)
while True:  # each waits for as long as a dialer may
    with socket.create_connection(("127.0.0.1", 7000)) as upstream: upstream.recv(1)
"""


@contextlib.contextmanager
def processes_of_a_session():
    """{what it is: pid}, the dialer among them: its upstream takes no more connections, so it waits."""
    write_profile("held", f"""
[worker]
command = ["/usr/bin/python3", "-c", {json.dumps(DIALS)}]
[docker]
allow = ["run", "stop", "remove", "observe"]
images = ["busybox:*"]
[[forward]]
listen = "127.0.0.1:7000"
to = "unix:/run/full.sock"
""")
    pathlib.Path("/run/full.sock").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind("/run/full.sock")
        os.chmod("/run/full.sock", 0o666)
        full.listen(0)
        first.connect("/run/full.sock")
        session = subprocess.Popen(["sallyport", "run", "held"], stdout=subprocess.PIPE, text=True)
        try:
            assert session.stdout.readline() == "here\n"
            keeper = pwd.getpwnam("sallyport").pw_uid

            def found():
                parts = {}
                for pid, uid, name in machine.processes():
                    if name == "sallyport-broke":
                        parts[{0: "spawner", keeper: "keeper"}.get(uid, "dialer")] = pid
                    elif name in ("sallyport-gate", "sallyport-relay"):
                        parts[name.removeprefix("sallyport-")] = pid
                    elif name == "sallyport":
                        parts["launcher" if uid == 0 else "init"] = pid
                return parts if len(parts) == 7 else None
            yield wait_until(found, 10, lambda: f"launcher, init, gate, relay, dialer, keeper and spawner: {machine.processes()}")
        finally:
            session.terminate()
            session.wait(120)


# Has a process go on at address 0, in no call.
FAULT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
SEIZE, INTERRUPT, POKEUSER, DETACH = 0x4206, 0x4207, 6, 17
ORIG_RAX, RIP = 15 * 8, 16 * 8
assert libc.ptrace(SEIZE, pid, None, None) == 0 and libc.ptrace(INTERRUPT, pid, None, None) == 0, ctypes.get_errno()
os.waitpid(pid, 0x40000000)
assert libc.ptrace(POKEUSER, pid, ORIG_RAX, 2 ** 64 - 1) == 0 and libc.ptrace(POKEUSER, pid, RIP, 0) == 0, ctypes.get_errno()
assert libc.ptrace(DETACH, pid, None, None) == 0
"""


def fault(pid):
    run("/usr/bin/python3", "-c", FAULT, str(pid))


def crash(part):
    """By a fault of its own: a signal that is sent does nothing to PID 1 of a namespace, as gate and relay are."""
    with processes_of_a_session() as parts:
        fault(parts[part])
        wait_until(lambda: not pathlib.Path(f"/proc/{parts[part]}").exists(), 10, f"{part} ends")
    run("systemctl", "restart", "sallyport-broker")


# --- the checks ---

def the_hierarchy_is_version_2_with_its_controllers():
    assert run("stat", "-fc", "%T", str(CGROUPS)) == "cgroup2fs"
    controllers = (CGROUPS / "cgroup.controllers").read_text().split()
    assert {"cpu", "memory", "pids", "io"} <= set(controllers), controllers


def dockerd_runs_with_its_bridge_and_the_systemd_driver():
    info = machine.docker_with_busybox()
    assert info["MemoryLimit"] and info["PidsLimit"] and info["CpuCfsQuota"], info
    assert pathlib.Path("/sys/class/net/docker0").exists()


def the_broker_starts():
    run("systemd-sysusers")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "sallyport-broker")
    assert state_of("sallyport-broker") == "active"


WORKER = """
import docker
client = docker.from_env(timeout=300)
held = client.containers.run("busybox", ["sleep", "1000"], detach=True)
limits = client.containers.run("busybox", ["sh", "-c",
    "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max /proc/self/oom_score_adj"])
print("limits", limits.decode().split(), flush=True)
eater = client.containers.create("busybox", ["tail", "/dev/zero"])
eater.start()
print("eater", eater.wait()["StatusCode"], eater.id, flush=True)
"""


def limits_of_containers_are_the_kernels_and_one_that_eats_memory_is_killed_alone():
    write_profile("limits", f"""
[worker]
command = ["/usr/bin/python3", "-c", {json.dumps(WORKER)}]
[limits]
pids = 64
[docker]
allow = ["run", "stop", "remove", "observe"]
images = ["busybox:*"]
[docker.container]
memory = "32MiB"
pids = 20
cpus = 0.5
""")
    said = run("sallyport", "run", "limits")
    assert "limits ['33554432', '20', '50000', '100000', '1000']" in said, said
    ended = re.search(r"eater 137 ([0-9a-f]{64})", said)
    assert ended, said
    # the kernel's own word: State.OOMKilled is lost where the cgroup is removed before containerd reads its events
    assert re.search(rf"constraint=CONSTRAINT_MEMCG,.*oom_memcg=\S*{ended[1]}", run("dmesg")), run("dmesg")[-4000:]
    assert not run("docker", "ps", "-aq"), "its session left a container"
    assert not re.search(r"sallyport-[0-9a-f]{12}", run("find", str(CGROUPS), "-type", "d", "-name", "sallyport-*")), "or a cgroup"
    assert state_of("sallyport-broker") == "active"


def the_attack_works_a_crash_at_a_limit_of_0_has_the_kernel_run_the_core_handler_and_one_at_1_has_not():
    handler = pathlib.Path("/usr/local/sbin/core-handler")
    handler.write_text(HANDLER)
    handler.chmod(0o755)
    pathlib.Path("/proc/sys/kernel/core_pattern").write_text(f"|{handler} %p %u %e")
    assert handled(lambda: crash_of_the_host(0)) == ["0 sh"]
    assert handled(lambda: crash_of_the_host(1)) == []


def a_crash_of_the_worker_runs_no_core_handler():
    write_profile("crash", f"""
[worker]
command = ["/bin/sh", "-c", {json.dumps(CRASH)}]
""")
    assert handled(lambda: run("sallyport", "run", "crash", check=False)) == []


def nor_one_of_a_launcher_whose_caller_has_a_limit_of_0():
    """As root it has the capability to raise it."""
    assert handled(lambda: run("prlimit", "--core=0:0", "sallyport", "run", "crash", check=False)) == []


def without_the_capability_the_caller_is_told_and_the_worker_runs():
    write_profile("word", """
[worker]
command = ["/bin/echo", "it runs"]
""")
    done = subprocess.run(["prlimit", "--core=0:0", "capsh", "--drop=cap_sys_resource", "--", "-c", "exec sallyport run word"],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and done.stdout == "it runs\n", done
    assert "the hard limit of core files is 0" in done.stderr and "ulimit -Hc 1" in done.stderr, done.stderr


CRASHES = """
import docker
client = docker.from_env(timeout=300)
crashed = client.containers.create("busybox", ["sh", "-c", "sh -c 'kill -SEGV $$'; echo $?"])
crashed.start()
crashed.wait()
print("ended", crashed.logs().decode().split(), flush=True)
"""


def a_crash_in_a_container_runs_no_core_handler():
    write_profile("crashes", f"""
[worker]
command = ["/usr/bin/python3", "-c", {json.dumps(CRASHES)}]
[docker]
allow = ["run", "stop", "remove", "observe"]
images = ["busybox:*"]
[docker.container]
memory = "32MiB"
""")
    said = []
    assert handled(lambda: said.append(run("sallyport", "run", "crashes"))) == []
    assert "'139'" in said[0], said


def processes_of_the_broker_and_of_a_session_have_that_limit():
    with processes_of_a_session() as parts:
        limits = {}
        for part, pid in parts.items():
            text = pathlib.Path(f"/proc/{pid}/limits").read_text()
            limits[part] = re.search(r"Max core file size +(\S+) +(\S+)", text).groups()
        assert set(limits.values()) == {("1", "1")}, limits


def and_a_crash_of_each_runs_no_core_handler():
    """They are not dumpable either, which alone would do; a library or a debugger may change that, and the limit nobody can."""
    asleep = subprocess.Popen(["prlimit", "--core=0:0", "sleep", "600"])
    wait_until(lambda: pathlib.Path(f"/proc/{asleep.pid}/comm").read_text() == "sleep\n", 10, "sleep runs")
    assert handled(lambda: (fault(asleep.pid), asleep.wait(60))) == ["0 sleep"], "the attack works, so this is a crash"
    for part in ("dialer", "relay", "gate", "keeper", "spawner"):
        assert handled(lambda part=part: crash(part)) == [], part


def the_attack_works_one_that_eats_memory_outlives_the_processes_of_the_host():
    assert beside_the_host("/usr/bin/python3", "-c", EATER) == [0, -9]


def a_worker_that_eats_memory_dies_alone():
    write_profile("eater", f"""
[worker]
command = ["/usr/bin/python3", "-c", {json.dumps(EATER)}]
""")
    assert beside_the_host("sallyport", "run", "eater") == [3, 137]


def and_cannot_take_back_its_place():
    done = subprocess.run(["sallyport", "run", "eater", "--", "/bin/sh", "-c", "echo 999 >/proc/self/oom_score_adj"],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode != 0 and "rror" in done.stderr, done
    run("sallyport", "run", "eater", "--", "/bin/sh", "-c", "echo 1000 >/proc/self/oom_score_adj")  # the file can be written


def the_attack_works_what_a_caller_has_before_others_comes_with_exec():
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    said = as_one_before_others(*user, "/usr/bin/python3", "-c", PLACE).split("|")
    assert said[0] == "1" and said[2:4] == ["1", "00040000"] and said[5:] == ["-900", "99", "40", "1", "may", "may"], said


def nothing_of_it_reaches_the_worker():
    write_profile("place", f"""
[worker]
command = ["/usr/bin/python3", "-c", {json.dumps(PLACE)}]
""")
    said = as_one_before_others("sallyport", "run", "place").split("|")
    assert said[:2] == ["0", "0"] and said[2] != "1", said
    assert said[3:] == ["00000000", "50000", "1000", "0", "0", "0", "may not", "may not"], said


def sockets_that_nobody_reads_take_memory_of_the_hosts_tcp_a_worker_with_a_loopback_much_less_and_one_without_none():
    taken = pages_taken_by("/usr/bin/python3", "-c", HOLD)
    for name, loopback in (("hold", ""), ("looped", "[sandbox]\nloopback = true\n")):
        write_profile(name, f"[worker]\ncommand = ['/usr/bin/python3', '-c', {json.dumps(HOLD)}]\n{loopback}")
    within_bounds = pages_taken_by("sallyport", "run", "looped")
    assert isinstance(taken, int) and isinstance(within_bounds, int) and within_bounds * 3 < taken, (taken, within_bounds)
    assert "Address family not supported" in pages_taken_by("sallyport", "run", "hold")


machine.run_checks(globals(), first=the_hierarchy_is_version_2_with_its_controllers)
