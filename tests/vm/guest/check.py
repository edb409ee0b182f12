#!/usr/bin/python3
"""Runs inside the virtual machine, as root: what needs a kernel of its own. Each function below is one check, in order; its name is
the sentence that is printed."""
import json
import os
import pathlib
import re
import subprocess

import machine
from machine import run, state_of, wait_until

machine.PATIENCE = 8
PROFILES = pathlib.Path("/etc/sallyport/profiles")
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def write_profile(name, text):
    path = PROFILES / f"{name}.toml"
    path.write_text(text)
    path.chmod(0o644)


# --- the checks ---

def the_hierarchy_is_version_2_with_its_controllers():
    assert run("stat", "-fc", "%T", str(CGROUPS)) == "cgroup2fs"
    controllers = (CGROUPS / "cgroup.controllers").read_text().split()
    assert {"cpu", "memory", "pids", "io"} <= set(controllers), controllers


def dockerd_runs_with_its_bridge_and_the_systemd_driver():
    wait_until(lambda: subprocess.run(["docker", "info"], capture_output=True).returncode == 0, 40, "docker info answers")
    info = json.loads(run("docker", "info", "--format", "{{json .}}"))
    assert (info["CgroupDriver"], info["CgroupVersion"]) == ("systemd", "2"), info
    assert info["MemoryLimit"] and info["PidsLimit"] and info["CpuCfsQuota"], info
    assert pathlib.Path("/sys/class/net/docker0").exists()
    image = "/tmp/busybox-root"
    os.makedirs(f"{image}/bin")
    run("cp", "/bin/busybox", f"{image}/bin/busybox")
    for name in ("sh", "echo", "sleep", "true", "cat", "tail"):
        os.symlink("busybox", f"{image}/bin/{name}")
    run("sh", "-c", f"tar -C {image} -c . | docker import - busybox:latest")


def the_broker_starts():
    run("systemd-sysusers")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "sallyport-broker")
    assert state_of("sallyport-broker") == "active"


WORKER = """
import docker
client = docker.from_env(timeout=300)
held = client.containers.run("busybox", ["sleep", "1000"], detach=True)
limits = client.containers.run("busybox", ["sh", "-c", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max"])
print("limits", limits.decode().split(), flush=True)
eater = client.containers.create("busybox", ["tail", "/dev/zero"])
eater.start()
print("eater", eater.wait()["StatusCode"], flush=True)
eater.reload()
print("killed", eater.attrs["State"]["OOMKilled"], flush=True)
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
    assert "limits ['33554432', '20', '50000', '100000']" in said, said
    assert "eater 137" in said and "killed True" in said, said
    assert not run("docker", "ps", "-aq"), "its session left a container"
    assert not re.search(r"sallyport-[0-9a-f]{12}", run("find", str(CGROUPS), "-type", "d", "-name", "sallyport-*")), "or a cgroup"
    assert state_of("sallyport-broker") == "active"


machine.run_checks(globals(), first=the_hierarchy_is_version_2_with_its_controllers)
