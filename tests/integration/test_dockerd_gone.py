"""dockerd dies and comes back: 503 with a message meanwhile, then all works again, and nothing of ended sessions is left."""
import time

import pytest
from support import leaks, places, sandbox
from support.broker import Broker
from support.busy import LOOP
from support.dockerd import Dockerd

LIST = """
import json, socket
def ask(method, target, body=None):
    s = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect('/run/sallyport/docker.sock')
    data = json.dumps(body).encode() if body is not None else b''
    s.sendall((f"{method} {target} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\nContent-Length: {len(data)}\\r\\n\\r\\n").encode() + data)
    answer = b''
    while True:
        part = s.recv(65536)
        if not part: break
        answer += part
    head, _, body = answer.partition(b"\\r\\n\\r\\n")
    return [int(head.split()[1]), body.decode()]
"""


@pytest.fixture(scope="module")
def scene():
    dockerd = Dockerd()
    dockerd.import_busybox()
    broker = Broker(dockerd.socket)
    broker.profile("seat", docker={}, container={"memory": "64MiB"}, budget={"creates": "6000/min", "requests": "60000/min"})
    yield broker, dockerd
    broker.remove()
    dockerd.end()


def test_while_dockerd_is_gone_the_answer_is_503_and_then_all_works_again(scene):
    broker, dockerd = scene
    with sandbox.Worker(broker, "seat") as worker:
        worker.do(LIST)
        make = "result = ask('POST', '/containers/create', {'Image': 'busybox', 'Cmd': ['sleep', '60']})"
        assert worker.do(make)[0] == 201
        dockerd.kill()
        status, body = worker.do(make)
        assert status == 503 and "dockerd" in body.lower() and body.startswith('{"message":'), (status, body)
        assert worker.do("result = ask('GET', '/_ping')")[0] == 200, "what the gate answers alone goes on"
        dockerd.start()
        assert worker.do(make)[0] == 201
    leaks.wait_until_clean(broker, dockerd)


@pytest.mark.parametrize("number", range(5))
def test_a_kill_of_dockerd_under_a_session_leaves_nothing(scene, number):
    broker, dockerd = scene
    with sandbox.Run(broker, "seat", [places.PYTHON, "-u", "-c", LOOP]) as running:
        assert running.process.stdout.readline() == b"busy\n"
        time.sleep(0.1 + 0.2 * number)
        dockerd.kill()
        if number % 2:
            dockerd.start()  # the session ends after it is back
            time.sleep(0.3)
    begin = time.monotonic()
    leaks_now = leaks._processes(broker.uid_first, broker.uid_last)
    while leaks_now and time.monotonic() < begin + 5:
        time.sleep(0.05)
        leaks_now = leaks._processes(broker.uid_first, broker.uid_last)
    assert not leaks_now, "processes outlive their session"
    if not number % 2:
        dockerd.start()
    assert broker.alive()
    leaks.wait_until_clean(broker, dockerd, seconds=5)
