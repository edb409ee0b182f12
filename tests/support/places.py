"""Where programs are and where tests put what they make."""
import os
import pathlib
import shutil
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SALLYPORT_BIN", ROOT / "build/release/bin"))
PYTHON = "/usr/bin/python3"  # never PATH's: only Debian's has docker, redis and rq


def program(name: str, directory=BIN) -> str:
    path = pathlib.Path(directory) / name
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run scripts/build, or name the programs' directory in SALLYPORT_BIN")
    return str(path)


def make_directory(prefix: str) -> pathlib.Path:
    """A directory that daemons of other users can pass through; short, because a socket's path has 107 bytes."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"sp-{prefix}-", dir=os.environ.get("SALLYPORT_TEST_DIR", "/var/tmp")))
    path.chmod(0o755)
    return path


def remove_directory(path) -> None:
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo") as mounts:
        below = [line.split()[4] for line in mounts if line.split()[4].startswith(path + "/")]
    if below:
        raise RuntimeError(f"not removing {path}: still mounted below it: {below}")
    shutil.rmtree(path, ignore_errors=True)
