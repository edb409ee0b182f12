"""What a program hears that meets a limit which the kernel enforces: in the sandbox, and in a container."""
import pytest
from support import launcher, sandbox

PROBE = """
import ctypes, mmap, os, signal
def until_refused(what, act):
    made = []
    try:
        for _ in range(100000): made.append(act(len(made)))
    except OSError as error: print(what, len(made), os.strerror(error.errno))
    return made
for number in until_refused('files', lambda n: os.open('/dev/null', os.O_RDONLY)): os.close(number)
until_refused('names', lambda n: os.close(os.open('/tmp/' + str(n), os.O_CREAT)))
for name in os.listdir('/tmp'): os.unlink('/tmp/' + name)
big = open('/tmp/big', 'wb', buffering=0)
until_refused('KiB', lambda n: big.write(b'x' * 1024))
libc = ctypes.CDLL(None, use_errno=True)
def lock(n):
    libc.mmap.restype = ctypes.c_void_p
    at = libc.mmap(None, ctypes.c_size_t(1 << 20), 3, 0x22, -1, ctypes.c_long(0))
    if libc.mlock(ctypes.c_void_p(at), ctypes.c_size_t(1 << 20)) != 0: raise OSError(ctypes.get_errno(), 'mlock')
until_refused('MiB locked', lock)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
def queue(n):
    if libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), ctypes.c_void_p(0)) != 0: raise OSError(ctypes.get_errno(), 'sigqueue')
until_refused('signals', queue)
def fork(n):
    child = os.fork()
    if child == 0: signal.pause()
    return child
until_refused('processes', fork)
"""


def test_a_program_in_the_sandbox_meets_its_limits_as_errors_of_the_kernel():
    with launcher.host() as own:
        done = launcher.python(own, PROBE, limits={"pids": 20, "open_files": 64}, sandbox={"tmp": "1MiB"})
    # Of the files three are stdio, and one is python's own listing; of the processes one is the program.
    assert done.out.splitlines() == [
        "files 61 Too many open files",
        "names 255 No space left on device",
        "KiB 1024 No space left on device",
        "MiB locked 8 Cannot allocate memory",
        "signals 4096 Resource temporarily unavailable",
        "processes 19 Resource temporarily unavailable"], done


def test_limits_that_no_cgroup_of_this_host_enforces_are_named():
    with launcher.host() as own:
        own.profile("wishes", limits={"memory": "1GiB", "cpus": 0.5})
        done = sandbox.run(own, "wishes", ["/bin/true"])
    assert done.code == 0 and done.stderr == "sallyport: not enforced for a worker in this version: memory cpus\n", done


INSIDE = """
dd if=/dev/zero of=/dev/shm/x bs=64k count=64 2>&1 | head -1
dd if=/dev/zero of=/tmp/x bs=64k count=64 2>&1 | head -1
dd if=/dev/zero of=/dev/null bs=128M count=1 2>/dev/null; echo memory: ended by $?
echo cpu: $(cat /sys/fs/cgroup/cpu.max 2>/dev/null) $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null) $(cat /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null)
rm /tmp/x
(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 3 & done) 2>/tmp/err
read line </tmp/err; echo "$line"
"""


@pytest.fixture
def small(broker):
    broker.profile("small", docker={}, container={"memory": "32MiB", "cpus": 0.5, "pids": 16, "shm": "64KiB", "tmp": "128KiB",
                                                  "log": "64KiB"})
    with sandbox.Worker(broker, "small") as worker:
        worker.do("import docker; client = docker.from_env()")
        yield worker


def test_a_program_in_a_container_meets_its_limits_as_errors_of_the_kernel(small):
    out = small.do("result = client.containers.run('busybox', ['sh', '-c', args['script']], remove=True).decode()", script=INSIDE)
    assert out.splitlines() == [
        "dd: error writing '/dev/shm/x': No space left on device",
        "dd: error writing '/tmp/x': No space left on device",
        "memory: ended by 137",
        "cpu: 50000 100000",
        "sh: can't fork: Resource temporarily unavailable"], out


def test_of_a_containers_output_the_newest_is_kept_and_the_inspection_says_how_much(small):
    kept, said = small.do("""
client.containers.run('busybox', ['sh', '-c', 'for i in $(seq 4000); do echo line $i of a long output; done'], name='long')
kept = client.containers.get('long').logs().decode().splitlines()
result = [kept, client.api.inspect_container('long')['HostConfig']['LogConfig']]
client.containers.get('long').remove()
""")
    assert kept[-1] == "line 4000 of a long output" and 0 < len(kept) < 4000, (len(kept), kept[:1])
    assert sum(len(line) for line in kept) < 65536
    assert said == {"Type": "json-file", "Config": {"max-file": "1", "max-size": "65536"}}, said
