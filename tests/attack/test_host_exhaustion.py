"""What one worker can use up of what the kernel counts for the whole host or for root, under a profile that names no limits."""
import ctypes

from support import launcher, sandbox

LIBC = ctypes.CDLL(None, use_errno=True)


def test_a_profile_without_limits_still_bounds_processes():
    forks = """
import os, time
count = 0
try:
    while count < 2000:
        if os.fork() == 0: time.sleep(60); os._exit(0)
        count += 1
except BlockingIOError: pass
print(count)
"""
    with launcher.host() as own:
        own.profile("plain")
        done = sandbox.run_python(own, "plain", forks)
    assert int(done.out) < 1024, done


def while_the_worker(code, check):
    with launcher.host() as own:
        own.profile("plain")
        with sandbox.Run(own, "plain", ["/usr/bin/python3", "-c", code]) as run:
            used = int(run.process.stdout.readline())
            assert used > 0, run.stderr
            return check()


def test_the_workers_inotify_instances_are_not_roots():
    """A user namespace's counts are charged to its owner outside as well: made by root, 128 instances were all of root's."""
    worker = """
import ctypes, sys
count = 0
while count < 300 and ctypes.CDLL(None).inotify_init1(0) >= 0: count += 1
print(count, flush=True)
sys.stdin.readline()
"""
    def roots():
        descriptor = LIBC.inotify_init1(0o2000000)
        return descriptor >= 0 and LIBC.close(descriptor) == 0
    assert while_the_worker(worker, roots), "root has no inotify instance left"


def test_the_workers_pending_signals_are_not_roots():
    worker = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
count = 0
while count < 1_000_000 and libc.sigqueue(os.getpid(), 40, None) == 0: count += 1
print(count, flush=True)
sys.stdin.readline()
"""
    def roots():
        timer = ctypes.c_void_p()
        made = LIBC.timer_create(1, None, ctypes.byref(timer)) == 0
        return made and LIBC.timer_delete(timer) == 0
    assert while_the_worker(worker, roots), "root can make no timer any more"
