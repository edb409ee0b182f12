"""Two sessions and what belongs to nobody: not seen, not named, not touched, and always the same 404."""
import pytest
from support import sandbox

ASK = """
import json, socket
def ask(method, target, body=None):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/run/sallyport/docker.sock')
    data = json.dumps(body).encode() if body is not None else b''
    head = f"{method} {target} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: {len(data)}\\r\\n"
    if data: head += "Content-Type: application/json\\r\\n"
    s.sendall(head.encode() + b"\\r\\n" + data)
    answer = b''
    while True:
        part = s.recv(65536)
        if not part: break
        answer += part
    head, _, body = answer.partition(b"\\r\\n\\r\\n")
    return [int(head.split()[1]), body.decode()]
"""
ON_A_CONTAINER = [("GET", "/v1.41/containers/{}/json"), ("GET", "/v1.41/containers/{}/logs?stdout=1"),
                  ("POST", "/v1.41/containers/{}/start"), ("POST", "/v1.41/containers/{}/stop?t=0"), ("POST", "/v1.41/containers/{}/kill"),
                  ("POST", "/v1.41/containers/{}/wait"), ("POST", "/v1.41/containers/{}/attach?stream=1&stdout=1"),
                  ("POST", "/v1.41/containers/{}/resize?h=1&w=1"), ("DELETE", "/v1.41/containers/{}?force=1")]


@pytest.fixture
def neighbours(broker):
    broker.profile("seat", docker={}, container={"memory": "64MiB"})
    with sandbox.Worker(broker, "seat") as one, sandbox.Worker(broker, "seat") as two:
        for worker in (one, two):
            worker.do(ASK)
        yield one, two


def run_one(worker, name=None):
    worker.do("""
status, body = ask('POST', '/v1.41/containers/create' + (f'?name={args["name"]}' if args["name"] else ''), {'Image': 'busybox', 'Cmd': ['sh', '-c', 'echo secret-of-mine; sleep 60']})
assert status == 201, body
result = json.loads(body)['Id']
assert ask('POST', f'/v1.41/containers/{result}/start')[0] == 204
""", name=name)
    return worker.do("result = result if False else json.loads(ask('GET', '/v1.41/containers/json')[1])[0]['Id']")


def test_a_session_sees_its_own_containers_and_no_others(neighbours, foreign):
    one, two = neighbours
    mine, theirs = run_one(one), run_one(two)
    assert mine != theirs
    for worker, own, other in ((one, mine, theirs), (two, theirs, mine)):
        listed = worker.do("result = ask('GET', '/v1.41/containers/json?all=1')[1]")
        assert own in listed and other not in listed and foreign not in listed


@pytest.mark.parametrize("method,target", ON_A_CONTAINER, ids=lambda value: value.split("/")[-1].split("?")[0] if "/" in value else value)
def test_a_neighbours_and_a_foreign_container_are_the_same_404_as_an_unknown_one(neighbours, foreign, dockerd, method, target):
    one, two = neighbours
    theirs = run_one(two, name="theirs")
    unknown = "f" * 64
    shapes = set()
    for reference in (unknown, theirs, theirs[:12], "theirs", foreign, foreign[:12], "victim_fix", f"sp-{one.broker.sessions()[-1]}-theirs"):
        status, body = one.do("result = ask(args['method'], args['target'])", method=method, target=target.format(reference))
        shapes.add((status, body.replace(reference, "REFERENCE")))
    assert len(shapes) == 1 and shapes.pop()[0] == 404
    assert dockerd.inspect(theirs)["State"]["Running"] and dockerd.inspect(foreign)["State"]["Running"]
    own = run_one(one, name="mine")  # the denied twin: the same request on its own container is no 404
    status, body = one.do("""
import threading
result = ask(args['method'], args['target']) if not args['streams'] else [200, '']
""", method=method, target=target.format(own), streams=method == "POST" and ("wait" in target or "attach" in target))
    assert status != 404, body


def test_two_sessions_may_use_the_same_name(neighbours):
    one, two = neighbours
    run_one(one, name="db")
    run_one(two, name="db")
    for worker in (one, two):
        assert "/db" in worker.do("result = json.loads(ask('GET', '/v1.41/containers/db/json')[1])['Name']")


def test_a_forged_label_or_name_makes_no_container_ones_own(neighbours, dockerd):
    """A container made outside the session, with the labels and the name that ours would have."""
    one, _ = neighbours
    mine = run_one(one)
    labels = dockerd.inspect(mine)["Config"]["Labels"]
    session = labels["sallyport.session"]
    forged = dockerd.run_foreign(f"sp-{session}-forged", labels=labels)
    try:
        for reference in (forged, forged[:12], "forged"):
            assert one.do("result = ask('GET', f'/v1.41/containers/{args[\"r\"]}/json')[0]", r=reference) == 404
        assert forged not in one.do("result = ask('GET', '/v1.41/containers/json?all=1')[1]")
    finally:
        dockerd.remove(forged)


def test_labels_forged_by_an_image_do_not_change_whose_a_container_is(broker, dockerd):
    dockerd.import_busybox("forged:latest", changes=['LABEL sallyport.session=000000000000', 'LABEL sallyport.broker=other'])
    broker.profile("forger", docker={"images": ["forged:*"]})
    with sandbox.Worker(broker, "forger") as worker:
        worker.do(ASK)
        status, body = worker.do("result = ask('POST', '/v1.41/containers/create', {'Image': 'forged', 'Cmd': ['true']})")
        assert status == 201, body
        (made,) = [c for c in dockerd.containers() if c["Image"].startswith("sha256:") or "forged" in c["Image"]]
        assert made["Labels"]["sallyport.session"] == broker.sessions()[-1]
        assert made["Labels"]["sallyport.broker"] != "other"


def test_inspect_hides_where_things_are_on_the_host(neighbours, dockerd):
    one, _ = neighbours
    mine = run_one(one)
    shown = one.do("result = ask('GET', f'/v1.41/containers/{args[\"r\"]}/json')[1]", r=mine)
    at_dockerd = dockerd.inspect(mine)
    assert dockerd.directory.name in str(at_dockerd), "the fact to hide is there"
    assert dockerd.directory.name not in shown and str(at_dockerd["State"]["Pid"]) not in shown
