#!/usr/bin/python3
"""Checks that no bound of ours is met in silence: tests/limits/told.tsv has a row for each constant of
include/sallyport/limits.hpp, for each bound that is named elsewhere, and for each range of the profile and of broker.toml,
and the test that the row names exists and asserts on the words that are told. Run by every build and by scripts/lint.
Prints FILE:LINE: what is wrong, and what to do; exits with 1 if anything is."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE = "tests/limits/told.tsv"
LIMITS = "include/sallyport/limits.hpp"
TOLD = {"client", "stderr", "journal", "trail", "operator", "-"}
SECTIONS = {"root": "broker.toml", "budget": "docker.budget", "container": "docker.container"}
RANGE = re.compile(r'\bread_(?:size|count|rate|duration|cpus)\(\s*(\w+),\s*"(\w+)"')
CONSTANT = re.compile(r"\bconstexpr\s+[\w:<>]+\s+(k\w+)\s*[={]")
# Outside of limits.hpp a duration, and whatever is called a most or a least, is a bound as well.
BOUND = re.compile(r"\bconstexpr\s+(?:std::chrono::\w+\s+(k\w+)|auto\s+(k\w+)\s*=\s*\d+(?:ms|s|min)\b|[\w:]+\s+(k(?:Max|Most|Least|Longest|Min)\w+))")
# From a second on a wait is more than the beat of a retry.
BARE = re.compile(r"std::chrono::(?:seconds|minutes|hours)\([1-9]\d*\)|(?<![\w.])[1-9]\d*(?:s|min|h)\b")
PARTS = ("broker", "launcher", "include", "seccomp")


def code_of(line):
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', line).split("//")[0]


def sources(root):
    for part in PARTS:
        for path in sorted((root / part).rglob("*.[ch]pp")):
            yield str(path.relative_to(root)), path.read_text(errors="replace").splitlines()


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
                bare = BARE.search(code)
                if bare and not re.search(r"\bconstexpr\b|static_assert", code):
                    report(path, number, f"{bare.group(0)} has no name; give it one, and a row in {TABLE}")
            for name in names:
                found.setdefault(name, f"{path}:{number}")
            for section, key in RANGE.findall(line):
                found.setdefault(f"{SECTIONS.get(section, section)}.{key}", f"{path}:{number}")
    return found


def text_of_test(root, test):
    """The text in which the test's words stand, or None where there is no such test."""
    if "::" in test:
        path, name = test.split("::", 1)
        file = root / path
        if not file.is_file() or not re.search(rf"^def {re.escape(name)}\(", file.read_text(), re.M):
            return None
        return file.read_text()
    suite, _, name = test.partition(".")
    pattern = re.compile(rf"\bTEST(?:_F|_P)?\({re.escape(suite)},\s*{re.escape(name)}\)")
    for file in (root / "tests/unit").rglob("*.cpp"):
        text = file.read_text(errors="replace")
        if pattern.search(text):
            return re.sub(r'"\s*\n\s*"', "", text)  # a literal may go on in the next line
    return None


def check(root):
    problems = []

    def report(path, line, what):
        problems.append(f"{path}:{line}: {what}")

    bounds = bounds_of(root, report)
    rows = set()
    for number, line in enumerate((root / TABLE).read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 4:
            report(TABLE, number, "a row has four cells: bound, who is told, test, words or reason")
            continue
        bound, told, test, words = cells
        rows.add(bound)
        if bound not in bounds:
            report(TABLE, number, f"there is no {bound} any more; remove the row")
        if not set(told.split(",")) <= TOLD or not words:
            report(TABLE, number, f"who is told is of {', '.join(sorted(TOLD))}, and the words, or the reason, stand behind")
        if told == "-" and test == "-":
            continue
        text = text_of_test(root, test)
        if text is None:
            report(TABLE, number, f"there is no test {test}")
        elif told != "-" and words not in text:
            report(TABLE, number, f'{test} does not look for "{words}"')
    for bound, place in bounds.items():
        if bound not in rows:
            report(*place.rsplit(":", 1), f"{bound} is in no row of {TABLE}: who is told when it is met, and which test sees that?")
    return problems


if __name__ == "__main__":
    found = check(ROOT)
    print("\n".join(found))
    sys.exit(1 if found else 0)
