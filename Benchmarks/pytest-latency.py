#!/usr/bin/env python3
"""How long a call takes from Python through mcp-host, beside the client of `mcp` in the same process and on the same server; and how soon the first
test runs.

    python3 -m venv env && env/bin/pip install ./Python mcp==2.3.0
    env/bin/python Benchmarks/pytest-latency.py [SERVER-IN-C]

Prints medians of interleaved rounds, in milliseconds, and the conditions.
"""
from __future__ import annotations

import asyncio
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from pytest_mcp_host import Hosts, mcp_host_path

CALLS, ROUNDS = 300, 5
CONFTEST = """
import time
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    session.config.collected = time.perf_counter()
"""
TEST = """
import time

def test_first(mcp_host, pytestconfig):
    print(f"first test after {(time.perf_counter() - pytestconfig.collected) * 1000:.1f} ms")
"""


def first_test(server: str) -> float:
    """From the end of the collection to the first line of the first test, in a pytest of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        path.joinpath("conftest.py").write_text(CONFTEST)
        path.joinpath("test_it.py").write_text(TEST)
        path.joinpath(".mcp.json").write_text(f'{{"mcpServers": {{"zoo": {{"command": "{server}"}}}}}}')
        out = subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"], cwd=folder, capture_output=True, text=True, check=True)
        return float(out.stdout.split("first test after ")[1].split(" ms")[0])


async def main() -> None:
    command = mcp_host_path()
    hosts = Hosts(command)
    host = hosts.start({"demo": {"command": command, "args": ["demo-server"]}}, 60, lambda host: host).get()
    times: dict[str, list[float]] = {"mcp_host.call": [], "await mcp_host.aio.call": [], "mcp's ClientSession.call_tool": []}
    async with stdio_client(StdioServerParameters(command=command, args=["demo-server"])) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for _ in range(ROUNDS):
            for _ in range(CALLS):
                start = time.perf_counter()
                # It blocks this loop, which has nothing else to do.
                host.call("demo", "echo", text="x")
                times["mcp_host.call"].append(time.perf_counter() - start)
            for _ in range(CALLS):
                start = time.perf_counter()
                await host.aio.call("demo", "echo", text="x")
                times["await mcp_host.aio.call"].append(time.perf_counter() - start)
            for _ in range(CALLS):
                start = time.perf_counter()
                await session.call_tool("echo", {"text": "x"})
                times["mcp's ClientSession.call_tool"].append(time.perf_counter() - start)
    host.close()
    hosts.channel.close()
    print(f"Python {platform.python_version()}, pytest {pytest.__version__}, {platform.system()}, {ROUNDS} rounds of {CALLS} calls")
    for name, taken in times.items():
        print(f"{name}: median {statistics.median(taken) * 1000:.3f} ms, p95 {sorted(taken)[len(taken) * 95 // 100] * 1000:.3f} ms")
    zoo = sys.argv[1] if len(sys.argv) > 1 else ""
    if zoo:
        firsts = [first_test(zoo) for _ in range(ROUNDS)]
        print(f"first test after collection, one C server: median {statistics.median(firsts):.1f} ms, longest {max(firsts):.1f} ms")


asyncio.run(main())
