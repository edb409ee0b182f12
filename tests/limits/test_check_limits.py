"""scripts/check_limits.py finds a bound that is met in silence, and lets its twin pass."""
import importlib.util

import pytest
from support import places

LIMITS = "inline constexpr std::size_t kMaxThings = 3;  // why\n"
ROW = "kMaxThings\tclient\tThings.AreFew\tno more than 3\n"
RANGE = 'read_count(budget, "things", {1, 2}, into);\n'
OF_RANGE = ROW.replace("kMaxThings", "docker.budget.things")
TEST = 'TEST(Things, AreFew) {\n  EXPECT_EQ(said, "no more "\n                  "than 3");\n}\n'
OTHER = 'TEST(Things, AreFew) {\n  EXPECT_TRUE(few);\n}\n'
TABLE = """struct Row {
  const char* words;
};
const Row kRows[] = {
    {"no more than 3"},
};
class Things : public testing::TestWithParam<Row> {};
TEST_P(Things, AreFew) {
  EXPECT_EQ(said, GetParam().words);
}
INSTANTIATE_TEST_SUITE_P(Of, Things, testing::ValuesIn(%s));
"""
HELPER = 'bool is_refused() {\n  return said == "no more than 3";\n}\nTEST(Things, AreFew) {\n  EXPECT_TRUE(%s());\n}\n'
PYTHON = "tests/limits/test_things.py::test_things_are_few"


def python(body, before=""):
    return {"told": ROW.replace("Things.AreFew", PYTHON), "python": f"{before}def test_things_are_few():\n    {body}\n"}


CASES = [
    ("a bound with a row and its test", {}, None),
    ("a bound without a row", {"told": ""}, "kMaxThings is in no row"),
    ("a row of a bound that is gone", {"limits": ""}, "there is no kMaxThings any more"),
    ("a test that does not exist", {"test": ""}, "there is no test Things.AreFew"),
    ("a test that does not look for the words", {"test": TEST.replace("than 3", "than 4")}, 'does not look for "no more than 3"'),
    ("words of another test of the file", {"test": OTHER + TEST.replace("AreFew", "AreMany")}, "does not look for"),
    ("words of a comment", {"test": OTHER.replace("few);", 'few);  // "no more than 3"')}, "does not look for"),
    ("words that an assertion prints when it fails", {"test": OTHER.replace("few)", 'few) << "no more than 3"')}, "does not look for"),
    ("words of the table of the suite", {"test": TABLE % "kRows"}, None),
    ("words of another table", {"test": TABLE % "kOthers"}, "does not look for"),
    ("words of a helper that the test calls", {"test": HELPER % "is_refused"}, None),
    ("words of a helper that another test calls", {"test": HELPER % "is_taken"}, "does not look for"),
    ("words of a Python test", python('assert said == "no more than 3"'), None),
    ("words of a Python table that the test names", python("assert said == WORDS", 'WORDS = "no more than 3"\n'), None),
    ("words of another Python function", python("assert said", 'def other():\n    assert said == "no more than 3"\n'), "does not look for"),
    ("words of a Python docstring", python('"""no more than 3"""\n    assert said'), "does not look for"),
    ("words that a Python assertion prints when it fails", python('assert said, "no more than 3"'), "does not look for"),
    ("a name for words", {"told": ROW.replace("no more than 3", "kMaxThings")}, "a name is no words"),
    ("a rule for words", {"told": ROW.replace("no more than 3", "container.not-owned".replace("-", "_"))}, "a name is no words"),
    ("a status for words", {"told": ROW.replace("no more than 3", "429")}, "a name is no words"),
    ("few words", {"told": ROW.replace("no more than 3", "no more")}, "at least 12 characters"),
    ("a telling to the trail that the test does not read", {"told": ROW.replace("client", "trail")}, "does not read what the trail is told"),
    ("a telling to the trail that it reads", {"told": ROW.replace("client", "client,trail"),
                                              "test": TEST.replace("EXPECT_EQ(said", "EXPECT_EQ(audit().back()")}, None),
    ("a telling to nobody known", {"told": ROW.replace("client", "somebody")}, "who is told is - or of"),
    ("a bound that nobody meets, with its reason", {"told": "kMaxThings\t-\t-\ta layout: of things\n", "test": ""}, None),
    ("a bound that nobody meets, for another reason", {"told": "kMaxThings\t-\t-\tno test: it takes a minute\n"}, "whoever meets it is told"),
    ("a bound that nobody meets, without a reason", {"told": "kMaxThings\t-\t-\t\n"}, "stand behind"),
    ("a range of the profile without a row", {"source": RANGE}, "docker.budget.things is in no row"),
    ("a range of the profile with the operator's row alone", {"source": RANGE, "told": ROW + OF_RANGE.replace("client", "operator")},
     "has no row in tests/limits/told.tsv of a session that meets it"),
    ("a range of the profile that a session meets", {"source": RANGE, "told": ROW + OF_RANGE.replace("client", "operator") + OF_RANGE}, None),
    ("a bound outside of limits.hpp", {"source": "constexpr std::chrono::seconds kPatience{5};\n"}, "kPatience is in no row"),
    ("a number of seconds without a name", {"source": "co_await sleep_for(std::chrono::seconds(5));\n"}, "has no name"),
    ("a number of seconds in words", {"source": 'report("at most 5s");  // or 6s\n'}, None),
    ("a size without a name", {"grammar": "if (text.size() > 64) return {};\n"}, "size() > 64 has no name"),
    ("a size with its name", {"grammar": "if (text.size() > limits::kMaxThings) return {};\n"}, None),
    ("a number of KiB without a name", {"grammar": "std::size_t budget = 4 * 1024 * 1024;\n"}, "4 * 1024 has no name"),
    ("a number of characters that a grammar has", {"grammar": "if (text.size() > 3) return {};\n"}, None),
]


@pytest.mark.parametrize("sentence, change, problem", CASES, ids=[case[0].replace(" ", "-") for case in CASES])
def test_check_limits(tmp_path, sentence, change, problem):
    spec = importlib.util.spec_from_file_location("check_limits", places.ROOT / "scripts/check_limits.py")
    check_limits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_limits)
    files = {check_limits.LIMITS: change.get("limits", LIMITS), check_limits.TABLE: change.get("told", ROW),
             "tests/unit/things_test.cpp": change.get("test", TEST), "broker/things.cpp": change.get("source", ""),
             "broker/gate/things.cpp": change.get("grammar", ""), "tests/limits/test_things.py": change.get("python", "")}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    problems = check_limits.check(tmp_path)
    if problem is None:
        assert problems == []
    else:
        assert any(problem in found for found in problems), problems
