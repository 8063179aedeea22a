"""Fixtures of every scope on loops of every scope: opened in one task, used in another, closed from a third.

`mcp_host` needs no event loop, so the fixtures here are the users' own, asynchronous ones, around `HostManager`.
"""
from __future__ import annotations

import itertools

import pytest

from .conftest import Alive, run

SCOPES = ("function", "class", "module", "session")
HEAD = """
import asyncio, contextlib, pytest, sys
from pytest_mcp_host import HostManager

SERVERS = {"demo": {"command": MCP_HOST, "args": ["demo-server"]}, "zoo": {"command": MCP_ZOO, "args": ["--alive", ALIVE]}}

@contextlib.asynccontextmanager
async def opened():
    manager = HostManager(SERVERS)
    await manager.initialize()
    try:
        yield manager
    finally:
        assert (await manager.shutdown()).is_clean

async def use(manager):
    results = await asyncio.gather(*(manager.call("demo", "echo", text=str(i)) for i in range(3)))
    assert [result.text for result in results] == ["0", "1", "2"]
"""


def wider(one: str, other: str) -> str:
    return max(one, other, key=SCOPES.index)


def asyncio_tests(mode: str) -> str:
    text = HEAD + "import pytest_asyncio\n"
    for scope, loop in itertools.product(SCOPES, SCOPES):
        name = f"{scope}_{loop}"
        fixture = f"pytest_asyncio.fixture(scope={scope!r}, loop_scope={wider(scope, loop)!r})"
        mark = f"@pytest.mark.asyncio(loop_scope={loop!r})" if mode == "strict" or loop != "function" else ""
        text += f"""
@{fixture}
async def manager_{name}():
    async with opened() as manager:
        yield manager

class Test_{name}:
    {mark}
    async def test_one(self, manager_{name}):
        await use(manager_{name})

    {mark}
    async def test_two(self, manager_{name}):
        await use(manager_{name})

    def test_sync(self, manager_{name}):
        assert manager_{name}.call("demo", "echo", text="x").text == "x"
"""
    return text


ANYIO = HEAD + """
import anyio

@pytest.fixture(scope=SCOPE, params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.fixture(scope=SCOPE)
async def manager(anyio_backend):
    async with opened() as manager:
        yield manager

@pytest.mark.anyio
async def test_one(manager):
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(call, manager, number)

async def call(manager, number):
    assert (await manager.call("demo", "echo", text=str(number))).text == str(number)

@pytest.mark.anyio
async def test_cancelled(manager):
    with anyio.move_on_after(0.05) as scope:
        await manager.call("zoo", "hang")
    assert scope.cancelled_caught
    await call(manager, 1)

def test_sync(manager):
    assert manager.call("demo", "echo", text="x").text == "x"
"""

# The four of the report, as it describes them, and the two that came later.
PATTERNS = HEAD + """
pytestmark = pytest.mark.asyncio

async def test_shutdown_in_finally():
    manager = HostManager(SERVERS)
    await manager.initialize()
    try:
        await use(manager)
    finally:
        await manager.shutdown()

@pytest.fixture
async def function_scoped():
    manager = HostManager(SERVERS)
    await manager.initialize()
    yield manager
    await manager.shutdown()

async def test_function_scope(function_scoped):
    await use(function_scoped)

class TestClassScope:
    @pytest.fixture(scope="class")
    async def manager(self):
        manager = HostManager(SERVERS)
        await manager.initialize()
        yield manager
        await manager.shutdown()

    async def test_one(self, manager):
        await use(manager)

    async def test_two(self, manager):
        await use(manager)

@pytest.fixture
async def with_a_stack():
    async with contextlib.AsyncExitStack() as stack:
        manager = HostManager(SERVERS)
        await manager.initialize()
        stack.push_async_callback(manager.shutdown)
        yield manager

async def test_local_exit_stack(with_a_stack):
    await use(with_a_stack)

async def test_closed_from_another_task():
    manager = await asyncio.create_task(start())
    await asyncio.create_task(use(manager))
    await asyncio.gather(*(asyncio.create_task(stop(manager)) for _ in range(3)))

async def start():
    return await HostManager(SERVERS).initialize()

async def stop(manager):
    assert (await manager.shutdown()).is_clean

def test_closed_from_another_loop():
    manager = asyncio.run(start())
    asyncio.run(use(manager))
    asyncio.run(stop(manager))
"""


def proved(project: pytest.Pytester, source: str, *words: str) -> pytest.RunResult:
    """Runs tests, and waits until nothing of any of their servers is left."""
    with Alive() as alive:
        result = run(project, source.replace("ALIVE", repr(alive.path)), *words)
        alive.wait_for_the_end()
    return result


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(project, mode):
    pytest.importorskip("pytest_asyncio", minversion="1.0")
    result = proved(project, asyncio_tests(mode), "-o", f"asyncio_mode={mode}", "-p", "no:anyio")
    result.assert_outcomes(passed=3 * len(SCOPES) ** 2)


@pytest.mark.parametrize("scope", SCOPES)
def test_anyio(project, scope):
    pytest.importorskip("anyio")
    pytest.importorskip("trio")
    proved(project, ANYIO.replace("SCOPE", repr(scope)), "-p", "no:asyncio").assert_outcomes(passed=6)


def test_patterns_of_the_report(project):
    pytest.importorskip("pytest_asyncio", minversion="1.0")
    result = proved(project, PATTERNS, "-o", "asyncio_mode=auto", "-p", "no:anyio")
    result.assert_outcomes(passed=7)
