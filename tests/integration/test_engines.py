"""Newer dockerds: what one canonical create becomes on each, compared field by field, and the life of a container on one that
answers nothing old, as Docker 29 does, and on one with containerd's image store. Whole runs on them: tests/README.md."""
import contextlib

import pytest

from support import sandbox
from support.broker import Broker
from support.dockerd import Dockerd
from support.flavours import Flavour

HOST = Flavour()
NEWER = [pytest.param(Flavour("trixie", oldest_api="1.44"), id="26.1.5 that takes 1.44 and later"),
         pytest.param(Flavour("trixie", containerd=True), id="26.1.5 with the store of containerd"),
         pytest.param(Flavour("forky"), id="28.5.2", marks=pytest.mark.long),
         pytest.param(Flavour("forky", containerd=True), id="28.5.2 with the store of containerd", marks=pytest.mark.long)]
NEUTRAL = (None, False, 0, "", [], {})
# What every container has its own of, and what is about the host's storage.
OWN = {"Id", "Created", "Name", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "Driver", "GraphDriver", "Storage",
       "ImageManifestDescriptor"}
CREATE = {"Image": "volumed", "Cmd": ["sh", "-c", "echo out; cat; exec sleep 600"], "Env": ["A=b"], "WorkingDir": "/tmp",
          "Labels": {"job": "7"}, "Hostname": "host", "OpenStdin": True, "StopSignal": "SIGINT", "HostConfig": {"Init": False}}


@contextlib.contextmanager
def seat_on(flavour):
    """(dockerd, what asks from the worker's seat)"""
    dockerd = Dockerd(flavour=flavour)
    try:
        dockerd.import_busybox()
        dockerd.import_busybox("volumed:latest", volumes=["/data"])
        broker = Broker(dockerd.socket)
        try:
            broker.profile("seat", docker={"images": ["busybox:*", "volumed:*"]}, container={"memory": "64MiB"})
            with sandbox.Worker(broker, "seat") as worker:
                worker.do("import docker; client = docker.from_env(version='auto')")
                yield dockerd, worker
        finally:
            broker.remove()
    finally:
        dockerd.end()


def flat(value, path="") -> dict:
    """Lists are one value: their order is part of them."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {key: leaf for name, inner in value.items() for key, leaf in flat(inner, f"{path}.{name}" if path else name).items()}


def made_on(flavour) -> dict:
    """dockerd's own inspection of a container that our create made there, without what is each container's own."""
    with seat_on(flavour) as (dockerd, worker):
        from support.raw_http import Connection
        with Connection(worker.connect()) as api:
            made = api.request("POST", "/v1.41/containers/create?name=same", CREATE)
            assert made.status == 201, made
        shown = dockerd.request("GET", f"/v{dockerd.spoken}/containers/{made.json()['Id']}/json").json()
        assert shown["Config"].pop("Image") == shown["Image"] or flavour.containerd
        found = {key: value for key, value in shown.items() if key not in OWN}
        session, uid = worker.broker.sessions()[-1], worker.uid_base + 4
        return flat({key: anonymous(value, session, uid) for key, value in found.items()})


def anonymous(value, session, uid):
    if isinstance(value, dict):
        return {key: anonymous(inner, session, uid) for key, inner in value.items() if key != "sallyport.broker"}
    if isinstance(value, list):
        return [anonymous(inner, session, uid) for inner in value]
    return value.replace(session, "SESSION").replace(str(uid), "UID") if isinstance(value, str) else value


@pytest.fixture(scope="module")
def on_the_host():
    return made_on(HOST)


def is_stricter(path, before, after) -> bool:
    """Newer ones hide more of /proc and /sys by themselves."""
    return path in ("HostConfig.MaskedPaths", "HostConfig.ReadonlyPaths") and set(before) < set(after)


@pytest.mark.parametrize("flavour", NEWER)
def test_our_create_becomes_the_same_container(flavour, on_the_host):
    newer = made_on(flavour)
    different = {}
    for path in on_the_host.keys() | newer.keys():
        before, after = on_the_host.get(path), newer.get(path)
        # A field that is absent, null or empty says the same.
        if before != after and not (before in NEUTRAL and after in NEUTRAL) and not is_stricter(path, before, after):
            different[path] = (before, after)
    assert not different, "\n".join(f"{path}: {pair[0]!r} is now {pair[1]!r}" for path, pair in sorted(different.items()))


@pytest.mark.parametrize("flavour", NEWER)
def test_a_container_lives_its_whole_life_there(flavour):
    with seat_on(flavour) as (dockerd, worker):
        foreign = dockerd.run_foreign("victim_fix")
        assert worker.do("result = client.containers.run('busybox', ['echo', 'hello'], remove=True).decode()") == "hello\n"
        assert worker.do("""
held = client.containers.create('busybox', ['sh', '-c', 'cat; exit 3'], name='held', stdin_open=True, labels={'job': '7'})
stdin = held.attach_socket(params={'stdin': 1, 'stdout': 1, 'stream': 1})
held.start()
stdin._sock.sendall(b'through')
import socket; stdin._sock.shutdown(socket.SHUT_WR)
result = [held.wait()['StatusCode'], held.logs().decode(), [c.name for c in client.containers.list(all=True)],
          held.attrs['Config']['Labels'].get('job')]
""") == [3, "through", ["held"], "7"]
        assert worker.do("""
loop = client.containers.run('volumed', ['sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 1; done'], detach=True, tty=True)
next(loop.logs(stream=True, follow=True)); loop.resize(20, 70); loop.stop(timeout=20)
result = loop.wait()['StatusCode']; loop.remove(); held.remove()
""") == 9
        missing = worker.do("""
try: client.containers.run('busybox', ['no-such-program'])
except docker.errors.APIError as error: result = [error.status_code, str(error.explanation)]
""")
        assert missing[0] in (400, 404) and "not found" in missing[1], missing
        assert worker.do("""
result = []
for ask in (lambda: client.containers.get('victim_fix'), lambda: client.containers.create('unknown', 'true')):
    try: ask(); result.append('served')
    except docker.errors.APIError as error: result.append(error.status_code)
""") == [404, 403]
        assert dockerd.inspect(foreign)["State"]["Running"]
        session = worker.broker.sessions()[-1]
        assert worker.do("result = client.version()['ApiVersion']") == "1.51"
    assert session
