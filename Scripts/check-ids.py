#!/usr/bin/env python3
"""Every id that this tree cites resolves in docs/: rows of faults in docs/faults.md, requirements in docs/requirements.md, sections in
docs/architecture.md. Only comments and titles of tests cite; code has names of its own."""
import re
import sys

from ids import documented, in_text, root, titles

known = documented()
sections = set(re.findall(r"^## (\d+)\.", (root / "docs" / "architecture.md").read_text(), re.M))
problems, count = [], 0


def check(where, text):
    global count
    for id in sorted(in_text(text)):
        count += 1
        if id not in known:
            problems.append(f"{where}: {id} is explained nowhere in docs/")
    for section in re.findall(r"architecture\.md, section (\d+)", text):
        if section not in sections:
            problems.append(f"{where}: docs/architecture.md has no section {section}")
    for name in re.findall(r"SPEC-NOTES|ARCHITECTURE section|FAULTS [A-Z0]\b", text):
        problems.append(f"{where}: \"{name}\" is not in this repository; cite docs/ or an id")


COMMENT = {".swift": r"//+(.*)", ".c": r"//+(.*)", ".h": r"//+(.*)", ".py": r"#(.*)", ".sh": r"#(.*)"}
for folder in ("Sources", "Tests", "Scripts", "Fuzz", "Benchmarks", "Examples", "Snippets"):
    for path in sorted((root / folder).rglob("*")):
        if path.suffix not in COMMENT or ".build" in str(path):
            continue
        text = path.read_text()
        where = path.relative_to(root)
        for number, line in enumerate(text.splitlines(), 1):
            for comment in re.findall(COMMENT[path.suffix], line):
                check(f"{where}:{number}", comment)
        if folder == "Tests" and path.suffix == ".swift":
            for title in titles(path):
                check(where, title)
for path in [*root.glob("*.md"), *(root / "Tests").glob("*.md"), root / "Tests" / "requirements.txt"]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        check(f"{path.relative_to(root)}:{number}", line)
print(*problems, sep="\n")
print(f"{count} citations of {len(known)} ids, {len(problems)} that lead nowhere")
sys.exit(1 if problems else 0)
