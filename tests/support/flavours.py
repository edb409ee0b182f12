"""Which dockerd a test gets: the host's own, or a newer Debian's (support/newer_dockerd), with either image store, or refusing old
API versions as Docker 29 does. A whole run is repeated on another one by environment variables (tests/README.md)."""
import dataclasses
import os
import subprocess

from . import places

SCRIPT = str(places.ROOT / "tests/support/newer_dockerd")


@dataclasses.dataclass(frozen=True)
class Flavour:
    suite: str = ""        # of Debian: trixie has 26.1.5, forky 28.5.2 or later; "" is this host's
    containerd: bool = False  # containerd's image store, where an image's id is the digest of its manifest
    oldest_api: str = ""   # what dockerd refuses to go below; Docker 29.0 has 1.44

    def program(self) -> list:
        return [SCRIPT, "run", root_of(self.suite)] if self.suite else ["/usr/sbin/dockerd"]

    def configuration(self) -> dict:
        return {"features": {"containerd-snapshotter": True}} if self.containerd else {}

    def environment(self):
        return dict(os.environ, DOCKER_MIN_API_VERSION=self.oldest_api) if self.oldest_api else None


def root_of(suite: str) -> str:
    """Made where it is not there yet. A machine that cannot make it fails, loudly: these tests are not left out."""
    made = subprocess.run([SCRIPT, "make", suite], capture_output=True, text=True, timeout=600)
    assert made.returncode == 0, f"no dockerd of Debian {suite}:\n{made.stderr}"
    return made.stdout.strip()


def wanted() -> Flavour:
    """What this run is to use where a test does not say."""
    store = os.environ.get("SALLYPORT_TEST_DOCKERD_STORE", "")
    assert store in ("", "containerd"), f"SALLYPORT_TEST_DOCKERD_STORE is {store!r}: containerd, or unset"
    return Flavour(os.environ.get("SALLYPORT_TEST_DOCKERD", ""), store == "containerd",
                   os.environ.get("SALLYPORT_TEST_DOCKERD_OLDEST_API", ""))
