#!/usr/bin/env python3
"""How long the verbs of mcp-host take, beside `fastmcp` on the same servers, and beside the servers' own start: interleaved, on one core, wall
time. Run it on a quiet machine.

Usage: Benchmarks/command-line.py [MCP-HOST]    by default that of Scripts/install.sh in ~/.local; the servers from PyPI are those of the tests"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
host = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "~/.local/bin/mcp-host").expanduser()
python = root / ".build" / "servers-current" / "bin"
ROUNDS = int(os.environ.get("ROUNDS", 15))
FAST = """from fastmcp import FastMCP
mcp = FastMCP("fast")
@mcp.tool
def add(a: int, b: int) -> int:
    return a + b
mcp.run(show_banner=False)
"""
QUESTIONS = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize",
     "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
]


def timed(action):
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def command(*words, cwd=None):
    def run():
        done = subprocess.run([str(word) for word in words], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"{words}: exit status {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    return run


def bare(servers, ends_politely):
    """What the servers themselves take: started at once, asked the least that can be asked, and killed or left to end by themselves."""
    def run():
        processes = [subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for server in servers]
        text = "".join(json.dumps(question) + "\n" for question in QUESTIONS).encode()
        for process in processes:
            process.stdin.write(text)
            process.stdin.flush()
        for process in processes:
            while json.loads(process.stdout.readline()).get("id") != 2:
                pass
        for process in processes:
            process.stdin.close() if ends_politely else process.kill()
        for process in processes:
            process.wait()
    return run


def configuration(folder, name, servers):
    path = pathlib.Path(folder) / name
    path.write_text(json.dumps({"mcpServers": {key: {"command": words[0], "args": words[1:]} for key, words in servers.items()}}))
    return path


def main():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MCP_HOST_STATE"] = folder + "/state"
        script = pathlib.Path(folder) / "fast.py"
        script.write_text(FAST)
        zoo = [str(host.parent / "mcp-zoo")]
        slow = {"time": [str(python / "mcp-server-time")], "git": [str(python / "mcp-server-git")], "fast": [str(python / "python"), str(script)]}
        quick, real = configuration(folder, "c.json", {"a": zoo, "b": zoo, "c": zoo}), configuration(folder, "py.json", slow)
        one = configuration(folder, "one.json", {"a": zoo})
        fastmcp = python / "fastmcp"
        actions = {
            "mcp-host, demo call": command(host, "call", "demo", "add", "a=1", "b=2", cwd=folder),
            "mcp-host, tools of three C servers": command(host, "tools", "--config", quick),
            "fastmcp list, three C servers": command(fastmcp, "list", quick),
            "mcp-host, call of a C server": command(host, "call", "echo", "text=x", "--", *zoo),
            "fastmcp call, a C server": command(fastmcp, "call", one, "echo", "text=x"),
            "three Python servers, started bare and killed": bare(list(slow.values()), False),
            "the same, left to end by themselves": bare(list(slow.values()), True),
            "mcp-host, tools of three Python servers": command(host, "tools", "--config", real),
            "fastmcp list, three Python servers": command(fastmcp, "list", real),
        }
        times = {name: [] for name in actions}
        for _ in range(ROUNDS):
            for name, action in actions.items():
                times[name].append(timed(action))
        for name, values in times.items():
            print(f"{name:46} median {statistics.median(values):8.1f} ms   {min(values):8.1f} to {max(values):.1f}")


main()
