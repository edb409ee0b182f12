"""Forms of requests that real clients send and that dockerd takes: what they mean holds at a real dockerd, and no more."""
import json
import time
import urllib.parse

import pytest
from support.processes import wait_until
from support.raw_http import Connection, frames

SIGNALLED = ["sh", "-c", "trap 'echo got it' 37; trap 'exit 7' 38; echo ready; while :; do sleep 0.1; done"]


class Client:
    def __init__(self, worker):
        self.worker = worker

    def ask(self, method, target, body=None, status=None):
        with Connection(self.worker.connect()) as connection:
            reply = connection.request(method, target, body)
        assert status is None or reply.status == status, reply
        return reply

    def create(self, named, status=201, query="", **fields):
        return self.ask("POST", f"/v1.41/containers/create?name={named}{query}", {"Image": "busybox", **fields}, status)

    def start(self, name):
        self.ask("POST", f"/v1.41/containers/{name}/start", status=204)

    def run(self, name, **fields) -> str:
        self.create(name, **fields)
        self.start(name)
        self.ask("POST", f"/v1.41/containers/{name}/wait", status=200)
        return self.output(name)

    def output(self, name, query="") -> str:
        body = self.ask("GET", f"/v1.41/containers/{name}/logs?stdout=1&stderr=1{query}", status=200).body
        return b"".join(frames(body).values()).decode()

    def names(self, filters) -> list:
        listed = self.ask("GET", "/v1.41/containers/json?all=1&filters=" + urllib.parse.quote(json.dumps(filters)), status=200).json()
        return sorted(name for container in listed for name in container["Names"])


@pytest.fixture
def client(worker):
    return Client(worker)


def test_a_real_time_signal_reaches_the_own_container_and_no_other(client, dockerd):
    made = dockerd.request("POST", "/v1.41/containers/create?name=signalled_other",
                           {"Image": "busybox", "Cmd": SIGNALLED, "HostConfig": {"NetworkMode": "none"}})
    other = made.json()["Id"]
    try:
        assert dockerd.request("POST", f"/v1.41/containers/{other}/start").status == 204
        client.create("own", Cmd=SIGNALLED, StopSignal="SIGRTMIN+4")
        client.start("own")
        output_of_other = lambda: dockerd.request("GET", f"/v1.41/containers/{other}/logs?stdout=1").body  # noqa: E731
        wait_until(lambda: "ready" in client.output("own") and b"ready" in output_of_other(), 10, "a container is not ready")
        for name in (other, other[:12], "signalled_other"):
            client.ask("POST", f"/v1.41/containers/{name}/kill?signal=SIGRTMIN%2B3", status=404)
        client.ask("POST", "/v1.41/containers/own/kill?signal=SIGRTMIN%2B3", status=204)
        wait_until(lambda: "got it" in client.output("own"), 10, "the signal did not come")
        for bad in ("32", "33", "65", "RTMIN%2B16", "RTMAX-15", "RTMIN%2B03"):
            client.ask("POST", f"/v1.41/containers/own/kill?signal={bad}", status=400)
        client.ask("POST", "/v1.41/containers/own/stop?t=20", status=204)  # by its own stop signal
        assert client.ask("GET", "/v1.41/containers/own/json").json()["State"]["ExitCode"] == 7
        assert b"got it" not in output_of_other() and dockerd.inspect(other)["State"]["Running"]
    finally:
        dockerd.remove(other)


def test_a_variable_without_value_is_taken_out_of_the_images(client, dockerd):
    dockerd.import_busybox("busybox:with-env", changes=["ENV FROM_IMAGE=yes"])
    assert "FROM_IMAGE=yes" in client.run("with", Image="busybox:with-env", Cmd=["env"])
    output = client.run("without", Image="busybox:with-env", Cmd=["env"], Env=["FROM_IMAGE", "GIVEN=1", "discovery.type=one", "NOWHERE"])
    assert "FROM_IMAGE" not in output and "NOWHERE" not in output, output
    assert "GIVEN=1" in output and "discovery.type=one" in output, output
    assert "HOME=/tmp\n" in output
    assert "HOME=/tmp\n" not in client.run("homeless", Cmd=["env"], Env=["HOME"])
    client.create("bad", status=400, Env=["A B"])


def test_labels_in_any_language_are_kept_and_found(client, dockerd):
    client.create("one", Labels={"größe": "大", "Case": "1", "case": "2"}, Cmd=["true"])
    client.create("two", Labels={"größe": "小"}, Cmd=["true"])
    assert client.ask("GET", "/v1.41/containers/one/json").json()["Config"]["Labels"] == {"größe": "大", "Case": "1", "case": "2"}
    assert client.names({"label": {"größe=大": True}}) == ["/one"]
    assert client.names({"label": ["größe"]}) == ["/one", "/two"]
    assert client.names({"label": ["case=1"]}) == []
    made = [c for c in dockerd.containers() if c["Labels"].get("sallyport.session")]
    assert made and all(set(c["Labels"]) == {"sallyport.broker", "sallyport.session"} for c in made), "a label reached dockerd"
    client.create("three", status=403, Labels={"sallyport.session": "x"})


def test_a_host_name_may_hold_underscores_and_dots(client):
    assert client.run("named", Hostname="db_1.example.com", Cmd=["hostname"]) == "db_1.example.com\n"
    client.create("bad", status=403, Hostname="a 1.2.3.4")


def test_a_name_in_the_body_repeats_the_query_or_is_refused(client):
    """As dockerode sends it."""
    client.create("web", query="&Image=busybox&Cmd=true", Cmd=["true"], name="web")
    assert client.ask("GET", "/v1.41/containers/web/json").json()["Name"] == "/web"
    assert "as the query has it" in client.create("db", status=400, Cmd=["true"], name="web2").message


def test_logs_since_and_until_take_a_date_and_time(client):
    client.run("talker", Cmd=["sh", "-c", "echo first; sleep 2; echo second"])
    line = client.output("talker", "&timestamps=1").splitlines()[0]
    between = int(time.mktime(time.strptime(line[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone) + 1
    written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between))
    assert client.output("talker", f"&since={written}Z") == client.output("talker", f"&since={between}") == "second\n"
    assert client.output("talker", f"&until={written}Z") == client.output("talker", f"&until={between}") == "first\n"
    assert client.output("talker", "&until=1969-12-31") == client.output("talker", "&until=-5") == ""
    client.ask("GET", "/v1.41/containers/talker/logs?stdout=1&since=yesterday", status=400)


def test_upgrade_and_chunk_extensions_change_nothing(client, worker):
    body = json.dumps({"Image": "busybox", "Cmd": ["true"]})
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with Connection(worker.connect()) as connection:
        connection.send(f"GET /_ping HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
        assert connection.read_reply().body == b"OK"
        connection.send(("POST /v1.41/containers/create?name=chunks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         f"Transfer-Encoding: chunked\r\n\r\n{len(body):x};a=\"b\"\r\n{body}\r\n0\r\n\r\n").encode())
        assert connection.read_reply().status == 201
        connection.send(f"POST /v1.41/containers/nothing/start HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
        assert connection.read_reply().status == 404
        assert connection.read_to_end() == b"", "what follows a refusal with Upgrade is not read as a request"
