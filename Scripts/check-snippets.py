#!/usr/bin/env python3
"""Every piece of Swift in README.md, in docs/, in DocC pages and in doc comments stands word for word, white space aside, in a file of Snippets/, which the build
compiles. A line of a manifest (`.package(...)`) is no program and does not count."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent


def lines(text):
    # The formatter does not keep comments in a column; readers of the README like them there.
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]


compiled = {path: lines(path.read_text()) for path in sorted((root / "Snippets").glob("*.swift"))}
pages = [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted((root / "Sources").rglob("*.docc/*.md"))]
texts = [(path, path.read_text()) for path in pages]
for path in sorted((root / "Sources").rglob("*.swift")):
    comments = [line.strip()[4:] if line.strip().startswith("/// ") else "" for line in path.read_text().splitlines()]
    texts.append((path, "\n".join(comments)))

count, problems = 0, []
for path, text in texts:
    for block in re.findall(r"```swift\n(.*?)```", text, re.S):
        wanted = lines(block)
        if wanted[0].startswith(".package("):
            continue
        count += 1
        if not any(have[i:i + len(wanted)] == wanted for have in compiled.values() for i in range(len(have))):
            problems.append(f"{path.relative_to(root)}: this code is in no file of Snippets/:\n    " + "\n    ".join(wanted))
print(*problems, sep="\n")
print(f"{count} pieces of code, {len(problems)} that nothing compiles")
sys.exit(1 if problems or not count else 0)
