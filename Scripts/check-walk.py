#!/usr/bin/env python3
"""docs/walk.md: each `file:line` is followed by code that stands in that line, and no file is entered twice. With --write the numbers are
corrected."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
page = root / "docs" / "walk.md"
text = page.read_text()
problems, order = [], []


def correct(match):
    path, line, code = match.groups()
    if not order or order[-1] != path:
        if path in order:
            problems.append(f"{path} is entered twice")
        order.append(path)
    try:
        lines = (root / path).read_text().splitlines()
    except FileNotFoundError:
        problems.append(f"{path} does not exist")
        return match.group(0)
    places = [number for number, have in enumerate(lines, 1) if code in have]
    if len(places) != 1:
        problems.append(f"{path}: stands {len(places)} times: {code}")
        return match.group(0)
    if int(line) != places[0] and "--write" not in sys.argv:
        problems.append(f"{path}:{line} is line {places[0]} now (Scripts/check-walk.py --write)")
    return f"`{path}:{places[0]}` `{code}`"


fresh = re.sub(r"`([\w+/.-]+):(\d+)` `([^`]+)`", correct, text)
if "--write" in sys.argv and not problems:
    page.write_text(fresh)
print(*problems, sep="\n")
print(f"{len(order)} files in the walk, {len(problems)} problems")
sys.exit(1 if problems or not order else 0)
