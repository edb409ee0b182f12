"""SIGKILL of any part at any moment: within 5 s nothing of the session is left (of the broker: 5 s after it answers again)."""
import os
import random
import signal
import time

import pytest
from support import leaks, places, sandbox
from support.broker import Broker
from support.busy import LOOP
from support.processes import is_alive, wait_until

from test_forward import Echo

ROUNDS = int(os.environ.get("SALLYPORT_KILL_ROUNDS", "100"))
PARTS = ["launcher", "init", "worker", "gate", "relay", "spawner", "keeper"]
SEED = int(os.environ.get("SALLYPORT_KILL_SEED", "1"))


@pytest.fixture(scope="module")
def scene(dockerd):
    broker = Broker(dockerd.socket, sessions=8)
    echo = Echo(broker.directory)
    broker.profile("busy", docker={}, container={"memory": "64MiB"}, budget={"creates": "6000/min", "requests": "60000/min"},
                   forwards=[{"listen": "127.0.0.1:6379", "to": echo.address}])
    yield broker
    echo.end()
    broker.remove()


def find(part, broker, running):
    """The pid of a part, as soon as there is one."""
    if part == "launcher":
        return running.launcher_pid
    if part == "init":
        return running.init_pid
    if part == "worker":
        return running.worker_pid
    if part in ("gate", "relay"):
        return wait_until(lambda: (broker.processes_of(part) or [None])[0], 10, f"no {part}: {running.stderr}", every=0.002)
    return broker.spawner_pid if part == "spawner" else broker.keeper_pid


def kill_one(part, delay, broker, dockerd):
    if not broker.alive():
        broker.start()
    first, last = broker.uid_first, broker.uid_last
    with sandbox.Run(broker, "busy", [places.PYTHON, "-u", "-c", LOOP]) as running:
        begin = time.monotonic()
        time.sleep(delay)
        victim = find(part, broker, running)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        code = running.wait(5)  # the launcher ends by itself, whatever was killed
        assert code != 0, f"{part} killed after {killed - begin:.3f} s: the run ended as if all were well"
        wait_until(lambda: not leaks._processes(first, last), max(0.1, killed + 5 - time.monotonic()),
                   f"processes are left after {part} was killed: {leaks._processes(first, last)}")
    if part in ("spawner", "keeper"):
        broker.daemon.process.wait(5)
        wait_until(lambda: not is_alive(victim), 5, "killed and still there")
        broker.start()
        killed = time.monotonic()
    leaks.wait_until_clean(broker, dockerd, seconds=max(0.1, killed + 5 - time.monotonic()))


def test_a_kill_at_any_moment_leaves_nothing(scene, dockerd):
    chance = random.Random(SEED)
    counts = dict.fromkeys(PARTS, 0)
    for number in range(ROUNDS):
        part = PARTS[number % len(PARTS)]
        delay = chance.choice([0, chance.uniform(0, 0.1), chance.uniform(0, 1.0)])
        try:
            kill_one(part, delay, scene, dockerd)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"round {number}: {part} killed after {delay:.3f} s (seed {SEED}): {error}\n"
                                 f"broker: {scene.daemon.log_tail(15)}") from error
        counts[part] += 1
    print(f"\nkilled: {counts}")


def test_a_run_that_is_not_killed_is_not_ended(scene, dockerd):
    """The twin: the same worker is still at work after the time in which the killed ones were gone."""
    if not scene.alive():
        scene.start()
    with sandbox.Run(scene, "busy", [places.PYTHON, "-u", "-c", LOOP]) as running:
        assert running.process.stdout.readline() == b"busy\n"
        time.sleep(3)
        assert running.process.poll() is None and len(leaks._processes(scene.uid_first, scene.uid_last)) >= 4
    leaks.wait_until_clean(scene, dockerd)
