"""For tests of the launcher alone: places for its profiles and uid ranges, and no broker."""
import contextlib
import os
import subprocess

from . import places, sandbox
from .broker import Broker

# As `sallyport run` starts it, with nothing between: what a test does to the caller, the launcher sees.
def command(host, profile, *program, options=()) -> list:
    return [places.program("sallyport"), "run", *host.options, *options, profile, *(["--", *program] if program else [])]


@contextlib.contextmanager
def host():
    """Looks like a broker, with profile(), options and a uid span of its own, but nothing is started."""
    own = Broker("/nonexistent", start=False)
    try:
        yield own
    finally:
        own.remove()


def python(own, code, *arguments, profile="plain", **sections) -> sandbox.Finished:
    """Runs Python code in a sandbox without a session."""
    own.profile(profile, **sections)
    return sandbox.run_python(own, profile, code, *arguments)


def static_program(directory, name, source) -> str:
    """Compiles C source to a static program."""
    path = os.path.join(directory, name)
    subprocess.run(["clang-19", "-static", "-O1", "-x", "c", "-o", path, "-"], input=source.encode(), check=True)
    return path
