"""scripts/check_limits.py finds a bound that is met in silence, and lets its twin pass."""
import importlib.util

import pytest
from support import places

LIMITS = "inline constexpr std::size_t kMaxThings = 3;  // why\n"
ROW = "kMaxThings\tclient\tThings.AreFew\tno more than 3\n"
TEST = 'TEST(Things, AreFew) {\n  EXPECT_EQ(said, "no more "\n                  "than 3");\n}\n'

CASES = [
    ("a bound with a row and its test", {}, None),
    ("a bound without a row", {"told": ""}, "kMaxThings is in no row"),
    ("a row of a bound that is gone", {"limits": ""}, "there is no kMaxThings any more"),
    ("a test that does not exist", {"test": ""}, "there is no test Things.AreFew"),
    ("a test that does not look for the words", {"test": TEST.replace("than 3", "than 4")}, 'does not look for "no more than 3"'),
    ("a telling to nobody known", {"told": ROW.replace("client", "somebody")}, "who is told is of"),
    ("a bound that nobody meets, with its reason", {"told": "kMaxThings\t-\t-\ta layout\n", "test": ""}, None),
    ("a bound that nobody meets, without a reason", {"told": "kMaxThings\t-\t-\t\n"}, "stand behind"),
    ("a range of the profile without a row", {"source": 'read_count(budget, "things", {1, 2}, into);\n'}, "docker.budget.things is in no row"),
    ("a range of the profile with a row", {"source": 'read_count(budget, "things", {1, 2}, into);\n',
                                           "told": ROW + ROW.replace("kMaxThings", "docker.budget.things")}, None),
    ("a bound outside of limits.hpp", {"source": "constexpr std::chrono::seconds kPatience{5};\n"}, "kPatience is in no row"),
    ("a number of seconds without a name", {"source": "co_await sleep_for(std::chrono::seconds(5));\n"}, "has no name"),
    ("a number of seconds in words", {"source": 'report("at most 5s");  // or 6s\n'}, None),
]


@pytest.mark.parametrize("sentence, change, problem", CASES, ids=[case[0].replace(" ", "-") for case in CASES])
def test_check_limits(tmp_path, sentence, change, problem):
    spec = importlib.util.spec_from_file_location("check_limits", places.ROOT / "scripts/check_limits.py")
    check_limits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_limits)
    files = {check_limits.LIMITS: change.get("limits", LIMITS), check_limits.TABLE: change.get("told", ROW),
             "tests/unit/things_test.cpp": change.get("test", TEST), "broker/things.cpp": change.get("source", "")}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    problems = check_limits.check(tmp_path)
    if problem is None:
        assert problems == []
    else:
        assert any(problem in found for found in problems), problems
