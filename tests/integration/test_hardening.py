"""What the build promises of every program is read back from the programs themselves."""
import re
import subprocess

import pytest

from support import places

PROGRAMS = ["sallyport", "sallyport-broker", "sallyport-gate", "sallyport-relay", "sallyport-audit"]
STATIC = {"sallyport", "sallyport-gate", "sallyport-relay", "sallyport-audit"}


def readelf(name, *options):
    return subprocess.run(["readelf", "-W", *options, places.program(name)], capture_output=True, text=True, check=True).stdout


def is_sanitized():
    return "__asan_init" in readelf("sallyport-broker", "-s")


pytestmark = pytest.mark.skipif(is_sanitized(), reason="a sanitizer build is for tests alone")


@pytest.mark.parametrize("name", PROGRAMS)
def test_is_position_independent(name):
    assert re.search(r"Type:\s+DYN", readelf(name, "-h"))
    assert re.search(r"FLAGS_1\).*\bPIE\b", readelf(name, "-d"))


@pytest.mark.parametrize("name", sorted(STATIC))
def test_is_static_so_that_no_loader_and_no_library_of_the_host_runs_in_it(name):
    assert "INTERP" not in readelf(name, "-l")
    assert "(NEEDED)" not in readelf(name, "-d")


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_relocations_are_done_at_start_and_read_only_after(name):
    assert "GNU_RELRO" in readelf(name, "-l")
    assert re.search(r"\bBIND_NOW\b|FLAGS_1\).*\bNOW\b", readelf(name, "-d"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_both_writable_and_executable(name):
    segments = re.findall(r"^\s+(LOAD|GNU_STACK)\s+(?:0x[0-9a-f]+\s+){5}([R ][W ][E ])", readelf(name, "-l"), re.M)
    assert {kind for kind, _ in segments} == {"LOAD", "GNU_STACK"}
    assert not [one for one in segments if "W" in one[1] and "E" in one[1]]
    assert not [one for one in segments if one[0] == "GNU_STACK" and "E" in one[1]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_functions_check_the_stack_and_the_sizes_of_buffers(name):
    symbols = set(re.findall(r"\b(__\w+_chk|__stack_chk_fail)\b", readelf(name, "-s")))
    assert "__stack_chk_fail" in symbols
    assert symbols - {"__stack_chk_fail"}, "no fortified call"


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_indirect_branch_may_enter_its_functions_only_at_their_start(name):
    # Debian's C library carries no IBT note, so the linker drops ours: the instruction itself is looked for.
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", places.program(name)],
                             capture_output=True, text=True, check=True).stdout
    assert re.search(r"<main>:\n\s+[0-9a-f]+:\s+endbr64", listing), listing[:400]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_looks_for_libraries_only_where_the_system_does(name):
    assert not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", readelf(name, "-d"))
