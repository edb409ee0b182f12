"""The span of uids must be nobody else's: what the host's files give away is refused, and whoever runs there is named."""
import pathlib
import subprocess

import pytest
from support import launcher, sandbox
from support.broker import Broker
from support.processes import wait_until

EX_CONFIG = 78


@pytest.fixture
def own(dockerd):
    made = Broker(dockerd.socket, sessions=4, start=False)
    made.profile("plain")
    yield made
    made.remove()


def with_file(own, name, line, command):
    """`command` where /etc/NAME has one line more."""
    before = pathlib.Path("/etc", name)
    changed, over = own.directory / name, own.directory / "over"
    changed.write_text((before.read_text() if before.exists() else "") + line + "\n")
    changed.chmod(0o644)
    over.mkdir(exist_ok=True)
    # It may not be there yet, so all of /etc is covered by one that has it.
    script = (f"mount -t tmpfs none {over} && mkdir {over}/upper {over}/work && cp {changed} {over}/upper/{name} && "
              f"mount -t overlay none -o lowerdir=/etc,upperdir={over}/upper,workdir={over}/work /etc && exec \"$@\"")
    return subprocess.run(["unshare", "--mount", "/bin/sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=20)


LINES = {
    "passwd": "stranger:x:{}:65534::/:/bin/false",
    "group": "stranger:x:{}:",
    "subuid": "stranger:{}:65536",
    "subgid": "stranger:{}:65536",
}


@pytest.mark.parametrize("name", LINES)
def test_a_span_with_ids_that_the_host_gives_to_others_is_refused(own, name):
    first, last = own.uid_first, own.uid_last
    broker = [own.program("sallyport-broker"), *own.options]
    for command in (launcher.command(own, "plain", "/bin/true"), broker):
        meets = with_file(own, name, LINES[name].format(last), command)
        assert meets.returncode == EX_CONFIG, meets
        assert f"uid_span {first}-{last} has ids that /etc/{name} gives to \"stranger\"" in meets.stderr, meets
    beside = with_file(own, name, LINES[name].format(last + 1), launcher.command(own, "plain", "/bin/true"))
    assert beside.returncode == 0, beside


def test_a_range_of_subuids_that_reaches_into_the_span_is_refused_and_one_that_ends_before_is_not(own):
    for count, code in ((1001, EX_CONFIG), (1000, 0)):
        line = f"stranger:{own.uid_first - 1000}:{count}"
        done = with_file(own, "subuid", line, launcher.command(own, "plain", "/bin/true"))
        assert done.returncode == code, (line, done)


def test_a_process_that_runs_under_uids_of_the_span_is_named_and_one_of_a_session_is_not(own):
    with sandbox.Run(own, "plain", ["/bin/sleep", "60"]) as run:
        uid = own.uid_first + (run.uid_base + 17 - own.uid_first) % 64  # of the range behind the session's, of four
        with subprocess.Popen(["/bin/sleep", "60"], user=uid, group=uid, extra_groups=[]) as stranger:
            try:
                own.start()
                said = wait_until(lambda: "uid_span is not ours alone" in own.log_file.read_text() and own.log_file.read_text(), 10,
                                  "nothing is said")
                assert f"({stranger.pid} as uid {uid})" in said, said
            finally:
                stranger.kill()
        own.end()
        own.log_file.write_text("")
        own.start()
        assert "not ours alone" not in own.log_file.read_text()
