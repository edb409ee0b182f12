"""scripts/test says of each stage what passed and what did not: a stage that was cut, or left no result, is a failure."""
import subprocess

import pytest

from support import places

PYTEST = """
import time
import pytest

def test_first():
    pass

@pytest.mark.long
def test_long():
    pass

@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.long)])
def test_rounds(rounds):
    pass
"""
SLOW = """
import time

def test_slow():
    time.sleep(60)
"""


def counted(tmp_path, script, all_of_it="") -> tuple:
    """(passed, failed, lines of what broke, all output)"""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | ({"SALLYPORT_TEST_ALL": all_of_it} if all_of_it else {})
    done = subprocess.run(["bash", "-uo", "pipefail", "-c", f"results={tmp_path} all={all_of_it}; . scripts/counting.sh\n{script}\n"
                           'printf "%s\\n" "${broken[@]}" >$results/broken; echo "counted $passed $failed"'],
                          cwd=places.ROOT, capture_output=True, text=True, timeout=60, env=environment, check=True)
    passed, failed = done.stdout.splitlines()[-1].split()[1:]
    return int(passed), int(failed), (tmp_path / "broken").read_text().split("\n")[:-1], done.stdout + done.stderr


@pytest.fixture
def suite(tmp_path):
    """A test directory under the conftest of this one, whose only test files are these."""
    ours = places.ROOT / "tests/conftest.py"
    (tmp_path / "conftest.py").write_text(ours.read_text().replace("__file__", repr(str(ours))))
    (tmp_path / "test_quick.py").write_text(PYTEST)
    return tmp_path


def test_a_stage_that_was_cut_fails_and_what_ran_by_then_is_counted(suite):
    (suite / "test_slow.py").write_text(SLOW)
    passed, failed, broken, output = counted(suite, f"real_parts parts 6 {suite}/test_quick.py {suite}/test_slow.py")
    assert (passed, failed) == (2, 2) and broken == [
        "parts was cut after 6 s: 1 failed", "parts: 1 failed", "  test_slow.test_slow"], (broken, output)
    assert "the time of this run was up in this test" in output and "test_slow" in output


def test_a_stage_without_a_result_fails(suite):
    passed, failed, broken, _ = counted(suite, f"real_parts parts 20 {suite}/no_such_test.py")
    assert (passed, failed, broken) == (0, 1, ["parts (pytest did not come to its end): 1 failed"])
    (suite / "test_quick.py").write_text("import os\n\n\ndef test_first():\n    os._exit(0)\n")
    passed, failed, broken, _ = counted(suite, f"rm $results/parts.xml; real_parts parts 20 {suite}/test_quick.py")
    assert (passed, failed, broken) == (0, 1, ["parts (no result file): 1 failed"])


def test_a_program_that_was_cut_fails_and_says_after_how_long(suite):
    passed, failed, broken, _ = counted(suite, "bounded nap 1 sleep 30")
    assert (passed, failed, broken) == (0, 1, ["nap was cut after 1 s: 1 failed"])


def test_a_long_test_runs_only_in_all_and_is_else_said_to_be_left_out(suite):
    passed, failed, _, output = counted(suite, f"real_parts parts 20 {suite}/test_quick.py")
    assert (passed, failed) == (2, 0) and "2 long tests left out: scripts/test all runs them" in output and "2 deselected" in output
    passed, failed, _, output = counted(suite, f"real_parts parts 20 {suite}/test_quick.py", "1")
    assert (passed, failed) == (4, 0) and "left out" not in output


GTEST = """#!/bin/bash
for argument; do case $argument in --gtest_output=xml:*) file=${argument#--gtest_output=xml:};; esac; done
case $GTEST_SHARD_INDEX in
  0) echo '<testsuites><testsuite><testcase name="a" status="run"/><testcase name="b" status="run"/></testsuite></testsuites>' >"$file" ;;
  1) echo '<testsuites><testsuite><testcase classname="Of" name="c"><failure/></testcase></testsuite></testsuites>' >"$file"; exit 1 ;;
  2) echo "the last words"; exit 134 ;;
  3) sleep 60 ;;
esac
"""


@pytest.mark.parametrize("shards, counts, wrong", [
    (1, (2, 0), []), (2, (2, 1), ["unit: 1 failed", "  Of.c"]),
    (3, (2, 2), ["unit: 1 failed", "  Of.c", "unit (exit 134): 1 failed"]),
    (4, (2, 4), ["unit: 1 failed", "  Of.c", "unit (exit 134): 1 failed",
                 "unit was cut after 3 s: 1 failed", "unit (exit 124): 1 failed"])])
def test_each_part_of_a_program_that_runs_side_by_side_counts(tmp_path, shards, counts, wrong):
    program = tmp_path / "unit_test"
    program.write_text(GTEST)
    program.chmod(0o755)
    passed, failed, broken, output = counted(tmp_path, f"gtest unit 3 {shards} {program}")
    assert ((passed, failed), [line for line in broken if line]) == (counts, wrong), output
    assert ("the last words" in output) == (shards > 2)
