"""For checks that run inside a booted machine, as root: tests/systemd and tests/vm."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import traceback

PATIENCE = 1  # a virtual machine without KVM wants more
CHECK_WITHIN = 100  # seconds; longer than any takes, so short that one which hangs leaves time to the others


def run(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=90 * PATIENCE, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def wait_until(holds, seconds, what):
    end = time.monotonic() + seconds * PATIENCE
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds * PATIENCE} s: {what() if callable(what) else what}")
        time.sleep(0.1)


def state_of(unit):
    return run("systemctl", "is-active", unit, check=False)


def journal_of(unit):
    return run("journalctl", "--no-pager", "-o", "cat", "-u", unit)


def main_pid(unit):
    return int(run("systemctl", "show", "-P", "MainPID", unit))


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def processes():
    """(pid, real uid, name) of every process."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = status_of(entry.name)
                found.append((int(entry.name), int(status["Uid"].split()[0]), status["Name"].strip()))
            except (OSError, KeyError):
                pass
    return found


AGAIN = pathlib.Path("/out/boot-again")


def boot_again():
    """Whoever runs the machine does, when its checks have ended."""
    AGAIN.touch()


def has_booted_again() -> bool:
    return AGAIN.exists()


def docker_with_busybox() -> dict:
    """What `docker info` says, once dockerd answers and has the image."""
    wait_until(lambda: subprocess.run(["docker", "info"], capture_output=True).returncode == 0, 40, "docker info answers")
    info = json.loads(run("docker", "info", "--format", "{{json .}}"))
    assert (info["CgroupDriver"], info["CgroupVersion"]) == ("systemd", "2"), info
    image = "/tmp/busybox-root"
    os.makedirs(f"{image}/bin")
    run("cp", "/bin/busybox", f"{image}/bin/busybox")
    for name in ("sh", "echo", "sleep", "true", "cat", "tail"):
        os.symlink("busybox", f"{image}/bin/{name}")
    run("sh", "-c", f"tar -C {image} -c . | docker import - busybox:latest")
    return info


def say_on_the_console(text):
    """Where the machine never comes to hand over what it found, its last words tell where it was."""
    with contextlib.suppress(OSError), open("/dev/console", "w") as console:
        console.write(text + "\n")


@contextlib.contextmanager
def bounded(seconds):
    def over(*_):
        raise TimeoutError(f"the check has not ended within {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def run_checks(names, first, before=None):
    """Each function of the module from `first` on is one check, in order; its name is the sentence that is printed. `before`: which
    is no more among them, for it runs when the machine has booted again, with what was counted until then."""
    checks = [value for value in names.values() if callable(value) and getattr(value, "__module__", None) == "__main__"]
    counted = pathlib.Path("/out/counted")
    passed, failed = map(int, counted.read_text().split()) if counted.exists() else (0, 0)
    with open("/out/checks.txt", "a", buffering=1) as out:
        for check in checks[checks.index(first):checks.index(before) if before else None]:
            sentence = check.__name__.replace("_", " ")
            say_on_the_console(f"begins: {sentence}")
            start = time.monotonic()
            try:
                with bounded(CHECK_WITHIN):
                    check()
                passed += 1
                out.write(f"ok      {sentence} ({time.monotonic() - start:.1f} s)\n")
            except Exception:  # a failed check must not hide the next
                failed += 1
                out.write(f"FAILED  {sentence}\n{traceback.format_exc()}\n")
                say_on_the_console(f"failed: {sentence}")
        out.write(f"{passed} passed, {failed} failed\n")  # the last such line counts
    counted.write_text(f"{passed} {failed}")
    pathlib.Path("/out/rc").write_text("0" if failed == 0 else "1")
