#!/usr/bin/python3
"""Checks what no compiler does: who includes whom, file and function length, owned descriptors, detached tasks, and
that a header says on its first line which side it is on. Arguments: files to check; none: all of the repository's.
Prints FILE:LINE: what is wrong, and what to do; exits with 1 if anything is."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Who may include what of ours, by the longest matching folder, and which third parties. Acyclic: include -> seccomp ->
# launcher, include -> api -> protocol -> {gate | engine -> keeper}; gate and keeper meet only in protocol.
OURS = {
    "include/sallyport": ["sallyport/"],
    "seccomp": ["sallyport/", "seccomp/"],
    "launcher": ["sallyport/", "seccomp/", "launcher/"],
    "broker/api": ["sallyport/", "broker/api/"],
    "broker/protocol": ["sallyport/", "broker/api/", "broker/protocol/"],
    "broker/async": ["sallyport/", "broker/async/"],
    "broker/engine": ["sallyport/", "broker/api/", "broker/protocol/", "broker/async/", "broker/engine/"],
    "broker/gate": ["sallyport/", "broker/api/", "broker/protocol/", "broker/async/", "broker/gate/", "seccomp/"],
    "broker/keeper": ["sallyport/", "broker/api/", "broker/protocol/", "broker/async/", "broker/engine/", "broker/keeper/", "seccomp/"],
    "broker/spawner": ["sallyport/", "broker/protocol/", "broker/spawner/", "broker/privileges.hpp", "seccomp/"],
    "broker/relay": ["sallyport/", "broker/protocol/", "broker/async/", "broker/relay/", "seccomp/"],
    "broker/audit": ["sallyport/", "broker/audit/"],
    "broker": ["sallyport/", "broker/", "seccomp/"],
}
NEVER = {"broker": ["broker/gate/", "broker/relay/"]}  # broker_main and its neighbours start them, as programs
# A third party's headers, and where alone they may be (regular expressions on the path).
THIRD = {
    r"toml\+\+/": [r"include/sallyport/profile/toml_reader\.cpp"],
    r"openssl/": [r"include/sallyport/profile/load\.cpp", r"broker/keeper/.*"],
    r"seccomp\.h": [r"seccomp/.*"],
    r"spdlog/": [r"broker/log_spdlog\.cpp"],
    r"CLI/": [r".*options\.cpp", r".*_main\.cpp"],
    r"boost/beast": [r"broker/gate/.*", r"broker/engine/.*"],
    r"boost/json": [r"broker/gate/.*", r"broker/engine/.*", r"broker/audit/record\.cpp"],
    r"boost/": [r"broker/(async|gate|engine|keeper|relay|audit)/.*", r"broker/[^/]*\.cpp"],
}
MAX_LINES = 400
MAX_FUNCTION_LINES = 60  # 50 is the aim: what fits a screen
TABLES = re.compile(r"seccomp/.*_profile\.hpp|broker/api/(endpoints|create_fields|query_fields)\.hpp")
SIDES = re.compile(r"// .*\b(BOTH SIDES|TRUSTED|UNTRUSTED|HOSTILE|FOR PEOPLE|BUILD TIME|BUILD AND TESTS|TESTS?|BENCHMARKS?)\b")
FD_MEMBER = re.compile(r"^\s*(?:mutable\s+)?int\s+(\w*fds?_?|fd_\w*)\s*(?:=[^;]*|\{[^;]*\})?;")

problems = []


def report(path, line, what):
    problems.append(f"{path}:{line}: {what}")


def longest_key(table, path):
    keys = [key for key in table if path.startswith(key + "/")]
    return max(keys, key=len) if keys else None


def check_includes(path, lines):
    folder = longest_key(OURS, path)
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not found:
            continue
        kind, name = found.groups()
        if kind == '"' and folder and not name.startswith("generated/"):
            denied = [prefix for prefix in NEVER.get(folder, []) if name.startswith(prefix)]
            if denied or ("/" in name and not any(name.startswith(prefix) for prefix in OURS[folder])):
                report(path, number, f"{folder} may not include {name}; see the table in scripts/check_style.py")
        for pattern, places in THIRD.items():
            if folder and re.match(pattern, name) and not any(re.fullmatch(place, path) for place in places):
                report(path, number, f"{name} may be included only by {', '.join(places)}")
                break


def without_strings_and_comments(text):
    """The same text, lines kept, with the insides of literals and comments blanked: so that braces can be counted."""
    def blank(found):
        return re.sub(r"[^\n]", " ", found.group(0))
    pattern = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/', re.S)
    return pattern.sub(blank, text)


def check_scopes(path, text, raw_lines):
    """Walks the braces: the direct members of a class are checked for owned descriptors, functions for their length."""
    stack = []  # (kind, line of the brace)
    since = 0   # where the text before the next brace begins
    for at, char in enumerate(text):
        if char not in "{};":
            continue
        head = text[since:at]
        line = text.count("\n", 0, at) + 1
        if char == "{":
            if re.search(r"\bnamespace\b[^()]*$", head) or re.search(r'\bextern\s*$', head):
                kind = "namespace"
            elif re.search(r"\b(class|struct|union)\b[^()=]*$", head):
                kind = "class"
            elif re.search(r"\)[^=]*$", head) and stack_is_outside(stack):
                kind = "function"
            else:
                kind = "other"
            stack.append((kind, line))
        elif char == "}":
            if not stack:
                return  # a macro that opens without closing: nothing more to say of this file
            kind, first = stack.pop()
            if kind == "function" and line - first > MAX_FUNCTION_LINES:
                report(path, first, f"a function of {line - first} lines; split it ({MAX_FUNCTION_LINES} at most, 50 is the aim)")
        elif stack and stack[-1][0] == "class":
            member = FD_MEMBER.match(head.lstrip("\n") + ";") or FD_MEMBER.match(head.split("\n")[-1] + ";")
            excused = path.startswith("tests/") or path.endswith("unique_fd.hpp")
            if member and not excused and not borrows(path, raw_lines, line, stack[-1][1]):
                report(path, line, f"member {member.group(1)} is a raw descriptor; hold a UniqueFd, or say in a comment that it is borrowed")
        since = at + 1


def stack_is_outside(stack):
    return all(kind in ("namespace", "class") for kind, _ in stack)


def borrows(path, lines, line, opening):
    """A plain struct for use between clone and exec, or a member that says so, may hold an int."""
    near = " ".join(lines[max(0, opening - 6):opening] + lines[line - 1:line])
    return re.search(r"borrow|plain data|between clone", near, re.I) is not None


def check_file(path):
    text = (ROOT / path).read_text(errors="replace")
    lines = text.splitlines()
    check_includes(path, lines)
    if len(lines) > MAX_LINES and not TABLES.fullmatch(path):
        report(path, len(lines), f"{len(lines)} lines; split it ({MAX_LINES} at most, 250 is the aim)")
    for number, line in enumerate(lines, 1):
        if not path.startswith("tests/") and re.search(r"\b(asio|net)::detached\b|\.detach\(\)", line.split("//")[0]):
            report(path, number, "a detached task; give it a name and an owner that waits for it (broker/async/tasks.hpp)")
    if path.endswith(".hpp"):
        if not lines or not SIDES.match(lines[0]) and not path.startswith("tests/unit"):
            report(path, 1, "a header's first line says its side: // TRUSTED SIDE. What it promises.")
        if "#pragma once" not in text:
            report(path, 1, "no #pragma once")
    check_scopes(path, without_strings_and_comments(text), lines)


def all_files():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.cpp", "*.hpp"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def main():
    paths = sys.argv[1:] or all_files()
    for path in paths:
        relative = str(pathlib.Path(path).resolve().relative_to(ROOT)) if pathlib.Path(path).is_absolute() else path
        if relative.endswith((".cpp", ".hpp")) and (ROOT / relative).exists():
            check_file(relative)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
