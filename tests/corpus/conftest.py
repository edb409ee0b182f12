"""Counts for the end of the run: how many lines ran, and which were left out and why."""
import collections

import pytest

from seat import Seat

RAN = collections.Counter()
LEFT_OUT = {}


@pytest.fixture(scope="session")
def seat(dockerd):
    seat = Seat(dockerd)
    yield seat
    seat.end()


@pytest.fixture
def count():
    return RAN, LEFT_OUT


def pytest_terminal_summary(terminalreporter):
    for name in sorted(RAN):
        terminalreporter.write_line(f"corpus {name}: {RAN[name]} lines ran")
    if RAN:
        terminalreporter.write_line(f"corpus: {len(LEFT_OUT)} lines left out" + "".join(f"\n  {k}: {v}" for k, v in LEFT_OUT.items()))
