"""What is imposed on every container, checked where it counts: in the container and at dockerd."""
import json

import pytest
from support import sandbox

CLIENT = "import docker; client = docker.from_env(); run = client.containers.run\n"


@pytest.fixture
def python(worker):
    worker.do(CLIENT)
    return worker


def inside(python, script, **options) -> str:
    return python.do("result = run('busybox', ['sh', '-c', args['script']], remove=True, **args['options']).decode()",
                     script=script, options=options)


def test_a_container_is_no_root_and_has_no_capabilities(python):
    status = inside(python, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    base = python.uid_base
    assert fields["Uid"].split() == [str(base + 4)] * 4 and fields["Gid"].split() == [str(base + 4)] * 4
    assert all(int(fields[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


def test_the_user_that_a_client_asks_for_is_not_given(python):
    try:
        uid = inside(python, "id -u", user="0:0").strip()
    except sandbox.WorkerError as refused:
        assert "403" in str(refused)
    else:
        assert uid == str(python.uid_base + 4)


def test_a_container_has_no_network_but_loopback(python):
    assert [line.split(":")[0].strip() for line in inside(python, "cat /proc/net/dev").splitlines()[2:]] == ["lo"]


def test_the_root_is_read_only_and_tmp_is_a_bounded_tmpfs(python):
    out = inside(python, "touch /etc/x 2>&1; touch /tmp/x && echo tmp works; df -k /tmp | tail -1; grep ' /tmp ' /proc/mounts")
    assert "Read-only file system" in out and "tmp works" in out
    assert "tmpfs" in out and "nosuid" in out and "nodev" in out, out


def test_memory_is_bounded(python):
    """The kernel ends what takes more than the profile says; the denied twin takes less."""
    assert inside(python, "dd if=/dev/zero of=/dev/null bs=16M count=1 2>/dev/null && echo fits") == "fits\n"
    with pytest.raises(sandbox.WorkerError, match="ContainerError|OOM|137"):
        inside(python, "dd if=/dev/zero of=/dev/null bs=256M count=1 && echo fits")


def test_vsock_and_exotic_sockets_are_not_to_be_had(python, dockerd):
    # busybox has no vsock client, so the filter itself is read where dockerd keeps it, and tried by a python where one is.
    import re
    python.do("c = client.containers.create('busybox', ['true'])")
    (made,) = python_containers(python, dockerd)
    options = made["HostConfig"]["SecurityOpt"]
    profile = json.loads(next(o for o in options if o.startswith("seccomp=")).removeprefix("seccomp="))
    python.do("c.remove()")
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    sockets = [rule for rule in profile["syscalls"] if "socket" in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW"]
    allowed = {argument.get("valueTwo") or argument["value"] for rule in sockets for argument in rule.get("args") or []}
    assert sockets and all(rule.get("args") for rule in sockets) and allowed == {1, 2, 10}, sockets
    named = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not {name for name in named if re.match("io_uring|bpf$|keyctl|add_key|mount$|unshare|userfaultfd", name)}


def python_containers(worker, dockerd) -> list:
    session = worker.broker.sessions()[-1]
    return [dockerd.inspect(c["Id"]) for c in dockerd.containers(**{"sallyport.session": session})]


def test_an_image_that_declares_a_volume_gets_a_bounded_tmpfs_over_it(broker, dockerd):
    """Without us dockerd makes an anonymous volume: on the host's disk, without a bound, writable under read_only."""
    plain = dockerd.request("POST", "/v1.41/containers/create", {"Image": "volumed", "Cmd": ["true"], "HostConfig": {"ReadonlyRootfs": True, "NetworkMode": "none"}}).json()["Id"]
    assert [m["Type"] for m in dockerd.inspect(plain)["Mounts"]] == ["volume"], "the attack must be real"
    dockerd.remove(plain)
    volumes = dockerd.request("GET", "/v1.41/volumes").json()["Volumes"]
    broker.profile("volumed", docker={"images": ["volumed:*"]}, container={"tmp": "1MiB"})
    with sandbox.Worker(broker, "volumed") as worker:
        worker.do(CLIENT)
        out = worker.do("""
result = run('volumed', ['sh', '-c', 'grep " /data " /proc/mounts; dd if=/dev/zero of=/data/x bs=64k count=64 2>&1; true'], remove=True, stderr=True).decode()
""")
    # It has the mode of the directory in the image (runc's doing), so root's directories stay unwritable; the size holds.
    assert out.startswith("tmpfs /data tmpfs") and "size=1024k" in out and ("No space left" in out or "denied" in out), out
    assert dockerd.request("GET", "/v1.41/volumes").json()["Volumes"] == volumes


def test_the_number_of_containers_is_a_budget(broker):
    broker.profile("two", docker={}, budget={"containers": 2})
    with sandbox.Worker(broker, "two") as worker:
        worker.do(CLIENT)
        text = worker.do("""
made = [client.containers.create('busybox', ['true']) for _ in range(2)]
try:
    client.containers.create('busybox', ['true'])
    result = 'made'
except docker.errors.APIError as error:
    result = f"{error.response.status_code} {error.explanation}"
made[0].remove()
made[0] = client.containers.create('busybox', ['true'])  # one gone makes room for one
for c in made: c.remove()
""")
    assert text.startswith("403 ") and "2" in text, text


def test_creates_per_minute_are_a_budget_that_says_when_to_come_back(broker):
    broker.profile("slow", docker={}, budget={"creates": "2/min"})
    with sandbox.Worker(broker, "slow") as worker:
        worker.do(CLIENT)
        status, retry = worker.do("""
result = [201, None]
for _ in range(4):
    try:
        client.containers.create('busybox', ['true']).remove()
    except docker.errors.APIError as error:
        result = [error.response.status_code, error.response.headers.get('Retry-After')]
""")
    assert status == 429 and int(retry) > 0


def test_requests_per_minute_are_a_budget_that_says_when_to_come_back(broker):
    broker.profile("slow", docker={}, budget={"requests": "20/min"})
    with sandbox.Worker(broker, "slow") as worker:
        worker.do(CLIENT)
        statuses = worker.do("""
result = []
for _ in range(40):
    try:
        client.containers.list()
        result.append(200)
    except docker.errors.APIError as error:
        result.append(error.response.status_code)
""")
    assert statuses[0] == 200 and statuses[-1] == 429 and 6 <= statuses.count(200) <= 8, statuses  # each weighs 3, of 20 at once
