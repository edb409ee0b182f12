"""The worker's seat, one test for each trap that was sprung before it was written down. Each attack is first carried out
where the defence is off, so that a test cannot pass because the attack is wrong."""
import ctypes
import errno
import os
import socket
import subprocess

import pytest
from support import places, sandbox
from support.fork_as import forked

CLIENT = "import docker; client = docker.from_env(); run = client.containers.run\n"
WRITE_INIT = """
import os
try:
    fd = os.open('/proc/1/mem', os.O_RDWR)
    with open('/proc/1/maps') as maps: address = int(maps.readline().split('-')[0], 16)
    result = len(os.pread(fd, 16, address))
except OSError as error:
    result = type(error).__name__
"""


# --- init's memory ---
def test_inits_memory_is_out_of_the_workers_reach(worker):
    off = subprocess.run(["unshare", "--user", "--map-current-user", "--pid", "--fork", "--mount-proc", places.PYTHON, "-c",
                          f"import subprocess, sys; subprocess.run([sys.executable, '-c', {(WRITE_INIT + 'print(result)')!r}])"],
                         capture_output=True, text=True, timeout=30)
    assert off.stdout.strip() == "16", f"the attack must be real: {off}"
    assert worker.do(WRITE_INIT) in ("PermissionError", "FileNotFoundError")
    for way in ("os.kill(1, 9)", "os.open('/proc/1/environ', os.O_RDONLY)", "os.listdir('/proc/1/fd')", "os.readlink('/proc/1/exe')"):
        with pytest.raises(sandbox.WorkerError):
            worker.do(f"import os; {way}")
    assert worker.do("import ctypes; result = ctypes.CDLL(None).ptrace(16, 1, 0, 0)") == -1


# --- vsock: not namespaced, and open in dockerd's own profile ---
@pytest.fixture(scope="module")
def probe_image(dockerd, tmp_path_factory):
    program = tmp_path_factory.mktemp("probe") / "probe"
    subprocess.run(["clang-19", "-static", "-O1", "-o", program, places.ROOT / "tests/support/probe.c"], check=True)
    dockerd.import_program("probe:latest", program)
    return "probe:latest"


def probe_directly(dockerd, *arguments, **host) -> dict:
    made = dockerd.request("POST", "/v1.41/containers/create", {"Image": "probe:latest", "Cmd": ["/probe", *arguments], "Tty": True,
                                                                "HostConfig": {"NetworkMode": "none", **host}}).json()["Id"]
    dockerd.request("POST", f"/v1.41/containers/{made}/start")
    dockerd.request("POST", f"/v1.41/containers/{made}/wait")
    out = dockerd.request("GET", f"/v1.41/containers/{made}/logs?stdout=1").body.decode()
    dockerd.remove(made)
    return dict(line.split() for line in out.splitlines())


def test_a_container_has_no_vsock_and_no_io_uring(broker, dockerd, probe_image):
    off = probe_directly(dockerd, SecurityOpt=["seccomp=unconfined"])
    broker.profile("probe", docker={"images": ["probe:*"]})
    with sandbox.Worker(broker, "probe") as worker:
        worker.do(CLIENT)
        on = dict(line.split() for line in worker.do("result = run('probe', ['/probe'], remove=True).decode()").splitlines())
    assert (on["unix"], on["inet"], on["inet6"]) == ("yes", "yes", "yes"), on
    for way in ("vsock", "packet", "netlink", "alg", "io_uring", "userns", "keyring", "bpf"):
        assert on[way] in ("EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT"), on
    if off["vsock"] != "yes":
        pytest.skip(f"this kernel has no vsock ({off['vsock']}): that our filter refuses it was shown, that it is open without was not")
    if not dockerd.flavour.suite:  # later ones close vsock by themselves; without a profile it is open there, see above
        assert probe_directly(dockerd)["vsock"] == "yes", "dockerd's own profile leaves it open: the attack must be real"


def test_the_worker_has_no_vsock_and_only_the_socket_families_it_needs(worker):
    attempt = """
import socket
result = {}
for name in ('AF_UNIX', 'AF_INET', 'AF_INET6', 'AF_VSOCK', 'AF_PACKET', 'AF_ALG'):
    try: socket.socket(getattr(socket, name), socket.SOCK_SEQPACKET if name == 'AF_ALG' else socket.SOCK_STREAM); result[name] = 'yes'
    except OSError as error: result[name] = error.errno
"""
    on = worker.do(attempt)
    assert on["AF_UNIX"] == "yes" and on["AF_INET"] == on["AF_INET6"] == errno.EAFNOSUPPORT, on
    assert "yes" not in (on["AF_VSOCK"], on["AF_PACKET"], on["AF_ALG"]), on
    scope = {}
    exec(attempt, scope)
    if scope["result"]["AF_VSOCK"] != "yes":
        pytest.skip("this kernel has no vsock: what the filter refuses is not there without it either")


# --- O_NONBLOCK of shared descriptors ---
def test_flags_that_the_worker_sets_on_its_descriptors_hang_nobody(broker, worker):
    """A file status flag belongs to the open file, not to the process: with a shared description it reaches the other side."""
    left, right = socket.socketpair()
    left.setblocking(False)
    passed = os.dup(left.fileno())  # what SCM_RIGHTS gives: the same open file
    os.set_blocking(passed, True)
    assert os.get_blocking(left.fileno()), "the attack must be real"
    left.close(), right.close(), os.close(passed)

    worker.do(CLIENT)
    worker.do("""
import fcntl, os
container = run('busybox', ['cat'], detach=True, stdin_open=True)
streams = [container.attach_socket(params={'stdin': 1, 'stdout': 1, 'stream': 1})._sock for _ in range(3)]
fds = [0, 1, 2, 3] + [s.fileno() for s in streams]
for fd in fds[1:]:
    for value in (os.O_NONBLOCK, 0, os.O_NONBLOCK | os.O_ASYNC, os.O_APPEND, 0):
        try: fcntl.fcntl(fd, fcntl.F_SETFL, value)
        except OSError: pass
""")
    with sandbox.Worker(broker, "seat") as neighbour:
        neighbour.do(CLIENT)
        assert neighbour.do("result = run('busybox', ['echo', 'unhurt'], remove=True).decode()") == "unhurt\n"
    assert worker.do("result = run('busybox', ['echo', 'works'], remove=True).decode(); container.remove(force=True)") == "works\n"


def test_a_client_that_never_reads_stops_only_itself(broker, worker):
    """The keeper does no I/O on what it has shared: a stream that is not read fills up and waits, alone."""
    worker.do(CLIENT)
    worker.do("""
import socket
stuck = run('busybox', ['yes', 'x' * 1000], detach=True)
held = []
for _ in range(4):
    s = socket.socket(socket.AF_UNIX); s.connect('/run/sallyport/docker.sock')
    s.sendall(f'POST /v1.41/containers/{stuck.id}/attach?stream=1&stdout=1 HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: tcp\\r\\nContent-Length: 0\\r\\n\\r\\n'.encode())
    held.append(s)
    s = socket.socket(socket.AF_UNIX); s.connect('/run/sallyport/docker.sock')
    s.sendall(f'GET /v1.41/containers/{stuck.id}/logs?stdout=1&follow=1 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.encode())
    held.append(s)
""")
    with sandbox.Worker(broker, "seat") as neighbour:
        neighbour.do(CLIENT)
        assert neighbour.do("result = run('busybox', ['echo', 'unhurt'], remove=True).decode()", seconds=30) == "unhurt\n"
    # dockerd itself does not remove a container whose streams nobody reads: they are closed first.
    assert worker.do("for s in held: s.close()\nstuck.remove(force=True)\nresult = client.ping()") is True


# --- limits that count per uid ---
EXHAUST = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
held = []
while len(held) < 100000:
    fd = libc.inotify_init1(0)
    if fd < 0: break
    held.append(fd)
result = [len(held), ctypes.get_errno()]
"""


def test_exhausting_a_per_uid_limit_leaves_the_neighbours_theirs(broker):
    with open("/proc/sys/fs/inotify/max_user_instances") as file:
        limit = int(file.read())

    def shared_uid():
        """Two processes of one uid, as with `nobody` for every tenant."""
        libc = ctypes.CDLL(None, use_errno=True)
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            while libc.inotify_init1(0) >= 0:
                pass
            os.write(write_end, b"x")
            import time
            time.sleep(2)
            os._exit(0)
        os.read(read_end, 1)
        return libc.inotify_init1(0)
    import resource
    raised = forked(shared_uid, uid=64993, prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 100, limit + 100)))
    assert raised["value"] == -1, f"the attack must be real: {raised}"

    broker.profile("files", docker={}, limits={"open_files": max(1024, limit + 100)})
    with sandbox.Worker(broker, "files") as greedy, sandbox.Worker(broker, "files") as neighbour:
        made, error = greedy.do(EXHAUST)
        assert made <= limit, (made, error, limit)
        assert neighbour.do("import ctypes; result = ctypes.CDLL(None).inotify_init1(0)") >= 0


def test_containers_of_two_sessions_do_not_share_a_uid(broker, dockerd, probe_image):
    broker.profile("probe", docker={"images": ["probe:*"]})
    with sandbox.Worker(broker, "probe") as greedy, sandbox.Worker(broker, "probe") as neighbour:
        for worker in (greedy, neighbour):
            worker.do(CLIENT)
        read = """
c = run('probe', ['/probe', 'inotify'], detach=True)
for line in c.logs(stream=True, follow=True):
    result = int(line.split()[1]); break
"""
        first = greedy.do(read)
        assert first > 0
        assert neighbour.do(read) == first, "a neighbour's exhausted limit is felt"
        for worker in (greedy, neighbour):
            worker.do("c.remove(force=True)")


# --- the audit trail under a flood ---
def test_a_flood_of_refusals_is_counted_and_not_dropped(broker, worker):
    worker.do(CLIENT)
    session = broker.sessions()[-1]
    refused = worker.do("""
result = 0
for _ in range(300):
    try: client.api._post(client.api._url('/containers/create'), json={'Image': 'busybox', 'HostConfig': {'Privileged': True}}).raise_for_status()
    except Exception: result += 1
""", seconds=120)
    assert refused == 300
    from support.processes import wait_until

    def counted():
        return sum(record.get("count", 1) for record in broker.audit(session=session, decision="DENY")) >= 300
    wait_until(counted, 10, f"the trail does not account for them: {len(broker.audit(session=session))} records")


def test_a_worker_cannot_write_lines_into_the_audit_trail(broker, worker):
    worker.do("""
import socket, urllib.parse
s = socket.socket(socket.AF_UNIX); s.connect('/run/sallyport/docker.sock')
forged = urllib.parse.quote('\\n{"event":"request","decision":"ALLOW","endpoint":"forged"}\\n\\x1b[31m')
s.sendall(f'GET /v1.41/containers/{forged}/json HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'.encode())
s.recv(1000)
""")
    assert not [record for record in broker.audit() if record.get("endpoint") == "forged"]
    shown = broker.audit_for_people()
    assert all(32 <= ord(character) < 127 or character == "\n" for character in shown)


# --- what the worker must not see ---
def test_shadow_and_other_files_of_the_host_are_not_there(worker):
    for path in ("/etc/shadow", "/root", "/home", "/var/lib", "/run/docker.sock", "/var/run/docker.sock", places.ROOT.parent.as_posix()):
        assert worker.do("""
import os
try:
    result = os.listdir(args['path']) if os.path.isdir(args['path']) else open(args['path']).read(1)
except OSError as error:
    result = None
""", path=path) in (None, []), path
    assert os.path.exists("/etc/shadow")
