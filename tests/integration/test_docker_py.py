"""docker-py, unmodified, inside the sandbox."""
import pytest

CLIENT = "import docker; client = docker.from_env(); run = client.containers.run\n"


@pytest.fixture
def python(worker):
    worker.do(CLIENT)
    return worker


def test_run_attached_returns_the_output(python):
    assert python.do("result = run('busybox', ['echo', 'hello'], remove=True).decode()") == "hello\n"
    assert python.do("result = [c.id for c in client.containers.list(all=True)]") == []


def test_a_failing_container_raises_with_its_stderr(python):
    assert python.do("""
try:
    run('busybox', ['sh', '-c', 'echo wrong >&2; exit 4'], remove=True)
except docker.errors.ContainerError as error:
    result = [error.exit_status, error.stderr.decode()]
""") == [4, "wrong\n"]


def test_a_detached_container_streams_logs_is_waited_for_and_removed(python):
    assert python.do("""
container = run('busybox', ['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.2; done; exit 6'], detach=True, name='job')
lines = [line.decode().strip() for line in container.logs(stream=True, follow=True)]
code = container.wait()['StatusCode']
names = [c.name for c in client.containers.list(all=True)]
container.remove()
result = [lines, code, names, client.containers.list(all=True)]
""") == [["1", "2", "3"], 6, ["job"], []]


def test_list_shows_labels_and_filters_by_them(python):
    assert python.do("""
one = run('busybox', ['sleep', '60'], detach=True, labels={'job': 'one'})
two = run('busybox', ['sleep', '60'], detach=True, labels={'job': 'two'})
result = [[c.labels for c in client.containers.list(filters={'label': 'job=two'})], len(client.containers.list())]
for c in (one, two):
    c.remove(force=True)
""") == [[{"job": "two"}], 2]


def test_stop_kill_and_inspect_agree(python):
    assert python.do("""
c = run('busybox', ['sh', '-c', "trap 'exit 9' TERM; while :; do sleep 0.1; done"], detach=True)
import time; time.sleep(0.3)
c.stop(timeout=5); c.reload(); stopped = [c.status, c.attrs['State']['ExitCode']]
c.start(); c.kill(); c.wait(); c.reload(); killed = [c.status, c.attrs['State']['ExitCode']]
c.remove()
result = [stopped, killed]
""") == [["exited", 9], ["exited", 137]]


def test_a_socket_from_attach_carries_both_directions(python):
    assert python.do("""
c = client.containers.create('busybox', ['sh', '-c', 'read x; echo got $x'], stdin_open=True)
s = c.attach_socket(params={'stdin': 1, 'stdout': 1, 'stream': 1})
c.start()
s._sock.sendall(b'word\\n')
data = b''
while True:
    part = s._sock.recv(4096)
    if not part: break
    data += part
c.remove(force=True)
result = data[8:].decode()
""") == "got word\n"


def test_four_threads_run_containers_at_once(python):
    assert python.do("""
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    result = sorted(pool.map(lambda n: run('busybox', ['echo', str(n)], remove=True).decode(), range(8)))
""", seconds=90) == [f"{n}\n" for n in range(8)]


def test_what_is_refused_raises_a_403_with_the_reason(python):
    for options, rule in (("volumes={'/': {'bind': '/host'}}", "Volumes"), ("privileged=True", "Privileged"),
                          ("pid_mode='host'", "PidMode"), ("cap_add=['SYS_ADMIN']", "CapAdd")):
        status, text = python.do(f"""
try:
    run('busybox', ['true'], {options})
    result = [200, '']
except docker.errors.APIError as error:
    result = [error.response.status_code, error.explanation]
""")
        assert status == 403 and rule in text, (options, status, text)


def test_a_missing_container_is_not_found(python):
    assert python.do("""
try:
    client.containers.get('nothing')
except docker.errors.NotFound as error:
    result = error.explanation
""") == "No such container: nothing"
