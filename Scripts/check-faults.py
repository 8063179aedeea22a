#!/usr/bin/env python3
"""Every row of the fault catalogue that concerns a host over stdio has a test that cites its id, or a line in Tests/FAULTS.md.

Usage: Scripts/check-faults.py [--table]    prints what is missing (exit code 1), or with --table the tests of each row.
"""
import pathlib
import re
import sys

ROWS = {"A": 15, "B": 22, "C": 23, "D": 15, "E": 26, "F": 22, "G": 18, "L": 12, "M": 7, "N": 5}
root = pathlib.Path(__file__).resolve().parent.parent / "Tests"

tests = {}
for path in sorted(root.rglob("*.swift")):
    text = path.read_text()
    titles = re.findall(r'@Test\(\s*"((?:[^"\\]|\\.)*)"', text) + re.findall(r"func test(\w+)", text)
    for title in titles:
        for row in re.findall(r"\b[A-GLMN]\d{1,2}\b", title.replace("_", " ")):
            tests.setdefault(row, []).append(f"{path.parent.name}: {title}")

explained = set(re.findall(r"^\| ([A-GLMN]\d{1,2}) \|", (root / "FAULTS.md").read_text(), re.MULTILINE))
rows = [f"{letter}{number}" for letter, count in ROWS.items() for number in range(1, count + 1)]
missing = [row for row in rows if row not in tests and row not in explained]

if "--table" in sys.argv:
    for row in rows:
        print(row, *(tests.get(row) or ["see FAULTS.md" if row in explained else "MISSING"]), sep="\n    ")
covered = sum(row in tests for row in rows)
print(f"{len(rows)} rows: {covered} with a test, {len([r for r in rows if r in explained and r not in tests])} explained only, {len(missing)} missing")
if missing:
    print("missing:", *missing)
    sys.exit(1)
