#!/usr/bin/env python3
"""Which requirements of the specification have a test: writes Tests/REQUIREMENTS.md from the ids that tests cite and the reasons in
Tests/requirements.txt. With --check it changes nothing and fails if the table is not up to date or a requirement is missing.

Needs the project's shared data (../shared or MCP_SHARED); without it there is nothing to check."""
import collections, json, os, pathlib, re, sys

root = pathlib.Path(__file__).resolve().parent.parent
shared = pathlib.Path(os.environ.get("MCP_SHARED", root.parent / "shared"))
data = shared / "spec" / "requirements.json"
if not data.exists():
    print(f"skipped: {data} is not there")
    sys.exit(0)

# What a client over stdio or in memory owes; the others come with HTTP, authorization and the gateway.
GROUPS = ("RPC META VER EXTN LIFE TGEN STDIO MRTR SUB CAN PROG PING TOOL RES PRM CMP PAG CACHE LOG ROOT SAMP ELI TASKL SCH ICON "
          "TRUST XTASK").split()
rows = [r for r in json.loads(data.read_text()) if r["group"] in GROUPS and set(r["party"]) & set("CBH")]
known = {r["id"] for r in rows}

cited = collections.defaultdict(list)
for path in sorted((root / "Tests").rglob("*.swift")):
    source = path.read_text()
    titles = re.findall(r'@(?:Test|Suite)\(\s*"((?:[^"\\]|\\.)+)"', source)
    titles += [re.sub(r"\\?\s+", " ", t).strip() for t in re.findall(r'@(?:Test|Suite)\(\s*"""(.*?)"""', source, re.S)]
    for title in titles:
        for id in re.findall(r"\b[A-Z]+-\d+\b", title):
            if id in known and title not in cited[id]:
                cited[id].append(title)

reasons = {}
for line in (root / "Tests" / "requirements.txt").read_text().splitlines():
    if line.strip() and not line.startswith("#"):
        ids, _, reason = line.partition(": ")
        for id in ids.split():
            reasons[id] = reason

problems = [f"requirements.txt explains {id}, which is not a requirement of these groups" for id in reasons if id not in known]
out = ["# Requirements of the specification", "",
       "Written by `Scripts/check-requirements.py`: edit tests, or `requirements.txt` beside this file.", "",
       "Counted are the requirements that bind a client or host (ids of [docs/requirements.md](../docs/requirements.md)). Kind `w` can be seen",
       "on the wire, `i` inside, `u` by people. *Tested*: a test cites the id. *Explained*: not tested, and the reason is below.", "",
       "| group | w | tested | explained | i, u | tested | explained |", "|---|--:|--:|--:|--:|--:|--:|"]
totals = [0] * 6
for group in GROUPS:
    counts = []
    for kinds in ("w", "iu"):
        ids = [r["id"] for r in rows if r["group"] == group and r["kind"] in kinds]
        tested = [id for id in ids if id in cited]
        explained = [id for id in ids if id not in cited and id in reasons]
        problems += [f"{id} has neither a test nor a reason" for id in ids if id not in cited and id not in reasons]
        counts += [len(ids), len(tested), len(explained)]
    totals = [a + b for a, b in zip(totals, counts)]
    out.append(f"| {group} | " + " | ".join(map(str, counts)) + " |")
out.append("| **all** | " + " | ".join(f"**{n}**" for n in totals) + " |")
out += ["", "## Explained", "", "| id | kind | where the code meets it, or why there is no test |", "|---|---|---|"]
for r in rows:
    if r["id"] not in cited and r["id"] in reasons:
        out.append(f"| {r['id']} | {r['kind']} | {reasons[r['id']]} |")
out += ["", "## Tested", "", "| id | kind | test |", "|---|---|---|"]
for r in rows:
    if r["id"] in cited:
        out.append(f"| {r['id']} | {r['kind']} | {'; '.join(cited[r['id']]).replace('|', chr(92) + '|')} |")
text = "\n".join(out) + "\n"

table = root / "Tests" / "REQUIREMENTS.md"
if "--check" in sys.argv:
    if not table.exists() or table.read_text() != text:
        problems.append("Tests/REQUIREMENTS.md is not up to date: run Scripts/check-requirements.py")
else:
    table.write_text(text)
for problem in problems:
    print(problem)
print(f"requirements on the wire: {totals[0]}, {totals[1]} with a test, {totals[2]} explained, "
      f"{totals[0] - totals[1] - totals[2]} missing; others: {totals[3]}, {totals[4]} with a test, {totals[5]} explained, "
      f"{totals[3] - totals[4] - totals[5]} missing")
sys.exit(1 if problems else 0)
