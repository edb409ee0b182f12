"""What holds for a container is what request and image make together; and what a client asked for in vain it is told."""
import os

import pytest
from support import raw_http, sandbox
from support.processes import wait_until
from test_docker_cli import NEWER, Cli

IMAGES = {
    "fd:latest": ["WORKDIR /proc/self/fd/7", 'CMD ["true"]'],
    "root:latest": ["WORKDIR /proc/1/root", 'CMD ["true"]'],
    "cgroup:latest": ["WORKDIR /sys/fs/cgroup", 'CMD ["true"]'],
    "none:latest": [],
    "whole:latest": ["WORKDIR /tmp/", 'CMD ["env"]', "ENV NVIDIA_VISIBLE_DEVICES=all", "ENV X=1", "USER root", "EXPOSE 80",
                     "HEALTHCHECK --interval=1s CMD touch /tmp/checked", "LABEL sallyport.session=forged"],
}


@pytest.fixture(scope="module")
def images(dockerd):
    for name, changes in IMAGES.items():
        dockerd.import_busybox(name, changes=changes)
    return dockerd


@pytest.fixture
def seat(broker, images):
    broker.profile("values", docker={"images": [*(f"{name}" for name in IMAGES), "busybox:*"]},
                   container={"memory": "64MiB", "cpus": 0.5, "pids": 64, "tmp": "1MiB", "log": "1MiB"},
                   budget={"creates": "600/min"})
    with sandbox.Worker(broker, "values") as worker:
        yield worker


@pytest.fixture
def cli(seat):
    """The newest that is here; each talks to the same documents."""
    return Cli(seat, NEWER if os.path.exists(NEWER) else "/usr/bin/docker")


def ask(seat, method, target, body=None):
    return raw_http.request(seat.docker_socket, method, target, body)


def made(dockerd, session) -> list:
    return [dockerd.inspect(c["Id"]) for c in dockerd.containers(**{"sallyport.session": session})]


@pytest.mark.parametrize("image", ["fd", "root", "cgroup"])
def test_the_working_directory_of_an_image_is_held_to_the_rule_of_a_clients(seat, images, image):
    plain = images.request("POST", "/v1.41/containers/create", {"Image": image, "HostConfig": {"NetworkMode": "none"}})
    assert plain.status == 201, "dockerd takes it"
    images.remove(plain.json()["Id"])
    before = images.containers()
    refused = ask(seat, "POST", "/v1.41/containers/create", {"Image": image})
    assert refused.status == 403 and "WorkingDir" in refused.json()["message"], refused
    assert f"image {image}:latest" in refused.json()["message"]
    assert images.containers() == before, "nothing was made"
    taken = ask(seat, "POST", "/v1.41/containers/create", {"Image": image, "WorkingDir": "/tmp"})
    assert taken.status == 201, taken
    (container,) = made(images, seat.broker.sessions()[-1])
    assert container["Config"]["WorkingDir"] == "/tmp"
    assert ask(seat, "DELETE", f"/v1.41/containers/{taken.json()['Id']}").status == 204


def test_all_that_an_image_says_is_overridden_or_within_the_rules(seat, images):
    reply = ask(seat, "POST", "/v1.41/containers/create", {"Image": "whole"})
    assert reply.status == 201, reply
    (warning,) = reply.json()["Warnings"]
    assert "NVIDIA_VISIBLE_DEVICES" in warning and "taken away" in warning
    session = seat.broker.sessions()[-1]
    (container,) = made(images, session)
    uid = seat.uid_base + 4
    assert container["Config"]["User"] == f"{uid}:{uid}"
    assert container["Config"]["Healthcheck"]["Test"] == ["NONE"]
    assert container["Config"]["Labels"]["sallyport.session"] == session
    identity = reply.json()["Id"]
    assert ask(seat, "POST", f"/v1.41/containers/{identity}/start").status == 204
    assert ask(seat, "POST", f"/v1.41/containers/{identity}/wait").json()["StatusCode"] == 0
    output = ask(seat, "GET", f"/v1.41/containers/{identity}/logs?stdout=1").body
    assert b"X=1" in output and b"NVIDIA" not in output, output
    assert ask(seat, "DELETE", f"/v1.41/containers/{identity}").status == 204


def test_no_command_is_said_in_dockers_words(cli):
    code, _, err = cli("run", "--rm", "none")
    assert code == 125 and "No command specified" in err and "image none:latest" in err, err
    assert cli("run", "--rm", "none", "true")[0] == 0


@pytest.mark.parametrize("command, exit_code, words", [
    (["nosuch", "x"], 127, 'the command "nosuch" was not found: executable file not found in $PATH'),
    (["/bin/nosuch"], 127, 'the command "/bin/nosuch" could not be run: no such file or directory'),
    (["/etc/passwd"], 126, 'the command "/etc/passwd" could not be run: permission denied'),
    (['no"such\x1b'], 127, r'the command "no\"such\x1b" was not found: executable file not found in $PATH'),
    (["nosuch\u00e9"], 127, "the command was not found: executable file not found in $PATH"),
])
def test_a_command_that_cannot_run_is_named(cli, command, exit_code, words):
    code, _, err = cli("run", "--rm", "busybox", *command)
    assert code == exit_code and words in err, (code, err)
    identity = cli.ok("create", "busybox", *command)
    code, _, err = cli("start", identity)
    assert code == 1 and words in err, err
    assert cli.ok("inspect", "-f", "{{.State.Error}}", identity) == words
    cli.ok("rm", identity)


def test_a_working_directory_that_is_none_is_named(cli):
    code, _, err = cli("run", "--rm", "-w", "/etc/passwd", "busybox", "true")
    assert code == 125 and 'the working directory "/etc/passwd" is not a directory' in err, err
    code, _, err = cli("run", "--rm", "-w", "/etc/passwd/x", "busybox", "true")
    assert code == 125 and 'the working directory "/etc/passwd/x" is not a directory' in err, err
    code, _, err = cli("run", "--rm", "-w", "/" + "a" * 300, "busybox", "true")
    assert code == 125 and "is too long" in err, err
    assert cli("run", "--rm", "-w", "/tmp", "busybox", "true") == (0, "", "")


def test_the_runtime_and_platform_in_force_are_accepted_and_no_others(cli, seat):
    assert cli("run", "--rm", "--runtime", "runc", "busybox", "echo", "ok") == (0, "ok\n", "")
    code, _, err = cli("run", "--rm", "--runtime", "crun", "busybox", "true")
    assert code == 125 and "the runtime is runc" in err, err
    assert cli("run", "--rm", "--platform", "linux/amd64", "busybox", "echo", "ok") == (0, "ok\n", "")
    code, _, err = cli("run", "--rm", "--pull", "never", "--platform", "linux/arm64", "busybox", "true")
    assert code == 125 and 'image busybox:latest is of "linux/amd64" here' in err, err
    seat.do("import docker; client = docker.from_env(version='1.41')")
    assert seat.do("""
result = client.containers.run('busybox', ['echo', 'ok'], remove=True, runtime='runc', platform='linux/amd64').decode()""") == "ok\n"
    with pytest.raises(sandbox.WorkerError, match="the runtime is runc"):
        seat.do("client.containers.run('busybox', ['true'], remove=True, runtime='crun')")


FLAGS = [("--user", "root", "User"), ("--memory", "1g", "HostConfig.Memory "), ("--memory-swap", "2g", "HostConfig.MemorySwap"),
         ("--memory-reservation", "10m", "HostConfig.MemoryReservation"), ("--memory-swappiness", "50", "HostConfig.MemorySwappiness"),
         ("--cpus", "2", "HostConfig.NanoCpus"), ("--cpu-period", "50000", "HostConfig.CpuPeriod"), ("--cpu-shares", "2048", "HostConfig.CpuShares"),
         ("--blkio-weight", "300", "HostConfig.BlkioWeight"), ("--pids-limit", "1000", "HostConfig.PidsLimit"),
         ("--shm-size", "1g", "HostConfig.ShmSize"), ("--ulimit", "nofile=100:200", "HostConfig.Ulimits nofile"),
         ("--stop-timeout", "600", "StopTimeout"), ("--oom-score-adj", "10", "HostConfig.OomScoreAdj"),
         ("--log-opt", "max-size=500m", "HostConfig.LogConfig max-size"), ("--log-opt", "max-file=5", "HostConfig.LogConfig max-file"),
         ("--tmpfs", "/tmp:size=1g", "HostConfig.Tmpfs /tmp size")]
IN_FORCE = ["--memory", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "64", "--ulimit", "core=0", "--stop-timeout",
            "30", "--oom-score-adj", "1000", "--log-opt", "max-size=1m", "--log-opt", "max-file=1", "--tmpfs", "/tmp:size=1m",
            "--cap-drop", "all", "--security-opt", "no-new-privileges", "--read-only", "--init", "--network", "none", "--log-driver",
            "json-file"]


def test_the_docker_cli_prints_what_of_its_flags_does_not_hold(cli, seat):
    asked = [part for flag, value, _ in FLAGS for part in (flag, value) if flag != "--memory-swap"]
    code, identity, err = cli("create", *asked, "--memory-swap", "2g", "--name", "asked", "busybox", "true")
    assert code == 0, err
    for flag, value, words in FLAGS:
        assert f"WARNING: sallyport: {words}" in err, (flag, value, err)
    assert len(err.strip().splitlines()) == len(FLAGS), err
    code, _, err = cli("create", *IN_FORCE, "--name", "in_force", "busybox", "true")
    assert (code, err) == (0, ""), "what holds as it was asked for is not mentioned"
    code, _, err = cli("create", "--name", "plain", "busybox", "true")
    assert (code, err) == (0, ""), "nor is what was not asked for"
    cli.ok("rm", "asked", "in_force", "plain")


def test_docker_py_gets_the_warnings(seat):
    seat.do("import docker; client = docker.from_env(version='1.41')")
    made_with = seat.do("""
made = client.api.create_container('busybox', ['true'], user='root', host_config=client.api.create_host_config(mem_limit='1g'))
quiet = client.api.create_container('busybox', ['true'], host_config=client.api.create_host_config(mem_limit='32m'))
for one in (made, quiet): client.api.remove_container(one['Id'])
result = [made['Warnings'], quiet['Warnings']]
""")
    assert [warning.split(" does not hold")[0] for warning in made_with[0]] == [
        'sallyport: User "root"', "sallyport: HostConfig.Memory 1073741824"]
    assert made_with[1] == []


def test_what_was_imposed_is_in_the_record_of_the_create(cli, seat):
    cli.ok("create", "--user", "root", "--memory", "1g", "--name", "recorded", "busybox", "true")
    (record,) = [r for r in seat.broker.audit() if r.get("object") == "busybox:latest as recorded" and r["decision"] == "ALLOW"]
    assert record["reason"] == "imposed: User, HostConfig.Memory", record
    cli.ok("create", "--name", "silent", "busybox", "true")
    (record,) = [r for r in seat.broker.audit() if r.get("object") == "busybox:latest as silent" and r["decision"] == "ALLOW"]
    assert record["reason"] == "", record
    cli.ok("rm", "recorded", "silent")


def test_a_list_knows_the_exit_code_and_shows_the_image_as_it_was_written(cli):
    for code, image in ((4, "busybox"), (0, "busybox:latest")):
        assert cli("run", "--name", f"exits{code}", image, "sh", "-c", f"exit {code}")[0] == code
    for code, image in ((4, "busybox"), (0, "busybox:latest")):
        # Later dockerds tell of an exit a moment before their list has it.
        wait_until(lambda: cli.ok("ps", "-a", "--filter", f"exited={code}", "--format", "{{.Names}} {{.Image}}") == f"exits{code} {image}",
                   5, f"no container that exited with {code} is listed as {image}")
    assert cli.ok("inspect", "-f", "{{.Config.Image}}", "exits4") == "busybox"
    assert len(cli.ok("ps", "-aq", "--filter", "ancestor=busybox:latest").split()) == 2
    cli.ok("rm", "exits4", "exits0")


def keys(value, path=""):
    """Every key of the objects in it, by its path; what is data of the container's own is one of them."""
    if not isinstance(value, dict) or path in (".Config.Labels", ".GraphDriver.Data", ".HostConfig.LogConfig.Config"):
        return {path}
    return {path} | {inner for key, below in value.items() for inner in keys(below, f"{path}.{key}")}


def test_an_inspection_has_every_key_that_dockerd_sends_of_the_same_container(seat, images):
    reply = ask(seat, "POST", "/v1.41/containers/create?name=keys", {"Image": "busybox", "Cmd": ["sleep", "60"], "StopTimeout": 5})
    identity = reply.json()["Id"]
    assert ask(seat, "POST", f"/v1.41/containers/{identity}/start").status == 204
    ours = ask(seat, "GET", f"/v1.41/containers/{identity}/json").json()
    theirs = images.inspect(identity)
    assert keys(theirs) - keys(ours) == set()
    for key in ("Memory", "MemorySwap", "CpuQuota", "CpuPeriod", "PidsLimit", "ShmSize", "OomScoreAdj", "Init", "Runtime", "Ulimits",
                "LogConfig", "Tmpfs", "CapDrop", "MaskedPaths", "ReadonlyPaths", "ReadonlyRootfs", "NetworkMode", "IpcMode",
                "CgroupnsMode", "AutoRemove", "MemorySwappiness", "NanoCpus", "CpuShares", "ConsoleSize", "Isolation"):
        shown, real = ours["HostConfig"][key], theirs["HostConfig"][key]
        # What 20.10 masks is shown; later dockerds mask that and more.
        stricter = images.flavour.suite and key in ("MaskedPaths", "ReadonlyPaths") and set(shown) < set(real)
        assert shown == real or stricter, key
    for key in ("StopTimeout", "Cmd", "Entrypoint", "WorkingDir", "User", "Env", "Hostname", "Healthcheck", "Tty"):
        assert ours["Config"][key] == theirs["Config"][key], key
    assert ask(seat, "DELETE", f"/v1.41/containers/{identity}?force=1").status == 204
