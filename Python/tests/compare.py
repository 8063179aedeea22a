"""The patterns of the report, on three clients: what becomes of the tests, and what is left of the server a while after pytest has ended.

    python compare.py            needs mcp==2.3.0, fastmcp>=4, pytest-asyncio, and MCP_ZOO

Prints the table of docs/pytest.md. Each pattern runs in a pytest of its own, with a limit: some of them hang.
"""
from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from conftest import Alive, zoo

LIMIT = 30.0

CLIENTS = {
    "mcp": '''
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

class Manager:
    async def initialize(self):
        self.stack = contextlib.AsyncExitStack()
        read, write = await self.stack.enter_async_context(stdio_client(StdioServerParameters(command=ZOO, args=ARGS)))
        self.session = await self.stack.enter_async_context(ClientSession(read, write))
        await self.session.initialize()
        return self

    async def call(self, text):
        return (await self.session.call_tool("echo", {"text": text})).content[0].text

    async def shutdown(self):
        await self.stack.aclose()
''',
    "fastmcp": '''
from fastmcp import Client

class Manager:
    async def initialize(self):
        self.client = await Client({"mcpServers": {"zoo": {"command": ZOO, "args": ARGS}}}).__aenter__()
        return self

    async def call(self, text):
        return (await self.client.call_tool("echo", {"text": text})).content[0].text

    async def shutdown(self):
        await self.client.__aexit__(None, None, None)
''',
    "pytest-mcp-host": '''
from pytest_mcp_host import HostManager

class Manager:
    async def initialize(self):
        self.manager = HostManager({"zoo": {"command": ZOO, "args": ARGS}})
        await self.manager.initialize()
        return self

    async def call(self, text):
        return (await self.manager.call("zoo", "echo", text=text)).text

    async def shutdown(self):
        await self.manager.shutdown()
''',
}

ASYNCIO = "import pytest_asyncio\n"
PATTERNS = {
    "shutdown in the test's `finally`": ("", ASYNCIO + '''
@pytest.mark.asyncio
async def test():
    manager = await Manager().initialize()
    try:
        assert await manager.call("x") == "x"
    finally:
        await manager.shutdown()
'''),
    "function-scoped fixture": ("", ASYNCIO + '''
@pytest_asyncio.fixture
async def manager():
    manager = await Manager().initialize()
    yield manager
    await manager.shutdown()

@pytest.mark.asyncio
async def test(manager):
    assert await manager.call("x") == "x"
'''),
    "class-scoped fixture, tests on their own loops": ("", ASYNCIO + '''
@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def manager():
    manager = await Manager().initialize()
    yield manager
    await manager.shutdown()

class TestClass:
    @pytest.mark.asyncio
    async def test_one(self, manager):
        assert await manager.call("x") == "x"

    @pytest.mark.asyncio
    async def test_two(self, manager):
        assert await manager.call("y") == "y"
'''),
    "local exit stack in the fixture": ("", ASYNCIO + '''
@pytest_asyncio.fixture
async def manager():
    async with contextlib.AsyncExitStack() as stack:
        manager = await Manager().initialize()
        stack.push_async_callback(manager.shutdown)
        yield manager

@pytest.mark.asyncio
async def test(manager):
    assert await manager.call("x") == "x"
'''),
    "anyio's plugin, session-scoped backend": ("-p no:asyncio", '''
@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="session")
async def manager(anyio_backend):
    manager = await Manager().initialize()
    yield manager
    await manager.shutdown()

@pytest.mark.anyio
async def test_one(manager):
    assert await manager.call("x") == "x"
'''),
    "module scope under anyio": ("-p no:asyncio", '''
@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="module")
async def manager(anyio_backend):
    manager = await Manager().initialize()
    yield manager
    await manager.shutdown()

@pytest.mark.anyio
async def test_one(manager):
    assert await manager.call("x") == "x"
'''),
    "closed from another task": ("", ASYNCIO + '''
@pytest.mark.asyncio
async def test():
    manager = await asyncio.create_task(Manager().initialize())
    assert await asyncio.create_task(manager.call("x")) == "x"
    await asyncio.create_task(manager.shutdown())
'''),
}
# What servers do, with the function-scoped fixture.
SERVERS = {
    "a server that is deaf to the end of input and to SIGTERM": ["--ignore-eof", "--ignore-term"],
    "a server that leaves a daemon": ["--helper", "session"],
}


def attempt(client: str, pattern: str, arguments: list[str]) -> str:
    """What comes of one pattern with one client."""
    words, body = PATTERNS[pattern]
    with Alive() as alive, tempfile.TemporaryDirectory() as folder:
        head = f"import asyncio, contextlib, pytest\nZOO, ARGS = {zoo()!r}, {['--alive', alive.path, *arguments]!r}\n"
        pathlib.Path(folder, "test_it.py").write_text(head + CLIENTS[client] + body)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *words.split()]
        start = time.monotonic()
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            output, _ = child.communicate(timeout=LIMIT)
            verdict = outcome(output, child.returncode, time.monotonic() - start)
        except subprocess.TimeoutExpired:
            verdict = f"**hangs** ({LIMIT:g} s)"
            child.kill()
            child.communicate()
        try:
            alive.wait_for_the_end(3)
        except TimeoutError:
            verdict += "; processes left"
            alive.kill()
    return verdict


def outcome(output: str, status: int, took: float) -> str:
    if status == 0:
        return "passes" if took < 6 else f"passes, {took:.0f} s"
    errors = re.findall(r"^E +(?:[\w.]+\.)?(\w*(?:Error|Exception|Group|LeftBehind)\b.*)", output, re.MULTILINE)
    return f"**fails**: {errors[-1][:100]}" if errors else "**fails**"


def main() -> None:
    print("| Pattern | " + " | ".join(CLIENTS) + " |\n|---|" + "---|" * len(CLIENTS))
    for pattern in PATTERNS:
        print(f"| {pattern} | " + " | ".join(attempt(client, pattern, []) for client in CLIENTS) + " |", flush=True)
    for what, arguments in SERVERS.items():
        print(f"| {what} | " + " | ".join(attempt(client, "function-scoped fixture", arguments) for client in CLIENTS) + " |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("MCP_ZOO", zoo())
    main()
