"""Runs the main job and the hostile jobs, and says what it does as it goes. Exits with 1 if any step is not as it should be."""
import pathlib
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from rq import Queue  # noqa: E402
from rq.job import Job  # noqa: E402
from rq.serializers import JSONSerializer  # noqa: E402

from support import sandbox  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.dockerd import Dockerd  # noqa: E402
from support.processes import children_of, wait_until  # noqa: E402
from support.redis_server import Redis  # noqa: E402

DOCKER = "/usr/bin/docker"
SECRET = "patient-records-of-a-neighbour"
OS_DOOR, API_DOOR = "the OS door (launcher)", "the API door (broker)"
wrong = []


def say(text=""):
    print(text, flush=True)


def heading(text):
    say(f"\n== {text}")


def check(ok, what):
    say(f"   {'ok   ' if ok else 'WRONG'} {what}")
    if not ok:
        wrong.append(what)


def write_profiles(broker, redis):
    broker.profile("evaluator", command=[
        "/usr/bin/rq", "worker", "--url", f"redis://{redis.user}:{redis.password}@127.0.0.1:6379",
        "--serializer", "rq.serializers.JSONSerializer", "evaluations"],
        worker={"directory": "/tmp", "environment": {"PYTHONPATH": str(HERE), "LANG": "C.UTF-8"}},
        sandbox={"readable": [str(HERE)]}, limits={"pids": 128, "time": "10min"},
        forwards=[{"listen": "127.0.0.1:6379", "to": f"unix:{redis.socket}"}],
        docker={}, container={"memory": "64MiB", "pids": 64}, budget={"containers": 4})
    broker.profile("neighbour", command=[DOCKER, "run", "--name", "diary", "busybox", "sh", "-c", f"echo {SECRET}; sleep 600"],
                   docker={})


def start_session(broker, profile):
    run = sandbox.Run(broker, profile)
    wait_until(lambda: children_of(run.init_pid) or run.process.poll() is not None, 20, f"the worker of {profile} does not start: {run.stderr}")
    if run.process.poll() is not None:
        raise SystemExit(f"sallyport run {profile} ended with {run.process.returncode}:\n{run.stderr}")
    return run


def outcome(queue, function, *arguments):
    job = queue.enqueue(f"evaluations.{function}", args=arguments, job_timeout=60)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = Job.fetch(job.id, connection=queue.connection, serializer=JSONSerializer)
        if job.is_finished:
            return job.result
        if job.is_failed:
            return {"status": -1, "output": "", "error": "the job failed: " + str(job.exc_info)[-600:]}
        time.sleep(0.05)
    return {"status": -1, "output": "", "error": "the job did not end in 60 s"}


def run_evaluations(queue):
    heading("evaluation jobs: enqueued on the host, run by the worker in containers")
    for program, expected in (("echo hello from $(hostname -s | wc -c) characters of hostname", "hello"),
                              ("id -u; cat /proc/self/status | grep CapEff", "CapEff:\t0000000000000000"),
                              ("seq 1 100000 | tail -1", "100000"),
                              ("touch /x 2>&1 || true; echo data >/tmp/x && cat /tmp/x", "data")):
        result = outcome(queue, "evaluate", program)
        say(f"   {program}\n      -> {result.get('output', '').strip() or result}")
        check(result.get("status") == 0 and expected in result["output"], f"printed {expected!r}")
    result = outcome(queue, "evaluate", "exit 7")
    check(result.get("status") == 7, "an evaluation's exit status comes back (7)")


def hostile_jobs(foreign, neighbour, port):
    """What; arguments of the job; door that refuses; what the worker is told; what must never appear."""
    return [
        ("mount the host and read /etc/shadow", ("shell", [DOCKER, "run", "--rm", "-v", "/:/host", "busybox", "cat", "/host/etc/shadow"]),
         API_DOOR, "HostConfig.Binds", "root:"),
        ("exec into a foreign container named postgres", ("shell", [DOCKER, "exec", "postgres", "cat", "/proc/1/cmdline"]),
         API_DOOR, "postgres", "sleep"),
        ("the same by its full id", ("shell", [DOCKER, "exec", foreign, "cat", "/proc/1/cmdline"]), API_DOOR, "No such container", "sleep"),
        ("a privileged container", ("shell", [DOCKER, "run", "--rm", "--privileged", "busybox", "id"]), API_DOOR, "HostConfig.Privileged", "uid="),
        ("a container that sees the host's processes", ("shell", [DOCKER, "run", "--rm", "--pid=host", "busybox", "ps"]),
         API_DOOR, "HostConfig.PidMode", "PID"),
        ("read a neighbour's logs", ("shell", [DOCKER, "logs", neighbour]), API_DOOR, "No such container", SECRET),
        ("list everybody's containers", ("shell", [DOCKER, "ps", "-a", "-q", "--no-trunc"]), API_DOOR, "", neighbour),
        ("a container on the host's network", ("shell", [DOCKER, "run", "--rm", "--network", "host", "busybox", "id"]),
         API_DOOR, "NetworkMode", "uid="),
        ("reach a service of the host from the worker", ("connect", "127.0.0.1", port), OS_DOOR, "refused", "connected"),
        ("reach the internet from the worker", ("connect", "192.0.2.1", 80), OS_DOOR, "unreachable", "connected"),
        ("reach the network from a container", ("shell", [DOCKER, "run", "--rm", "busybox", "nc", "-w", "3", "192.0.2.1", "80"]),
         API_DOOR, "unreachable", "open"),
        ("read /etc/shadow directly", ("read", "/etc/shadow"), OS_DOOR, "No such file", "root:"),
    ]


def show_that_the_attacks_are_real(dockerd):
    heading("what the same attacks do where the worker holds the Docker socket")
    reference = subprocess.run([DOCKER, "-H", f"unix://{dockerd.socket}", "run", "--rm", "--network", "none", "-v", "/:/host", "busybox",
                                "cat", "/host/etc/shadow"], capture_output=True, text=True)
    check(reference.stdout.startswith("root:"), f"docker run -v /:/host ... cat /host/etc/shadow prints {len(reference.stdout.splitlines())} accounts")
    reference = subprocess.run([DOCKER, "-H", f"unix://{dockerd.socket}", "exec", "postgres", "cat", "/proc/1/cmdline"], capture_output=True, text=True)
    check("sleep" in reference.stdout, "docker exec postgres runs in a container of somebody else")


def run_hostile_jobs(queue, foreign, neighbour, port):
    heading("hostile jobs, run by the same worker")
    for what, job, door, told, forbidden in hostile_jobs(foreign, neighbour, port):
        result = outcome(queue, *job)
        said = (result.get("error") or result.get("output") or "").strip().splitlines()
        refused = result.get("status") != 0 or not told
        check(refused and forbidden not in result.get("output", "") and told in (result.get("error", "") + result.get("output", "")),
              f"{what}: refused by {door}")
        telling = [line for line in said if "sallyport:" in line] or said[-1:] or ["(nothing to see)"]
        say(f"         {telling[0][:170]}")


def main():
    started = time.monotonic()
    ends = []
    try:
        heading("starting a private dockerd, with busybox imported as its only image")
        dockerd = Dockerd()
        ends.append(dockerd.end)
        dockerd.import_busybox()
        foreign = dockerd.run_foreign("postgres")
        heading("starting a redis for this session alone (its user has no admin and no dangerous commands)")
        redis = Redis()
        ends.append(redis.end)
        heading("starting the broker: keeper and spawner")
        broker = Broker(dockerd.socket)
        ends.append(broker.remove)
        write_profiles(broker, redis)
        heading("sallyport run neighbour: another tenant, with a container of its own")
        other = start_session(broker, "neighbour")
        ends.append(other.end)
        neighbour = wait_until(lambda: next((c["Id"] for c in dockerd.containers() if c["Names"][0].endswith("-diary")), None), 20,
                               "the neighbour's container does not start")
        heading("sallyport run evaluator: an rq worker in the sandbox")
        worker = start_session(broker, "evaluator")
        ends.append(worker.end)
        queue = Queue("evaluations", connection=redis.client(), serializer=JSONSerializer)
        run_evaluations(queue)
        show_that_the_attacks_are_real(dockerd)
        with socket.create_server(("127.0.0.1", 0)) as service:
            run_hostile_jobs(queue, foreign, neighbour, service.getsockname()[1])
        check(worker.process.poll() is None, "the worker still runs: a refusal is an answer, not an end")
        heading("the end of the session: everything of it goes")
        worker.end()  # SIGTERM, which reaches the worker: rq finishes and leaves
        check(broker.kill_session(broker.audit(profile="neighbour")[0]["session"]).returncode == 0, "sallyport kill ends the neighbour's session")
        other.end()
        check([c["Id"] for c in dockerd.containers()] == [foreign], "only the foreign container is left at dockerd")
        heading("the audit trail (sallyport audit)")
        trail = broker.audit_for_people()
        say(trail)
        for needed in ("ALLOW", "DENY", "HostConfig.Binds", "HostConfig.Privileged"):
            check(needed in trail, f"the trail has {needed}")
    finally:
        for end in reversed(ends):
            end()
    heading(f"{'all steps as they should be' if not wrong else 'NOT as it should be: ' + '; '.join(wrong)} ({time.monotonic() - started:.0f} s)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
