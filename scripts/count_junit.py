"""Prints "PASSED FAILED" of JUnit files, then a line for each that failed (called by scripts/test). A skipped test is neither, and
is named; those left out because they are long are counted in one line."""
import sys
import xml.etree.ElementTree as tree

passed = left_out = 0
failed = []
for path in sys.argv[1:]:
    for case in tree.parse(path).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"  {case.get('classname')}.{case.get('name')}")
        elif skipped is not None and "long: runs in scripts/test all" in skipped.get("message", ""):
            left_out += 1
        elif skipped is not None or case.get("status") == "notrun":
            print(f"skipped: {case.get('classname')}.{case.get('name')}", file=sys.stderr)
        else:
            passed += 1
if left_out:
    print(f"{left_out} long tests left out: scripts/test all runs them", file=sys.stderr)
print(passed, len(failed))
for name in failed:
    print(name)
