#!/usr/bin/env python3
"""The floors of docs/architecture.md, section 2, hold: a target imports only what its row allows, and Package.swift declares no more; the
rows themselves point downwards only. Only the file of the host's root makes unstructured tasks, and no file of Sources is longer than 400
lines."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
SYSTEM = {"Darwin", "Glibc", "Musl", "Dispatch"}
problems = []

# The table: floor, target, may import.
rows = {}
for line in (root / "docs" / "architecture.md").read_text().splitlines():
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    if len(cells) == 4 and cells[0].isdigit():
        names = re.findall(r"`([\w-]+)`", cells[3].split(";")[0]) + re.findall(r"(?<![`\w-])([A-Z]\w+)(?![\w`-])", re.sub(r"`[^`]*`", "", cells[3].split(";")[0]))
        rows[cells[1].strip("`")] = (int(cells[0]), set(names))
sources = {path.name for path in (root / "Sources").iterdir() if path.is_dir()}
for name in sources ^ rows.keys():
    problems.append(f"docs/architecture.md and Sources/ differ in {name}")
for target, (_, allowed) in rows.items():
    for other in allowed & rows.keys():
        if list(rows).index(other) <= list(rows).index(target):
            problems.append(f"docs/architecture.md: {target} may import {other}, which does not stand below it")

for path in sorted((root / "Sources").rglob("*.swift")):
    target = path.relative_to(root / "Sources").parts[0]
    text = path.read_text()
    for name in re.findall(r"^\s*(?:@_exported )?(?:public |package |internal )?import (?:struct |enum |class |func )?([\w-]+)", text, re.M):
        if name not in SYSTEM and name != target and name not in rows.get(target, (0, set()))[1]:
            problems.append(f"{path.relative_to(root)} imports {name}, which docs/architecture.md does not allow {target}")
    if path.name != "HostRoot.swift" and re.search(r"(?<![\w.])Task(\.detached)?\s*(\([^)]*\)\s*)?\{", text):
        problems.append(f"{path.relative_to(root)} makes an unstructured task; only HostRoot.swift may")

for path in sorted((root / "Sources").rglob("*")):
    if path.suffix in (".swift", ".c", ".h") and "Generated" not in path.parts:
        count = len(path.read_text().splitlines())
        if count > 400:
            problems.append(f"{path.relative_to(root)} has {count} lines, more than 400")

print(*problems, sep="\n")
print(f"{len(rows)} targets on {len({floor for floor, _ in rows.values()})} floors, {len(problems)} problems")
sys.exit(1 if problems else 0)
