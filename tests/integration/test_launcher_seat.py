"""What a worker has, seen from inside: exactly these descriptors, mounts, capabilities, environment, namespaces, calls."""
import errno
import json
import os
import subprocess

import pytest
from support import launcher, places, sandbox
from support.processes import uids_of


@pytest.fixture(scope="module")
def own():
    with launcher.host() as made:
        yield made


@pytest.fixture(scope="module")
def seat(own):
    own.profile("seat", worker={"environment": {"GREETING": "hello"}, "pass_environment": ["LANG"]}, sandbox={"hostname": "cell"},
                limits={"pids": 100, "open_files": 200})
    environment = {"LANG": "C", "LD_PRELOAD": "", "SECRET": "1", "DOCKER_HOST": "tcp://1.2.3.4", "PATH": "/tmp", "NOTIFY_SOCKET": "/x",
                   "GLIBC_TUNABLES": "x", "SSH_AUTH_SOCK": "/y"}
    with sandbox.Worker(own, "seat", environment=environment) as worker:
        yield worker


def status_of(seat) -> dict:
    text = seat.do("result = open('/proc/self/status').read()")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def test_the_descriptors_are_three_pipes(seat):
    seen = seat.do("""
import os
names = os.listdir('/proc/self/fd')
result = {}
for name in names:
    try: result[name] = os.readlink('/proc/self/fd/' + name)
    except FileNotFoundError: pass  # the directory that was being listed
""")
    assert sorted(seen) == ["0", "1", "2"] and all(target.startswith("pipe:") for target in seen.values()), seen


def test_the_environment_is_the_profiles(seat):
    # Of the process itself: python adds LC_CTYPE to os.environ.
    seen = seat.do("result = open('/proc/self/environ').read()")
    assert sorted(filter(None, seen.split("\0"))) == ["GREETING=hello", "HOME=/tmp", "LANG=C", "PATH=/usr/local/bin:/usr/bin:/bin"], seen


def test_a_static_program_has_no_other_environment(own, seat):
    done = sandbox.run(own, "seat", ["/usr/bin/env"], environment={"SECRET": "1"})
    assert done.out.splitlines() == ["GREETING=hello", "HOME=/tmp", "PATH=/usr/local/bin:/usr/bin:/bin"], done
    done = sandbox.run(own, "seat", ["/bin/busybox", "env"], environment={"SECRET": "1"})
    assert sorted(done.out.splitlines()) == ["GREETING=hello", "HOME=/tmp", "PATH=/usr/local/bin:/usr/bin:/bin"], done


def test_no_capability_is_left_in_any_set_and_the_securebits_are_locked(seat):
    status = status_of(seat)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}, status
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Seccomp_filters"] == "1", status
    assert seat.do("import ctypes; result = ctypes.CDLL(None).prctl(27, 0, 0, 0, 0)") == 0xef


def test_the_user_is_one_that_the_host_gives_to_nobody_else(own, seat):
    status = status_of(seat)
    assert status["Uid"].split() == ["1000"] * 4 and status["Gid"].split() == ["1000"] * 4 and status["Groups"] == "", status
    base = seat.uid_base
    assert own.uid_first <= base <= own.uid_last
    assert uids_of(seat.worker_pid) == [base + 1] * 4 and uids_of(seat.init_pid) == [base] * 4
    with open(f"/proc/{seat.worker_pid}/uid_map") as uid_map:
        assert [line.split() for line in uid_map] == [["1000", str(base + 1), "1"], ["999", str(base), "1"]]


def test_all_seven_namespaces_are_its_own(seat):
    for name in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        of_worker = os.stat(f"/proc/{seat.worker_pid}/ns/{name}").st_ino
        assert of_worker != os.stat(f"/proc/self/ns/{name}").st_ino, name
        assert of_worker == os.stat(f"/proc/{seat.init_pid}/ns/{name}").st_ino, name
    assert seat.do("import socket; result = socket.gethostname()") == "cell"
    assert seat.do("import os; result = (os.getpid(), os.getppid(), os.getsid(0))") == [2, 1, 2]


def test_the_mounts_are_the_planned_ones_with_the_planned_flags(seat):
    lines = seat.do("result = open('/proc/self/mountinfo').read()").splitlines()
    mounts = {fields[4]: (set(fields[5].split(",")), line.partition(" - ")[2].split()[0])
              for line in lines for fields in [line.split()]}
    assert not any("shared:" in line or "master:" in line for line in lines), "no event of the host's mounts comes in"
    expected = {"/": "tmpfs", "/tmp": "tmpfs", "/dev/shm": "tmpfs", "/proc": "proc"}
    devices = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]
    trees = {path for path in ("/usr", "/etc/ssl", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime") if path in mounts}
    assert set(mounts) == set(expected) | set(devices) | trees, mounts
    for path, kind in expected.items():
        assert mounts[path][1] == kind and {"nosuid", "nodev"} <= mounts[path][0], (path, mounts[path])
    assert "ro" in mounts["/"][0] and "rw" in mounts["/tmp"][0] and "noexec" in mounts["/proc"][0]
    for path in trees:
        assert {"ro", "nosuid", "nodev"} <= mounts[path][0], (path, mounts[path])
    for path in devices:
        assert {"ro", "nosuid", "noexec"} <= mounts[path][0], (path, mounts[path])
    proc = next(line for line in lines if line.split()[4] == "/proc")
    assert "hidepid=invisible" in proc and "subset=pid" in proc


def test_nothing_of_the_root_can_be_written_but_tmp_and_shm(seat):
    writable = seat.do("""
import os
result = []
for path in ('/', '/etc', '/usr', '/usr/bin', '/run', '/run/sallyport', '/dev', '/var', '/proc', '/proc/sys', '/tmp', '/dev/shm', '/var/tmp'):
    try:
        open(path + '/x', 'w').close()
        os.unlink(path + '/x')
        result.append(path)
    except OSError: pass
""")
    assert writable == ["/tmp", "/dev/shm", "/var/tmp"], writable


def test_tmp_has_a_size_and_a_number_of_files(own):
    full = launcher.python(own, """
import os
made = 0
try:
    for made in range(100000): os.close(os.open('/tmp/' + str(made), os.O_CREAT))
except OSError as error: print('files', error.errno)
for name in os.listdir('/tmp'): os.unlink('/tmp/' + name)
try:
    with open('/tmp/big', 'wb') as file:
        for _ in range(64): file.write(b'x' * (1 << 20))
except OSError as error: print('bytes', error.errno)
""", sandbox={"tmp": "16MiB"})
    assert full.out.splitlines() == [f"files {errno.ENOSPC}", f"bytes {errno.ENOSPC}"], full


def test_the_host_is_not_there(seat):
    for path in ("/root", "/home", "/sys", "/etc/shadow", "/var/lib", "/run/docker.sock", "/run/dbus", "/proc/kcore", "/proc/sys",
                 "/proc/sysrq-trigger", "/proc/keys", "/proc/1", "/dev/sda", "/dev/kmsg", "/dev/mem", "/dev/tty", "/dev/ptmx"):
        assert not seat.do("import os; result = os.path.lexists(args['path'])", path=path), path
    assert seat.do("result = open('/etc/passwd').read()").count("\n") == 3


def test_there_is_no_network_and_no_socket_of_one(seat):
    """What TCP and UDP hold counts against the whole host's, in a namespace of one's own, too."""
    seen = seat.do("""
import socket
result = {}
for family in ('AF_INET', 'AF_INET6', 'AF_UNIX'):
    for type in ('SOCK_STREAM', 'SOCK_DGRAM'):
        try: socket.socket(getattr(socket, family), getattr(socket, type)).close(); result[family, type] = 'there'
        except OSError as error: result[family, type] = error.errno
result = sorted(set((family, answer) for (family, _), answer in result.items()))
""")
    assert seen == [["AF_INET", errno.EAFNOSUPPORT], ["AF_INET6", errno.EAFNOSUPPORT], ["AF_UNIX", "there"]], seen


@pytest.fixture(scope="module")
def looped(own):
    own.profile("looped", sandbox={"loopback": True})
    with sandbox.Worker(own, "looped") as worker:
        yield worker


def test_buffers_of_sockets_and_pipes_have_the_size_that_the_kernel_gives_them(looped):
    """Sizes that are asked for are bounded by the host's net.core.[rw]mem_max alone. Programs that ask take a yes."""
    seen = looped.do("""
import fcntl, os, socket
result = {}
for family in (socket.AF_INET, socket.AF_UNIX):
    one = socket.socket(family)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF, 32, 33):
        read = option if option < 32 else {32: socket.SO_SNDBUF, 33: socket.SO_RCVBUF}[option]
        before = one.getsockopt(socket.SOL_SOCKET, read)
        one.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        result[f'{family.name} {option}'] = [before, one.getsockopt(socket.SOL_SOCKET, read)]
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    result[f'{family.name} others'] = [one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)] * 2
try: fcntl.fcntl(os.pipe()[0], 1031, 1 << 20)
except OSError as error: result['pipe'] = [error.errno] * 2
""")
    assert all(before == after for before, after in seen.values()), seen
    assert seen["AF_INET 7"][0] <= 65536 and seen["AF_INET 8"][0] <= 65536 and seen["AF_INET others"][0] == 1, seen
    assert seen["pipe"][0] == errno.EPERM, seen


def test_the_network_that_a_profile_asks_for_is_a_loopback_and_nothing_else(looped):
    seen = looped.do("""
import socket
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(1)
client = socket.create_connection(server.getsockname(), 2)
result = {}
for address in ('1.1.1.1', '10.0.0.1', '169.254.169.254'):
    try: socket.create_connection((address, 80), 2)
    except OSError as error: result[address] = error.errno
""")
    assert set(seen.values()) == {errno.ENETUNREACH}, seen


def test_the_limits_are_the_profiles(seat):
    limits = seat.do("""
import resource
result = {name: resource.getrlimit(getattr(resource, name)) for name in ('RLIMIT_CORE', 'RLIMIT_NOFILE', 'RLIMIT_NPROC', 'RLIMIT_MSGQUEUE')}
""")
    assert limits == {"RLIMIT_CORE": [1, 1], "RLIMIT_NOFILE": [200, 200], "RLIMIT_NPROC": [100, 100], "RLIMIT_MSGQUEUE": [0, 0]}, limits


def test_no_signal_is_blocked_or_ignored(seat):
    status = status_of(seat)
    # python ignores PIPE and XFSZ and handles INT by itself
    assert status["SigBlk"] == "0" * 16, status
    assert int(status["SigIgn"], 16) & ~(1 << 12 | 1 << 24) == 0, status


# Every call with a stated answer, made from inside. None has arguments that could do harm where it were allowed.
CALLS = {
    "ptrace": (101, errno.EPERM), "mount": (165, errno.EPERM), "umount2": (166, errno.EPERM), "pivot_root": (155, errno.EPERM),
    "chroot": (161, errno.EPERM), "setns": (308, errno.EPERM), "unshare": (272, errno.EPERM), "bpf": (321, errno.EPERM),
    "perf_event_open": (298, errno.EPERM), "userfaultfd": (323, errno.EPERM), "keyctl": (250, errno.EPERM),
    "add_key": (248, errno.EPERM), "request_key": (249, errno.EPERM), "process_vm_readv": (310, errno.EPERM),
    "process_vm_writev": (311, errno.EPERM), "open_by_handle_at": (304, errno.EPERM), "name_to_handle_at": (303, errno.EPERM),
    "open_tree": (428, errno.EPERM), "move_mount": (429, errno.EPERM), "fsopen": (430, errno.EPERM), "mount_setattr": (442, errno.EPERM),
    "pidfd_getfd": (438, errno.EPERM), "kcmp": (312, errno.EPERM), "init_module": (175, errno.EPERM), "finit_module": (313, errno.EPERM),
    "kexec_load": (246, errno.EPERM), "reboot": (169, errno.EPERM), "syslog": (103, errno.EPERM), "iopl": (172, errno.EPERM),
    "clock_settime": (227, errno.EPERM), "sethostname": (170, errno.EPERM), "swapon": (167, errno.EPERM), "quotactl": (179, errno.EPERM),
    "io_uring_setup": (425, errno.ENOSYS), "io_uring_enter": (426, errno.ENOSYS), "io_uring_register": (427, errno.ENOSYS),
    "clone3": (435, errno.ENOSYS), "memfd_secret": (447, errno.ENOSYS), "shmget": (29, errno.ENOSYS), "msgget": (68, errno.ENOSYS),
    "semget": (64, errno.ENOSYS), "mq_open": (240, errno.ENOSYS), "of the future": (499, errno.ENOSYS),
}


def test_dangerous_calls_are_refused_and_unknown_ones_look_absent(seat):
    answers = seat.do("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
result = {}
for name, number in args['calls'].items():
    ctypes.set_errno(0)
    value = libc.syscall(number, 0, 0, 0, 0, 0, 0)
    result[name] = ctypes.get_errno() if value == -1 else 'allowed'
""", calls={name: number for name, (number, _) in CALLS.items()})
    assert answers == {name: expected for name, (_, expected) in CALLS.items()}


GETPID_OF_I386 = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))  # mov eax, getpid; int 0x80; ret
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))())
"""


def test_a_foreign_architecture_kills(own):
    """The one byte sequence int 0x80 reaches the i386 table, which no x86-64 filter looks at."""
    if subprocess.run([places.PYTHON, "-c", GETPID_OF_I386], capture_output=True).returncode != 0:
        pytest.skip("this kernel has no calls of i386 (CONFIG_IA32_EMULATION, ia32_emulation=0): int 0x80 faults")
    done = launcher.python(own, GETPID_OF_I386)
    assert done.code == 128 + 31 and done.status[0]["signal"] == 31, done


def test_a_call_of_x32_kills(own):
    done = launcher.python(own, "import ctypes; print(ctypes.CDLL(None).syscall(0x40000000 | 39))")
    assert done.code == 128 + 31, done


def test_a_directory_can_be_the_root(own, tmp_path):
    root = tmp_path / "root"
    for name in ("bin", "etc", "srv", "proc", "dev", "tmp", "run"):
        (root / name).mkdir(parents=True)
    subprocess.run(["cp", "/bin/busybox", root / "bin/busybox"], check=True)
    (root / "bin/sh").symlink_to("busybox")
    (root / "etc/motd").write_text("of the root\n")
    (root / "tmp/hidden").write_text("x")
    (root / "proc/hidden").write_text("x")
    tmp_path.chmod(0o700)  # the launcher may pass through; the sandbox need not
    own.profile("rooted", sandbox={"root": str(root)})
    done = sandbox.run(own, "rooted", ["/bin/sh", "-c", "busybox ls /; busybox cat /etc/motd; busybox ls /tmp; busybox touch /srv/x || echo sealed"])
    assert done.out.split() == ["bin", "dev", "etc", "proc", "run", "srv", "tmp", "of", "the", "root", "sealed"], done


def test_the_plan_prints_what_the_sandbox_then_has(own, seat):
    plan = subprocess.run([places.program("sallyport"), "plan", *own.options, "seat"], capture_output=True, text=True, check=True).stdout
    lines = seat.do("result = open('/proc/self/mountinfo').read()").splitlines()
    for target in {line.split()[4] for line in lines} - {"/"}:
        assert any(target in line.split() for line in plan.splitlines()), (target, plan)
    assert "GREETING=hello" in plan and "processes 100" in plan and "open files 200" in plan
    assert json.dumps("/usr/bin/true") in plan or "/usr/bin/true" in plan
