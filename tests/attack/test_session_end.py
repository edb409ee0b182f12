"""When `sallyport run` has returned, nothing of its worker is left: whatever the worker did to outlive it."""
import pytest
from support import leaks, sandbox

PARK = """
import array, socket
keep = []
for i in range(300):  # the ends of its pipes wait in sockets that the gate holds
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        client.connect('/run/sallyport/docker.sock')
        client.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2] * 50))])
    except OSError: break
    keep.append(client)
"""
LINGER = """
import os, signal, threading, time
for i in range(10):
    if os.fork() == 0:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
        for _ in range(5): threading.Thread(target=time.sleep, args=(1000,)).start()
        os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(0.3)
"""


@pytest.mark.parametrize("code", ["pass", PARK, LINGER], ids=["plain", "descriptors-in-flight", "stopped-daemons"])
@pytest.mark.parametrize("door", [True, False], ids=["session", "no-session"])
def test_nothing_outlives_the_run(broker, dockerd, code, door):
    broker.profile("ends", **({"docker": {}} if door else {}))
    before = set(leaks._processes(broker.uid_first, broker.uid_last))
    done = sandbox.run_python(broker, "ends", code, seconds=20)
    assert done.code in (0, 1), done
    assert not set(leaks._processes(broker.uid_first, broker.uid_last)) - before, "of the worker, at the moment the launcher ended"
