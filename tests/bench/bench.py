"""Measures Sallyport against what it replaces, side by side in one run: ratios, because the machine's speed is not ours."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import leaks, places, sandbox  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.dockerd import Dockerd  # noqa: E402
from support.processes import Daemon, private_bytes  # noqa: E402

CLIENT = str(places.BIN / "bench_client")
ROUNDS = int(os.environ.get("SALLYPORT_BENCH_ROUNDS", "3"))
SECONDS = os.environ.get("SALLYPORT_BENCH_SECONDS", "2")
results = []


def client(*arguments):
    done = subprocess.run([CLIENT, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr}")
    return json.loads(done.stdout)


def record(name, unit, ours, peer, peer_name, goal, ratio=None):
    ratio = ratio if ratio is not None else (ours / peer if peer else None)
    results.append({"name": name, "unit": unit, "ours": round(ours, 4), "peer": round(peer, 4) if peer is not None else None,
                    "peer_name": peer_name, "ratio": round(ratio, 3) if ratio is not None else None, "goal": goal})
    shown = f"{peer:12.3f}" if peer is not None else " " * 12
    ratio_shown = f"{ratio:7.3f}" if ratio is not None else " " * 7
    print(f"{name:58} {ours:12.3f} {shown} {ratio_shown}  {unit:12} {peer_name:26} goal {goal}", flush=True)


def launch(broker):
    broker.profile("true", command=["/usr/bin/busybox", "true"])
    ours = [str(places.BIN / "sallyport-run"), *broker.options, "true"]
    if not os.path.exists(ours[0]):
        ours = [str(places.BIN / "sallyport"), "run", *broker.options, "true"]
    bwrap = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup",
             "--uid", "1000", "--gid", "1000", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
             "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/sbin", "/sbin", "--dir", "/etc", "--proc", "/proc", "--dev", "/dev",
             "--tmpfs", "/tmp", "--hostname", "sandbox", "--die-with-parent", "--clearenv", "/usr/bin/busybox", "true"]
    client("spawn", 10, *ours, ":::", *bwrap)
    took = client("spawn", 150, *ours, ":::", *bwrap)
    record("launch of a static true", "ms", took["first_ms"], took["second_ms"], "bwrap, same namespaces", "<= 1.0")


class Haproxy:
    def __init__(self, upstream, directory):
        self.socket = f"{directory}/haproxy.sock"
        config = pathlib.Path(directory) / "haproxy.cfg"
        text = (pathlib.Path(__file__).parent / "haproxy.cfg").read_text()
        config.write_text(text.replace("UPSTREAM", upstream).replace("LISTEN", self.socket))
        environment = {**os.environ, "CONTAINERS": "1", "POST": "1", "PING": "1", "VERSION": "1"}
        self.daemon = Daemon(["/usr/sbin/haproxy", "-f", config, "-db"], f"{directory}/haproxy.log", environment)
        self.daemon.wait_ready(lambda: os.path.exists(self.socket), 10, "haproxy does not listen")

    def end(self):
        self.daemon.end(5)


def inspect(upstream_name, direct, broker, directory):
    """Latency on one connection and throughput on sixteen, of direct, HAProxy and us, round robin."""
    haproxy = Haproxy(direct, directory)
    broker.profile("bench", docker={}, container={"memory": "64MiB"}, budget={"creates": "6000/min", "requests": "10000000/min"})
    with sandbox.Worker(broker, "bench") as worker:
        made = ask(worker.docker_socket, "POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": ["sleep", "600"]})
        target = f"/v1.41/containers/{made['Id']}/json"
        peers = {"ours": worker.docker_socket, "direct": direct, "HAProxy 2.6": haproxy.socket}
        for connections in (1, 16):
            got = {name: [] for name in peers}
            for _ in range(ROUNDS):
                for name, path in peers.items():
                    got[name].append(client("load", path, connections, SECONDS, target))
            best = {name: {key: statistics.median(one[key] for one in runs) for key in ("rate", "p50_ms", "p99_ms")}
                    for name, runs in got.items()}
            for peer in ("direct", "HAProxy 2.6"):
                goal = "better than 1.0" if peer != "direct" else "shown"
                record(f"inspect on {upstream_name}, {connections} conn., latency p50", "ms", best["ours"]["p50_ms"], best[peer]["p50_ms"],
                       peer, goal.replace("better than 1.0", "< 1.0"))
                record(f"inspect on {upstream_name}, {connections} conn., throughput", "requests/s", best["ours"]["rate"], best[peer]["rate"],
                       peer, goal.replace("better than 1.0", "> 1.0"))
    haproxy.end()


def ask(path, method, target, body=None):
    from support import raw_http
    reply = raw_http.request(path, method, target, body)
    assert reply.status < 300, reply
    return reply.json() if reply.body else None


def canonical_body(dockerd, path, directory, command, name):
    """What the keeper makes of a plain request, to be sent to dockerd directly: both sides ask for the same container."""
    from support.recorder import Recorder
    recorder = Recorder(dockerd.socket)
    broker = Broker(recorder.socket)
    broker.profile("bench", docker={}, container={"memory": "64MiB"})
    with sandbox.Worker(broker, "bench") as worker:
        ask(worker.docker_socket, "POST", "/v1.41/containers/create", {"Image": "busybox", "Cmd": command, "AttachStdout": True})
        body = next(r for r in recorder.take() if r.path.endswith("/create")).json()
    broker.remove()
    recorder.end()
    body["HostConfig"]["CgroupParent"] = ""
    body["Labels"] = {}
    file = pathlib.Path(directory) / f"{name}-direct.json"
    file.write_text(json.dumps(body))
    ours = pathlib.Path(directory) / f"{name}-ours.json"
    ours.write_text(json.dumps({"Image": "busybox", "Cmd": command, "AttachStdout": True}))
    return ours, file


def containers(dockerd, broker, directory):
    ours_body, direct_body = canonical_body(dockerd, None, directory, ["true"], "true")
    big = ["dd", "if=/dev/zero", "bs=1M", "count=1024", "status=none"]
    ours_big, direct_big = canonical_body(dockerd, None, directory, big, "big")
    broker.profile("bench", docker={}, container={"memory": "64MiB"}, budget={"creates": "6000/min", "requests": "10000000/min"})
    with sandbox.Worker(broker, "bench") as worker:
        ours, direct = [], []
        for _ in range(4 * ROUNDS):
            ours += client("lifecycle", worker.docker_socket, 5, ours_body)
            direct += client("lifecycle", dockerd.socket, 5, direct_body)
        record("container create+start+wait+remove", "ms", statistics.median(ours), statistics.median(direct), "direct", "<= 1.05")
        ours, direct = [], []
        for _ in range(ROUNDS):
            ours.append(client("attach", worker.docker_socket, ours_big)["mib_per_second"])
            direct.append(client("attach", dockerd.socket, direct_big)["mib_per_second"])
        record("1 GiB of container output through attach", "MiB/s", statistics.median(ours), statistics.median(direct), "direct", ">= 0.8")


def memory(dockerd):
    broker = Broker(dockerd.socket, sessions=128, config_extra="max_sessions = 128\n")
    broker.profile("idle", docker={}, command=["/usr/bin/busybox", "sleep", "600"])
    runs = []
    try:
        for number in range(100):
            runs.append(sandbox.Run(broker, "idle"))
            if number % 10 == 9:
                time.sleep(0.5)
        deadline = time.monotonic() + 60
        while len(broker.processes_of("gate")) < 100 and time.monotonic() < deadline:
            time.sleep(0.2)
        gates = broker.processes_of("gate")
        assert len(gates) == 100, f"{len(gates)} gates: {runs[-1].stderr}"
        time.sleep(1)
        record("private memory of an idle session's gate", "MiB", max(private_bytes(g) for g in gates) / 2**20, None, "", "<= 4")
        record("private memory of the keeper at 100 sessions", "MiB", private_bytes(broker.keeper_pid) / 2**20, None, "", "<= 12")
    finally:
        for run in runs:
            run.process.terminate()
        for run in runs:
            run.end()
        leaks.wait_until_clean(broker, dockerd, 20)
        broker.remove()


def main():
    wanted = set(sys.argv[1:])
    dockerd = Dockerd()
    directory = places.make_directory("bench")
    broker = upstream = fast_broker = None
    try:
        dockerd.import_busybox()
        broker = Broker(dockerd.socket)
        fast = f"{directory}/fast.sock"
        upstream = Daemon([places.BIN / "bench_upstream", fast, dockerd.socket], f"{directory}/upstream.log")
        upstream.wait_ready(lambda: os.path.exists(fast), 5, "the fast upstream does not listen")
        fast_broker = Broker(fast)
        print(f"{'':58} {'ours':>12} {'peer':>12} {'ratio':>7}")
        parts = {"launch": lambda: launch(broker), "containers": lambda: containers(dockerd, broker, directory),
                 "inspect": lambda: (inspect("dockerd", dockerd.socket, broker, directory),
                                     inspect("a fast upstream", fast, fast_broker, directory)),
                 "memory": lambda: memory(dockerd)}
        for name, part in parts.items():
            if not wanted or name in wanted:
                part()
    finally:
        for one in (broker, fast_broker):
            if one:
                one.remove()
        if upstream:
            upstream.end()
        dockerd.end()
        places.remove_directory(directory)
    file = places.ROOT / "build/bench.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {file}")


main()
