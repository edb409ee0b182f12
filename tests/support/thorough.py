"""What takes long runs only in `scripts/test all`, which sets SALLYPORT_TEST_ALL=1. A whole test, or one of its parameters, is
marked `long`; a test that repeats something asks for its number of rounds."""
import os

IN_ALL = os.environ.get("SALLYPORT_TEST_ALL") == "1"


def rounds(usual: int, in_all: int) -> int:
    return in_all if IN_ALL else usual
