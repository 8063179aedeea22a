#!/usr/bin/env python3
"""Breaks the rules of Tests/mutations.txt one by one and runs the tests that must notice; writes Tests/MUTATIONS.md.

All of them are built into one copy of the tree (.build-mutants/tree), each behind a switch that an environment variable turns on, so that
there is one build for all."""
import argparse
import concurrent.futures
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

root = pathlib.Path(__file__).resolve().parent.parent
LIST = root / "Tests" / "mutations.txt"
SWIFT = """#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

private let switchedOn = getenv("MCP_MUTANT").flatMap { Int32(String(cString: $0)) } ?? 0

/// Whether this mutation is switched on.
package func mutant(_ number: Int32) -> Bool { switchedOn == number }
"""
C = """#include <stdlib.h>
static int mutant(int number) {
    const char *on = getenv("MCP_MUTANT");
    return on && atoi(on) == number;
}
"""


class Mutation:
    def __init__(self, number, head):
        self.number = number
        ids, self.what, self.tests, file = (part.strip() for part in head.rsplit(" | ", 1)[0].split(" | ", 2) + [head.rsplit(" | ", 1)[1]])
        self.ids = ids.split()
        self.edits = [(file, [], [])]
        self.line = None


def read():
    mutations = []
    for line in LIST.read_text().splitlines():
        if line.startswith("== "):
            mutations.append(Mutation(len(mutations) + 1, line[3:]))
        elif line.startswith("@ "):
            mutations[-1].edits.append((line[2:].strip(), [], []))
        elif line[:2] in ("- ", "+ "):
            mutations[-1].edits[-1][1 if line[0] == "-" else 2].append(line[2:])
    return mutations


def apply(mutations):
    """The mutated text of each file; says where a mutation has no place."""
    texts, problems = {}, []
    for mutation in mutations:
        for file, old, new in mutation.edits:
            path = root / file
            original = path.read_text()
            text = texts.setdefault(file, original)
            old, new = "\n".join(old), "\n".join(new).replace("MUTANT", f"mutant({mutation.number})")
            if original.count(old) != 1 or text.count(old) != 1:
                problems.append(f"{' '.join(mutation.ids)}: stands {original.count(old)} times in {file}: {old.strip()[:80]}")
                continue
            if mutation.line is None:
                mutation.line = f"{file}:{original[:original.index(old)].count(chr(10)) + 1}"
            texts[file] = text.replace(old, new)
    return texts, problems


def build(texts):
    tree = root / ".build-mutants" / "tree"
    # What is built stays, so that a second time takes a minute.
    subprocess.run(["rsync", "-a", "--delete", "--exclude=.build*", "--exclude=.git", f"{root}/", f"{tree}/"], check=True) if shutil.which(
        "rsync") else copy(tree)
    modules = set()
    for file, text in texts.items():
        if file.endswith(".c"):
            # Behind its own includes: feature macros come first.
            at = text.rindex("#include")
            at = text.index("\n", at) + 1
            rest = text[:at]
            if rest.count("#if") > rest.count("#endif"):
                at = text.index("#endif\n", at) + 7
            text = text[:at] + C + text[at:]
        else:
            modules.add(file.split("/")[1])
        (tree / file).write_text(text)
    for module in modules:
        (tree / "Sources" / module / "Mutant.swift").write_text(SWIFT.replace("package func", "@usableFromInline func"))
    launch = tree / "Sources/MCPStdio/Launch.swift"
    launch.write_text(launch.read_text().replace('"HOME", "LOGNAME",', '"MCP_MUTANT", "HOME", "LOGNAME",'))
    result = subprocess.run(["swift", "build", "--build-tests"], cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        print("the mutated tree does not build:", *sorted(set(re.findall(r"/\S+: error: .*", result.stdout.decode()))), sep="\n")
        sys.exit(1)
    return tree


def copy(tree):
    for name in ("Sources", "Tests", "Scripts", "docs"):
        shutil.rmtree(tree / name, ignore_errors=True)
        if (root / name).exists():
            shutil.copytree(root / name, tree / name)
    for name in ("Package.swift", "README.md"):
        shutil.copy(root / name, tree / name)


def run(tree, mutation, filter, limit, patience="8"):
    environment = dict(os.environ, NO_COLOR="1", TERM="dumb", MCP_MUTANT=str(mutation), MCP_TEST_PATIENCE=patience, MCP_SHARED=os.environ.get("MCP_SHARED", str(root.parent / "shared")))
    # Not by `swift test`, of which there is only one at a time in a folder.
    (tests,) = (tree / ".build" / "debug").glob("*.xctest")
    process = subprocess.Popen([tests, "--testing-library", "swift-testing", "--filter", filter], cwd=tree, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output.decode(errors="replace")
    except subprocess.TimeoutExpired:
        # It is not reaped, so its number, and its session's, is its own.
        end(process.pid, mutation)
        return None, process.communicate()[0].decode(errors="replace")
    finally:
        # What a broken host leaves, or a guard that does not notice its end, would go on for ever. A session's number is nobody else's while
        # it has members.
        end(process.pid, mutation)


def end(leader, mutation):
    """Ends the processes of a session, and those that a mutation was told to."""
    mark = f"MCP_MUTANT={mutation}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        path = pathlib.Path("/proc", name)
        try:
            text = (path / "stat").read_text(errors="replace")
            if int(text[text.rindex(")"):].split()[4]) == leader or mark in (path / "environ").read_bytes().split(b"\0"):
                os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass  # It has ended meanwhile.


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="REGEX", type=re.compile, help="only those whose ids match; MUTATIONS.md is not written")
    parser.add_argument("--no-build", action="store_true", help="with what the last run has built")
    parser.add_argument("--check", action="store_true", help="only whether every mutation still finds its place in the sources (for .ci/run)")
    options = parser.parse_args()
    mutations = read()
    texts, problems = apply(mutations)
    for problem in problems:
        print(problem)
    if options.check or problems:
        print(f"{len(mutations)} mutations, {len(problems)} without a place")
        return 1 if problems else 0
    tree = root / ".build-mutants" / "tree"
    if not options.no_build:
        tree.mkdir(parents=True, exist_ok=True)
        tree = build(texts)
    chosen = [m for m in mutations if options.only is None or any(options.only.search(id) for id in m.ids)]
    filters = "|".join(sorted({m.tests for m in chosen}))
    # All of them at once: what happens only has to happen at some time.
    status, output = run(tree, 0, filters, 600, patience="90")
    if status != 0:
        print("with no mutation switched on the tests fail:", *re.findall(r"✘ .*", output)[:20], sep="\n")
        return 1
    rows, missed = [], []
    def attempt(mutation):
        return mutation, time.monotonic(), run(tree, mutation.number, mutation.tests, 45), time.monotonic()

    # Most of the time they wait for what does not come. Chains that nobody ends take all process numbers, so those are tried alone.
    chains = [mutation for mutation in chosen if "T19" in mutation.ids]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = itertools.chain(pool.map(attempt, [mutation for mutation in chosen if mutation not in chains]), map(attempt, chains))
        for mutation, start, (status, output), end in results:
            failed = re.findall(r'^✘ Test "((?:[^"]|"(?!\s))*?)"?(?: with \d+ test cases?)? (?:failed|recorded)', output, re.M)
            titles = list(dict.fromkeys(re.sub(r'" recorded.*', "", t) for t in failed))
            if status is None:
                caught = "the test does not end"
                started = re.findall(r'^◇ Test "(.*)" started', output, re.M)
                ended = "\n".join(re.findall(r"^[✔✘] Test .*", output, re.M))
                caught += ": " + (next((t for t in started if t not in ended), "") or mutation.tests)
            elif status == 0:
                caught = None
            else:
                caught = titles[0] if titles else "the process of the tests ends: " + ((re.findall(r"Fatal error: .*|.*CONTINUATION MISUSE.*", output) or ["a trap"])[0])[:100]
            print(f"{'caught' if caught else 'MISSED'} {end - start:5.1f} s  {' '.join(mutation.ids)}: {mutation.what}", flush=True)
            if not caught:
                missed.append(mutation)
            rows.append((mutation, caught))
    print(f"{len(rows)} mutations, {len(rows) - len(missed)} caught, {len(missed)} missed")
    if options.only is None and not missed:
        out = ["# Rules broken on purpose", "",
               "Written by `Scripts/mutate.py` from `mutations.txt` beside this file: each rule was broken in the line named, and the test named failed.",
               "The ids that were not found wanting before were chosen by `Scripts/choose-ids.py 60 20261125`, which prints its seed.", "",
               f"{len(rows)} mutations, all caught.", "", "| rule | line | what was broken | caught by |", "|---|---|---|---|"]
        for mutation, caught in sorted(rows, key=lambda row: row[0].number):
            out.append(f"| {' '.join(mutation.ids)} | {mutation.line} | {mutation.what} | {caught.replace('|', chr(92) + '|')} |")
        (root / "Tests" / "MUTATIONS.md").write_text("\n".join(out) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
