"""Every line of benign.jsonl does what its `expect` says, as dockerd would answer it."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import canonical  # noqa: E402
import corpus  # noqa: E402
import seat as seats  # noqa: E402

LINES = corpus.load("benign.jsonl")


@pytest.mark.parametrize("line", corpus.part(LINES), ids=lambda line: line.id)
def test_line_does_what_it_should(seat, count, line):
    ran, _ = count
    ran["benign"] += 1
    seat.prepare(running="not running" not in line.fields["precondition"])
    answer = seat.send(line.bytes(seat.values()), quiet=1.0)
    # A 100 may be left out where the body came with the head, as it does here (RFC 9110, 10.1.1).
    got = [status for status in seats.statuses(answer) if status != 100]
    wanted = [status for status in line.fields["dockerd_20.10"] if status != 100]
    assert got == wanted, (line.fields["why"], answer[:2000])
    if line.expect == "allow-404":
        assert seats.error_shape(answer), answer
    problems = []
    for request in seat.recorder.take():
        problems += canonical.problems_of_request(request, seat.session, {seat.own, *seat.own_containers()}, seat.dockerd.spoken)
    for identity in seat.own_containers():
        problems += canonical.problems_of_container(seat.dockerd.inspect(identity), seat.session)
    assert not problems, "\n".join(problems)
