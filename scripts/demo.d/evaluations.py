"""The jobs that the demo enqueues. rq imports this module inside the sandbox, where only the broker's API is within reach."""
import socket
import subprocess

import docker


def evaluate(program):
    """What an evaluation does: runs a program in a container of its own and returns what it printed."""
    client = docker.from_env()
    container = client.containers.run("busybox", ["sh", "-c", program], detach=True)
    try:
        status = container.wait()["StatusCode"]
        return {"status": status, "output": container.logs().decode()}
    finally:
        container.remove(force=True)


def shell(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    return {"status": done.returncode, "output": done.stdout, "error": done.stderr}


def read(path):
    try:
        with open(path) as file:
            return {"status": 0, "output": file.read(), "error": ""}
    except OSError as error:
        return {"status": 1, "output": "", "error": str(error)}


def connect(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
        return {"status": 0, "output": "connected", "error": ""}
    except OSError as error:
        return {"status": 1, "output": "", "error": str(error)}
