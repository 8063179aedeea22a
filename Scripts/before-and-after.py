#!/usr/bin/env python3
"""What the command line shows of the rows U1 to U21 and V16 of docs/faults.md, on today's mcp-host and on that of an older commit: each has to be right
now, and to have been wrong then. The older one is built in a clone below .build-before.

Usage: Scripts/before-and-after.py [MCP-HOST [OLD-MCP-HOST]]    default: .build/debug/mcp-host, and 42fc924 of this repository"""
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
COMMIT = "42fc924"


def serve(answers):
    """A legacy server with fixed answers by method; one that begins with ! is an error, null is none at all."""
    sys.stderr.write(answers.get("stderr", ""))
    sys.stderr.flush()
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        method = message["method"]
        answer = answers.get(method, '!{"code":-32601,"message":"Method not found"}')
        if method == "initialize":
            answer = answers.get(method, json.dumps({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
                "serverInfo": {"name": "s", "version": "1"}}))
        if answer == "ARGUMENTS":
            answer = json.dumps({"content": [{"type": "text", "text": json.dumps(message["params"]["arguments"])}]})
        if answer is None:
            continue
        kind, answer = ("error", answer[1:]) if answer.startswith("!") else ("result", answer)
        print(f'{{"jsonrpc":"2.0","id":{json.dumps(message["id"])},"{kind}":{answer}}}', flush=True)
    if "saves" in answers:
        time.sleep(0.3)
        pathlib.Path(answers["saves"]).write_text("saved")


def server(**answers):
    """An entry of a configuration; `_` stands for `/` in a method's name."""
    answers = {name.replace("_", "/"): answer for name, answer in answers.items()}
    return {"command": sys.executable, "args": [str(pathlib.Path(__file__).resolve()), "--serve", json.dumps(answers)]}


TOOL = '{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}'
OUTPUT = '{"tools":[{"name":"t","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}]}'
ZIP = '{"tools":[{"name":"t","inputSchema":{"type":"object","properties":{"zip":{"anyOf":[{"type":"string"},{"type":"null"}]}}}}]}'
SIGNED = r'{"tools":[{"name":"t","description":"one\ntwo","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}]}'
GOOD = server(tools_list=TOOL, tools_call='{"content":[{"type":"text","text":"fine"}]}')

# id, servers or a whole text, words, what is shown now, with which exit code; the environment besides. A pattern after "!" must not be there.
ROWS = [
    ("U1", {"s": {"command": "sh", "args": ["-c", "echo using $KEY >&2; exit 3", "x", "${TOKEN}"], "env": {"KEY": "${TOKEN}"}}}, "tools", "!c4n4ryvalue", 4,
     {"TOKEN": "c4n4ryvalue"}),
    ("U2", {"good": GOOD, "bad": {"args": []}}, "tools", r"good__t(?s:.*)bad", 4),
    ("U3", {"s": server(tools_list='{"tools":[{"name":"a","inputSchema":{}},{"name":5}]}')}, "tools", "s__a", 4),
    ("U4", {"s": server(tools_list=OUTPUT, tools_call='{"content":[{"type":"text","text":"was done"}],"structuredContent":{}}')}, "call s t", "was done", 5),
    ("U5", {"s": server(tools_list=TOOL, tools_call='{"content":[],"structuredContent":{"answer":42}}')}, "call s t", "42", 0),
    ("U6", {"s": server(tools_list=ZIP, tools_call="ARGUMENTS")}, "call s t zip=10115", r'"zip": "10115"', 0),
    ("U8", {"s": server(initialize=None, stderr="Uvicorn running on http://127.0.0.1:8000\n")}, "tools --start-timeout 1s --era legacy", "Uvicorn running", 4),
    ("U9", {"s": dict(GOOD, enabled=False)}, "call s t", "disabled", 64),
    ("U10", {"s": server(tools_list=TOOL, tools_call='!{"code":-32050,"message":"no","data":{"why":"because"}}')}, "call s t --json", r'"code":-32050(?s:.*)because', 4),
    ("U11", {"s": server(tools_list=TOOL, tools_call=None)}, "call s t --timeout 300ms", r"0\.3 s", 4),
    ("U12", {"s": server(tools_list=TOOL, tools_call="ARGUMENTS") | {"env": {"A": "${NONE:-${NEITHER:-x}}", "B": "$${NONE}"}}}, "tools", "s__t", 0),
    ("U13", None, "tools", "built-in demo server", 0),
    ("U14", json.dumps({"servers": {"s": dict(GOOD, type="STDIO")}}), "tools", "s__t", 0),
    ("U15", '\ufeff{"mcpServers": /* mine */ {"s": %s,},}' % json.dumps(GOOD), "tools", "s__t", 0),
    ("U16", {"s": {"command": "~/server.sh"}}, "tools", "s__t", 0),
    ("U18", {"s": server(tools_list=TOOL)}, "resources", "Method not found", 0),
    ("U19", {"s": server(tools_list=SIGNED)}, "tools", r"t\(n: int\)(?s:.*)one\n", 0),
    ("U20", {"s": server(prompts_list='{"prompts":[{"name":"p","arguments":[{"name":"topic","required":true}]}]}')}, "prompts --json", r'"topic"', 0),
    ("U21", {"s": GOOD}, "call s s__t", "fine", 0),
    ("V16", {"s": GOOD}, "tools --era legacy", "s__t", 0),
]


def run(host, folder, servers, words, extra):
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    environment |= {"HOME": str(folder), "MCP_HOST_STATE": str(folder / "state"), "MCP_GUARD": str(host.parent / "mcp-guard")} | extra
    words = shlex.split(words)
    if servers is not None:
        (folder / "c.json").write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}), encoding="utf-8")
        words += ["--config", str(folder / "c.json")]
    done = subprocess.run([host] + words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=90)
    return done.returncode, done.stdout.decode(errors="replace")


def is_right(outcome, pattern, status):
    absent, pattern = pattern.startswith("!"), pattern.removeprefix("!")
    return outcome[0] == status and bool(re.search(pattern, outcome[1])) != absent


def saves(host, folder):
    """U7: whether a server that is stopped by two signals at once has saved its work."""
    file = folder / f"saved-{host.parent.name}"
    (folder / "c.json").write_text(json.dumps({"mcpServers": {"s": server(tools_list=TOOL, saves=str(file))}}))
    environment = dict(os.environ, MCP_HOST_STATE=str(folder / "state"), MCP_GUARD=str(host.parent / "mcp-guard"))
    process = subprocess.Popen([host, "run", "--config", str(folder / "c.json")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=90)
    return file.exists()


def older():
    """The older program, built where it is not there yet."""
    tree = root / ".build-before"
    if not tree.exists():
        subprocess.run(["git", "clone", "-q", str(root), str(tree)], check=True)
    subprocess.run(["git", "checkout", "-q", COMMIT], cwd=tree, check=True)
    for product in ("mcp-host", "mcp-guard"):
        subprocess.run(["swift", "build", "--product", product], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    return tree / ".build" / "debug" / "mcp-host"


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(json.loads(sys.argv[2]))
    now = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else root / ".build" / "debug" / "mcp-host").resolve()
    then = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else older()
    wrong = 0
    for id, servers, words, pattern, status, *extra in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder).resolve()
            script = folder / "server.sh"
            script.write_text("exec " + shlex.join([GOOD["command"]] + GOOD["args"]))
            script.write_text("#!/bin/sh\n" + script.read_text())
            script.chmod(0o755)
            outcomes = [run(host, folder, servers, words, *(extra or [{}])) for host in (then, now)]
        verdicts = [is_right(outcome, pattern, status) for outcome in outcomes]
        print(f"{id:4} then {'right' if verdicts[0] else 'wrong'} ({outcomes[0][0]}), now {'right' if verdicts[1] else 'WRONG'} ({outcomes[1][0]}): {words}")
        if verdicts != [False, True]:
            wrong += 1
            print(*(f"    {when}: {line}" for when, (_, text) in zip(("then", "now"), outcomes) for line in text.splitlines()), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        verdicts = [saves(host, pathlib.Path(folder)) for host in (then, now)]
    print(f"U7   then {'right' if verdicts[0] else 'wrong'}, now {'right' if verdicts[1] else 'WRONG'}: run, stopped by two signals at once")
    wrong += verdicts != [False, True]
    print(f"{len(ROWS) + 1} rows, {wrong} not as they have to be")
    sys.exit(1 if wrong else 0)


main()
