"""scripts/check_style.py finds what it is for, and lets its twin pass."""
import importlib.util

import pytest

from support import places

HEADER = "// TRUSTED SIDE. A header.\n#pragma once\n"

CASES = [
    ("the gate includes the keeper", "broker/gate/a.cpp", '#include "broker/keeper/decide.hpp"\n', "may not include"),
    ("the gate includes the protocol", "broker/gate/a.cpp", '#include "broker/protocol/messages.hpp"\n', None),
    ("the keeper includes the gate", "broker/keeper/a.cpp", '#include "broker/gate/route.hpp"\n', "may not include"),
    ("the launcher includes the broker", "launcher/a.cpp", '#include "broker/api/names.hpp"\n', "may not include"),
    ("the shared headers include a part", "include/sallyport/a.hpp", HEADER + '#include "launcher/plan.hpp"\n', "may not include"),
    ("Beast in the keeper", "broker/keeper/a.cpp", "#include <boost/beast/http.hpp>\n", "may be included only by"),
    ("Beast in the gate", "broker/gate/a.cpp", "#include <boost/beast/http.hpp>\n", None),
    ("toml++ outside of its reader", "include/sallyport/profile/parse.cpp", "#include <toml++/toml.h>\n", "may be included only by"),
    ("Boost in the launcher", "launcher/a.cpp", "#include <boost/asio.hpp>\n", "may be included only by"),
    ("a file of 401 lines", "launcher/a.cpp", "\n" * 401, "401 lines"),
    ("a file of 400 lines", "launcher/a.cpp", "\n" * 400, None),
    ("a table of 401 lines", "seccomp/worker_profile.hpp", HEADER + "\n" * 399, None),
    ("a function of 61 lines", "launcher/a.cpp", "int f() {\n" + "  g();\n" * 60 + "}\n", "a function of 61 lines"),
    ("a function of 60 lines", "launcher/a.cpp", "int f() {\n" + "  g();\n" * 59 + "}\n", None),
    ("a raw descriptor in a class", "launcher/a.cpp", "class A {\n  int fd_ = -1;\n};\n", "member fd_ is a raw descriptor"),
    ("a borrowed descriptor in a class", "launcher/a.cpp", "class A {\n  int fd_ = -1;  // borrowed\n};\n", None),
    ("a descriptor as a local", "launcher/a.cpp", "int f() {\n  int fd = g();\n  return fd;\n}\n", None),
    ("a detached task", "broker/keeper/a.cpp", "void f() { spawn(net::detached); }\n", "a detached task"),
    ("a task of a group", "broker/keeper/a.cpp", "void f() { tasks.spawn(g()); }\n", None),
    ("a header without its side", "launcher/a.hpp", "// A header.\n#pragma once\n", "says its side"),
    ("a header without a guard", "launcher/a.hpp", "// TRUSTED SIDE. A header.\n", "no #pragma once"),
    ("braces in strings and comments", "launcher/a.cpp", 'auto a = "{{{"; // {{{\nint f() {\n' + "  g();\n" * 3 + "}\n", None),
]


@pytest.mark.parametrize("sentence, path, text, problem", CASES, ids=[case[0].replace(" ", "-") for case in CASES])
def test_check_style(tmp_path, sentence, path, text, problem):
    spec = importlib.util.spec_from_file_location("check_style", places.ROOT / "scripts/check_style.py")
    check_style = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_style)
    check_style.ROOT = tmp_path
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    check_style.check_file(path)
    if problem is None:
        assert not check_style.problems
    else:
        assert len(check_style.problems) == 1 and problem in check_style.problems[0], check_style.problems
