#!/usr/bin/env python3
"""What a run of `swift test` has not run. Fails where the project's shared data is there and a test that needs it was not run; counts and names
the tests of real servers that were not run, for the last line of .ci/run.

Usage: Scripts/check-run.py LOG"""
import pathlib
import re
import sys

from ids import root, titles

log = pathlib.Path(sys.argv[1]).read_text(errors="replace")
# Swift Testing prints a title as it is, and a function without one by its name.
passed = set(re.findall(r'^✔ Test "(.*)"(?: with \d+ test cases?)? passed', log, re.M))
skipped = dict(re.findall(r'^↷ Test "(.*)" skipped: "(.*)"', log, re.M))


def did_run(title):
    plain = title.replace('\\"', '"').replace("\\\\", "\\")
    return plain in passed


needs_data, real_servers = [], []
for path in sorted((root / "Tests").rglob("*.swift")):
    if path.parent.name == "TestSupport":
        continue
    if "SharedData." in path.read_text():
        needs_data += titles(path)
    if path.parent.name == "InteropTests":
        real_servers += titles(path)
shared = pathlib.Path(__import__("os").environ.get("MCP_SHARED", root.parent / "shared"))
suites = set(re.findall(r'^✔ Suite "(.*)" passed', log, re.M))
missing = [t for t in needs_data if not did_run(t) and t not in suites]
if shared.exists() and missing:
    print("the shared data is there, and these tests that need it did not run:", *missing, sep="\n  ")
    sys.exit(1)
unmet = [t for t in real_servers if not did_run(t) and t not in suites]
counted = re.findall(r"Test run with (\d+) tests? in \d+ suites? passed", log)
print(f"{counted[-1] if counted else '?'} tests passed, {len(skipped)} skipped; tests of real servers that did not run: {len(unmet)}"
      + ("" if not unmet else " (" + "; ".join(f"{title}: {skipped.get(title, 'not seen')}" for title in unmet) + ")"))
