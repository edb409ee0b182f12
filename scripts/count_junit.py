"""Prints "PASSED FAILED" of JUnit files (called by scripts/test). A skipped test is neither, and is named."""
import sys
import xml.etree.ElementTree as tree

passed = failed = 0
for path in sys.argv[1:]:
    for case in tree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            print(f"skipped: {case.get('classname')}.{case.get('name')}", file=sys.stderr)
        else:
            passed += 1
print(passed, failed)
