"""The main path: a worker in a real sandbox runs a real container through gate and keeper."""
from support import sandbox

RUN_ONE = """
import docker
client = docker.from_env()
print(client.containers.run("busybox", ["sh", "-c", "echo from $(id -u)"], remove=True).decode(), end="")
"""


def test_a_worker_runs_a_container_with_docker_py(broker):
    broker.profile("slice", docker={})
    done = sandbox.run_python(broker, "slice", RUN_ONE)
    assert done.code == 0, done
    uid = int(done.out.split()[1])
    assert broker.uid_first <= uid <= broker.uid_last and uid % 16 == (broker.uid_first + 4) % 16, done


def test_a_profile_without_docker_has_no_docker(broker):
    broker.profile("plain")
    done = sandbox.run_python(broker, "plain", RUN_ONE)
    assert done.code == 1 and "DockerException" in done.stderr, done


def test_descriptor_3_speaks_http_at_once(worker):
    answer = worker.do("""
import os, socket
stream = socket.socket(fileno=os.dup(int(os.environ["SALLYPORT_FD"])))
stream.sendall(b"GET /_ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
result = stream.recv(4096).decode()
""")
    assert answer.startswith("HTTP/1.1 200 ") and answer.endswith("OK"), answer


def test_the_exit_status_of_the_worker_is_passed_on(broker):
    broker.profile("slice", docker={})
    assert sandbox.run(broker, "slice", ["/bin/sh", "-c", "exit 7"]).code == 7
    assert sandbox.run(broker, "slice", ["/bin/sh", "-c", "kill -TERM $$"]).code == 128 + 15


def test_what_was_decided_is_in_the_audit_trail_before_its_effect(broker):
    broker.profile("slice", docker={})
    before = len(broker.audit())
    assert sandbox.run_python(broker, "slice", RUN_ONE).code == 0
    records = broker.audit()[before:]
    events = [record["event"] for record in records]
    assert events[0] == "session-open" and events[-1] == "session-end", events
    requests = [(r["decision"], r["method"], r["endpoint"]) for r in records if r["event"] == "request" and r["source"] == "keeper"]
    assert ("ALLOW", "POST", "/containers/create") in requests, requests
    assert all(decision == "ALLOW" for decision, _, _ in requests), requests
    assert broker.audit_for_people().count("| ALLOW | POST /containers/create") >= 1
