"""The unmodified docker CLI inside the sandbox: 20.10 always, and a newer one where the machine has it."""
import os
import time

import pytest

NEWER = "/usr/local/bin/docker"
RUN = """
import subprocess
done = subprocess.run(args["command"], input=args["stdin"].encode(), capture_output=True, timeout=args["limit"])
result = [done.returncode, done.stdout.decode(), done.stderr.decode()]
"""


class Cli:
    def __init__(self, worker, program):
        self.worker, self.program = worker, program

    def __call__(self, *arguments, stdin="", seconds=40):
        code, out, err = self.worker.do(RUN, command=[self.program, *arguments], stdin=stdin, limit=seconds, seconds=seconds + 5)
        return code, out, err

    def ok(self, *arguments, **options) -> str:
        code, out, err = self(*arguments, **options)
        assert code == 0, (arguments, code, out, err)
        return out.strip()


@pytest.fixture(params=["/usr/bin/docker", NEWER], ids=["20.10", "newer"])
def cli(worker, request):
    if request.param == NEWER and not os.path.exists(NEWER):
        pytest.skip(f"no other docker CLI on this machine ({NEWER}); only 20.10 was tested")
    return Cli(worker, request.param)


def test_run_prints_the_output_and_passes_the_exit_code(cli):
    assert cli("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\n", "err\n")
    assert cli.ok("ps", "-aq") == ""


def test_run_reads_a_pipe_to_its_end(cli):
    text = "line\n" * 20000
    assert cli("run", "--rm", "-i", "busybox", "wc", "-c", stdin=text) == (0, f"{len(text)}\n", "")


def test_a_detached_container_is_seen_waited_for_and_removed(cli):
    identity = cli.ok("run", "-d", "--name", "job", "busybox", "sh", "-c", "echo working; sleep 1; exit 5")
    assert len(identity) == 64
    assert cli.ok("ps", "--format", "{{.Names}}") == "job"
    assert cli.ok("inspect", "-f", "{{.Name}} {{.State.Running}}", "job") == "/job true"
    assert cli.ok("wait", "job") == "5"
    assert cli.ok("logs", "job") == "working"
    assert cli.ok("ps", "-q") == ""
    assert cli.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}").startswith("job Exited (5)")
    assert cli.ok("rm", "-f", "job") == "job"
    assert cli.ok("ps", "-aq") == ""


def test_logs_follow_until_the_container_ends(cli):
    cli.ok("run", "-d", "--name", "talker", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done")
    assert cli.ok("logs", "-f", "talker") == "1\n2\n3"
    cli.ok("rm", "talker")


def test_kill_and_stop_end_a_container(cli):
    for verb, code in (("kill", "137"), ("stop", "0")):
        cli.ok("run", "-d", "--name", verb, "busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
        time.sleep(0.3)
        cli.ok(verb, verb)
        assert cli.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", verb) == f"exited {code}"
        cli.ok("rm", "-f", verb)


def test_attach_shows_what_a_running_container_says_from_then_on(cli):
    cli.ok("run", "-d", "--name", "later", "busybox", "sh", "-c", "echo early; sleep 2; echo later; sleep 0.2")
    time.sleep(0.5)
    assert cli.ok("attach", "--no-stdin", "later") == "later"
    cli.ok("rm", "-f", "later")


def test_a_terminal_is_given_where_the_client_asks_for_one(cli):
    # The CLI wants a terminal of its own for -t with -i; without -i it does not.
    assert cli.ok("run", "--rm", "-t", "busybox", "sh", "-c", "test -t 1 && echo a terminal") == "a terminal"


def test_inspect_of_what_does_not_exist_says_so(cli):
    code, _, err = cli("inspect", "nothing")
    assert code == 1 and "No such object: nothing" in err, err


def test_what_is_refused_is_refused_at_create_with_the_reason(cli):
    for refused, rule in ((["-v", "/:/host"], "Binds"), (["--privileged"], "Privileged"), (["--pid=host"], "PidMode"),
                          (["--cap-add", "SYS_ADMIN"], "CapAdd"), (["--device", "/dev/vda"], "Devices"),
                          (["--network=host"], "NetworkMode"), (["--security-opt", "seccomp=unconfined"], "SecurityOpt")):
        code, out, err = cli("run", "--rm", *refused, "busybox", "true")
        assert code == 125 and rule in err and out == "", (refused, code, out, err)
    assert cli.ok("ps", "-aq") == ""


def test_an_image_that_the_profile_does_not_name_is_refused_and_the_list_is_shown(cli):
    code, _, err = cli("run", "--rm", "volumed", "true")
    assert code == 125 and "busybox" in err, err


def test_version_and_info_are_answered_without_facts_of_the_host(cli):
    assert cli.ok("version", "--format", "{{.Server.Version}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}}") == "28.5.2 1.51 1.24"
    assert "Sallyport" in cli.ok("version") and cli.ok("info", "--format", "{{.ServerVersion}}") == "28.5.2"
    code, out, err = cli("info")
    assert os.uname().release not in out + err and os.uname().nodename not in out.split(), out
