"""The literals that a test compares with, for scripts/check_limits.py: those of the test's own body, of the tables that its suite is
instantiated from, and of what these two name of their own file (one step: a helper, a table, a constant). Not those of other tests,
of comments, of names of tests, nor of the messages that an assertion prints when it fails."""
import ast
import functools
import re
from dataclasses import dataclass

# A literal, or a comment that is none. Raw ones here have no delimiter.
TOKEN = re.compile(r'R"\((?P<raw>.*?)\)"|"(?P<plain>(?:\\.|[^"\\\n])*)"|//[^\n]*|\'(?:\\.|[^\'\\])\'', re.S)


@dataclass
class Asserted:
    literals: list
    text: str  # the code that they stand in


def asserted_in(root, test):
    """Asserted of FILE.py::test_name or of Suite.Name, or None where there is no such test."""
    if "::" in test:
        path, name = test.split("::", 1)
        return of_python((root / path).read_text(), name) if (root / path).is_file() else None
    for text in unit_tests(root):
        if found := of_cpp(text, *test.partition(".")[::2]):
            return found
    return None


@functools.cache  # for each row of the table
def unit_tests(root):
    return [file.read_text(errors="replace") for file in sorted((root / "tests/unit").rglob("*.cpp"))]


def unescaped(literal):
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}.get(m[1], m[1]), literal, flags=re.S)


def literals_of(code):
    """Adjacent ones are one; what is streamed into an assertion is its message."""
    found, end, message = [], None, False
    for token in TOKEN.finditer(code):
        if token["raw"] is None and token["plain"] is None:
            continue
        between = code[end:token.start()] if end is not None else None
        text = token["raw"] if token["raw"] is not None else unescaped(token["plain"])
        if between is not None and not re.sub(r"//[^\n]*|\s", "", between):
            if not message:
                found[-1] += text
        else:
            message = code[:token.start()].rstrip().endswith("<<")
            if not message:
                found.append(text)
        end = token.end()
    return found


def definitions(text):
    """Name -> code of each function, table and constant that begins at the margin of the file (or of a class in it)."""
    found = {}
    for block in re.split(r"\n(?=[^\s}/#)])", text):
        head = block.split("{")[0].split("=")[0]
        if re.match(r"TEST|INSTANTIATE|using|namespace|struct|class", head):
            continue
        if name := re.search(r"([A-Za-z_]\w*)\s*(?:\(|\[[^\]]*\]\s*$|\s*$|\()", head):
            found.setdefault(name[1], block)
    return found


def of_cpp(text, suite, name):
    test = re.search(rf"^TEST(?:_F|_P)?\({re.escape(suite)},\s*{re.escape(name)}\).*?^}}", text, re.M | re.S)
    if test is None:
        return None
    tables = re.findall(rf"^INSTANTIATE_TEST_SUITE_P\(\s*\w+,\s*{re.escape(suite)},.*?;$", text, re.M | re.S)
    code = "\n".join([test[0].split("\n", 1)[1] if "\n" in test[0] else test[0], *tables])
    named = [body for called, body in definitions(text).items() if re.search(rf"\b{called}\b", code)]
    code = "\n".join([code, *named])
    return Asserted(literals_of(code), code)


def of_python(text, name):
    tree = ast.parse(text)
    own = {}
    for node in tree.body:
        names = [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        for one in names:
            own[one] = node
    test = own.get(name)
    if not isinstance(test, ast.FunctionDef):
        return None
    named = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    nodes = [test, *(own[one] for one in own if one in named and one != name and not one.startswith("test_"))]
    literals = [literal for node in nodes for literal in python_literals(node)]
    return Asserted(literals, "\n".join(ast.get_source_segment(text, node) for node in nodes))


def python_literals(node):
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return []  # a docstring
    children = [node.test] if isinstance(node, ast.Assert) else ast.iter_child_nodes(node)
    return [literal for child in children for literal in python_literals(child)]
