"""Which ids this tree cites, and where they resolve: rows of docs/faults.md (A1, E15, T6, 0b) and requirements of the specification in
docs/requirements.md (STDIO-07)."""
import pathlib
import re

root = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"\b[A-Z]{2,6}-\d{2}\b")
ROW = re.compile(r"\b[A-V]\d{1,2}\b")


def titles(path):
    """The titles of the tests and suites of one file."""
    source = path.read_text()
    found = re.findall(r'@(?:Test|Suite)\(\s*"((?:[^"\\]|\\.)+)"', source)
    found += [re.sub(r"\\?\s+", " ", t).strip() for t in re.findall(r'@(?:Test|Suite)\(\s*"""(.*?)"""', source, re.S)]
    found += [name.replace("_", " ") for name in re.findall(r"func test(\w+)", source)]
    return found


def documented():
    """All ids that docs/ explains."""
    rows = set(re.findall(r"^\| ([A-V]\d{1,2}|0b) \|", (root / "docs" / "faults.md").read_text(), re.M))
    requirements = set(re.findall(r"^\| ([A-Z]{2,6}-\d{2}) \|", (root / "docs" / "requirements.md").read_text(), re.M))
    return rows | requirements


def in_text(text):
    """What looks like an id in a title or a comment."""
    return set(REQUIREMENT.findall(text)) | set(ROW.findall(re.sub(r"[A-Z]{2,6}-\d{2}", "", text)))


def cited_in_tests():
    """The ids in the titles of tests, each with the titles."""
    cited = {}
    for path in sorted((root / "Tests").rglob("*.swift")):
        for title in titles(path):
            for id in in_text(title):
                cited.setdefault(id, []).append(f"{path.parent.name}/{path.stem}: {title}")
    return cited
