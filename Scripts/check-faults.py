#!/usr/bin/env python3
"""Every row of docs/faults.md that concerns what exists has a test that cites its id, or a line in Tests/FAULTS.md.

Usage: Scripts/check-faults.py [--table]    prints what is missing (exit code 1), or with --table the tests of each row.
"""
import re
import sys

from ids import cited_in_tests, documented, root

# H and I come with HTTP, J and K with the gateway, S with the issues that bring it.
SECTIONS = "ABCDEFGLMNTUV"

tests = cited_in_tests()
explained = set(re.findall(r"^\| ([A-V]\d{1,2}) \|", (root / "Tests" / "FAULTS.md").read_text(), re.M))
rows = sorted((id for id in documented() if "-" not in id and id[0] in SECTIONS), key=lambda id: (id[0], int(id[1:])))
missing = [row for row in rows if row not in tests and row not in explained]

if "--table" in sys.argv:
    for row in rows:
        print(row, *(tests.get(row) or ["see FAULTS.md" if row in explained else "MISSING"]), sep="\n    ")
covered = sum(row in tests for row in rows)
print(f"{len(rows)} rows: {covered} with a test, {len([r for r in rows if r in explained and r not in tests])} explained only, {len(missing)} missing")
if missing:
    print("missing:", *missing)
    sys.exit(1)
