#!/usr/bin/python3
"""Checks that no bound of ours is met in silence. tests/limits/told.tsv has a row for each constant of
include/sallyport/limits.hpp, for each bound that is named elsewhere, and for each key with a range in the profile and in
broker.toml. The test that a row names exists, the row's words stand in a literal that this test compares with (see
scripts/asserted.py: its own body, its suite's tables, what of its file these name; no message of an assertion), and it reads
what whoever is told reads. Words are words: no name of ours, no number. A key has a second row, of a session that meets it. A row
without anybody who is told says by which of few reasons nobody could be. Run by every build and by scripts/lint.
What this cannot see: whether the test would fail without the words; that is for whoever writes it.
Prints FILE:LINE: what is wrong, and what to do; exits with 1 if anything is."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))  # the test of this imports it from elsewhere
from asserted import asserted_in  # noqa: E402

TABLE = "tests/limits/told.tsv"
LIMITS = "include/sallyport/limits.hpp"
# Who is told -> what a test that reads it has in its text.
TOLD = {
    "client": "",
    "program": "",  # in the sandbox or a container: an error or a signal of the kernel's
    "operator": "",
    "stderr": r"stderr|Notice|refusal|explain|told\(",
    "journal": r"\blog\(|log_file|\.log\b|CapturedStderr|SpawnFailed|is_in_log",  # the spawner logs what it answers so
    "trail": r"audit|trail|claims?\b|\brule\b",
}
# Why nobody is told, and nobody has to be.
UNTOLD = ("a buffer: ", "a beat: ", "a turn: ", "a layout: ", "a cut: ", "a part: ", "no peer of ours: ", "no reader: ", "no words: ")
SECTIONS = {"root": "broker.toml", "budget": "docker.budget", "container": "docker.container"}
RANGE = re.compile(r'\bread_(?:size|count|rate|duration|cpus)\(\s*(\w+),\s*"(\w+)"')
CONSTANT = re.compile(r"\bconstexpr\s+[\w:<>]+\s+(k\w+)\s*[={]")
# Outside of limits.hpp a duration, and whatever is called a most or a least, is a bound as well.
BOUND = re.compile(r"\bconstexpr\s+(?:std::chrono::\w+\s+(k\w+)|auto\s+(k\w+)\s*=\s*\d+(?:ms|s|min)\b|[\w:]+\s+(k(?:Max|Most|Least|Longest|Min)\w+))")
# From a second on a wait is more than the beat of a retry.
BARE_TIME = re.compile(r"std::chrono::(?:seconds|minutes|hours)\([1-9]\d*\)|(?<![\w.])[1-9]\d*(?:s|min|h)\b")
# In what reads hostile bytes a size is compared with a name; up to a few bytes it is a part of the grammar.
GRAMMAR = ("broker/gate/", "broker/api/")
BARE_SIZE = re.compile(r"(?:size|length|count)\(\)\s*>=?\s*(\d[\d']*)|\b\d[\d']*\s*\*\s*1024\b|<<\s*[12]0\b")
A_FEW = 20
PARTS = ("broker", "launcher", "include", "seccomp")
SHORTEST = 12


def code_of(line):
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', line).split("//")[0]


def sources(root):
    for part in PARTS:
        for path in sorted((root / part).rglob("*.[ch]pp")):
            yield str(path.relative_to(root)), path.read_text(errors="replace").splitlines()


def bare_number(path, code):
    """A bound that is written as a number where it is applied, or None."""
    if re.search(r"\bconstexpr\b|static_assert", code):
        return None
    if path != LIMITS and (found := BARE_TIME.search(code)):
        return found.group(0)
    if not path.startswith(GRAMMAR):
        return None
    for found in BARE_SIZE.finditer(code):
        if found.group(1) is None or int(found.group(1).replace("'", "")) > A_FEW:
            return found.group(0)
    return None


def bounds_of(root, report):
    """Name of each bound -> where it stands."""
    found = {}
    for path, lines in sources(root):
        for number, line in enumerate(lines, 1):
            code = code_of(line)
            if path == LIMITS:
                names = CONSTANT.findall(code)
            else:
                names = [name for groups in BOUND.findall(code) for name in groups if name]
            bare = bare_number(path, code)
            if bare:
                report(path, number, f"{bare} has no name; give it one, and a row in {TABLE}")
            for name in names:
                found.setdefault(name, f"{path}:{number}")
            for section, key in RANGE.findall(line):
                found.setdefault(f"{SECTIONS.get(section, section)}.{key}", f"{path}:{number}")
    return found


def why_no_words(words):
    if re.search(r"\bk[A-Z]\w+", words) or re.fullmatch(r"[\w.]+", words):
        return "a name is no words that somebody is told"
    if re.fullmatch(r"[\d\s.,]*", words) or len(words) < SHORTEST:
        return f"at least {SHORTEST} characters of words, so that no other text matches"
    return None


def check_row(root, told, test, words, report):
    if not words or not (told == "-" or set(told.split(",")) <= set(TOLD)):
        report(f"who is told is - or of {', '.join(TOLD)}, and the words, or the reason, stand behind")
        return
    if told == "-":
        if test == "-" and not words.startswith(UNTOLD):
            report(f"whoever meets it is told; if nobody meets it the reason begins with one of {', '.join(UNTOLD)}")
        if test != "-" and asserted_in(root, test) is None:
            report(f"there is no test {test}")
        return
    if why := why_no_words(words):
        report(f'"{words}": {why}')
    asserted = asserted_in(root, test)
    if asserted is None:
        report(f"there is no test {test}")
        return
    if not any(words in literal for literal in asserted.literals):
        report(f'{test} does not look for "{words}"')
    for one in told.split(","):
        if not re.search(TOLD[one], asserted.text):
            report(f"{test} does not read what the {one} is told")


def check(root):
    problems = []

    def report(path, line, what):
        problems.append(f"{path}:{line}: {what}")

    bounds = bounds_of(root, report)
    rows = {}
    for number, line in enumerate((root / TABLE).read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 4:
            report(TABLE, number, "a row has four cells: bound, who is told, test, words or reason")
            continue
        bound, told, test, words = cells
        rows.setdefault(bound, set()).update(told.split(","))
        if bound not in bounds:
            report(TABLE, number, f"there is no {bound} any more; remove the row")
        check_row(root, told, test, words, lambda what, at=number: report(TABLE, at, what))
    for bound, place in bounds.items():
        if bound not in rows:
            report(*place.rsplit(":", 1), f"{bound} is in no row of {TABLE}: who is told when it is met, and which test sees that?")
        elif "." in bound and rows[bound] <= {"operator", "-"}:
            report(*place.rsplit(":", 1), f"{bound} has no row in {TABLE} of a session that meets it, besides the operator's of its range")
    return problems


if __name__ == "__main__":
    found = check(ROOT)
    print("\n".join(found))
    sys.exit(1 if found else 0)
