"""What the fixtures promise, each in a pytest of its own."""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from pytest_mcp_host import mcp_host_path

from .conftest import Alive, run


def test_calls(project):
    run(project, """
        import pytest
        from pytest_mcp_host import InvalidArguments, NotFound, ToolFailed

        def test_result(mcp_host):
            assert mcp_host.call("demo", "echo", text="x").text == "x"
            assert mcp_host.demo.add(a=1, b=2).data == 3
            assert mcp_host.call("demo", "add", {"a": 1}, b=2).content[0]["type"] == "text"
            assert mcp_host.read("demo", "demo://about").text.startswith("The demo server")
            assert "abc" in mcp_host.prompt("demo", "summarise", text="abc").text
            assert {tool["name"] for tool in mcp_host.tools("demo")} >= {"echo", "add"}

        def test_errors(mcp_host):
            with pytest.raises(InvalidArguments, match="text"):
                mcp_host.demo.echo(tex="x")
            with pytest.raises(ToolFailed) as caught:
                mcp_host.demo.add(a=1e308, b=1e308)
            assert caught.value.result.is_error
            assert mcp_host.call("demo", "add", a=1e308, b=1e308, _check=False).is_error
            with pytest.raises(NotFound, match="there are: demo"):
                mcp_host.call("dem", "echo")
    """).assert_outcomes(passed=2)


def test_lifetime_and_what_happened(project):
    run(project, """
        import pytest
        from pytest_mcp_host import HostTimeout, ServerGone

        def test_kill(mcp):
            before = mcp.servers[0]["pid"]
            mcp.kill("demo")
            assert mcp.wait("demo")["pid"] != before
            assert mcp.demo.echo(text="x").text == "x"
            assert "SIGKILL" in mcp.why("demo") and any(event["event"] == "restarting" for event in mcp.events())
            assert mcp.accounts()["processes"] == 1

        def test_open(mcp_host):
            with mcp_host.open("zoo", [MCP_ZOO]) as zoo:
                assert mcp_host.tools("zoo")
                with pytest.raises(HostTimeout):
                    zoo.hang(_timeout=0.1)
            with pytest.raises(ServerGone) as caught:
                mcp_host.add("dead", ["sh", "-c", "echo boom >&2; exit 3"])
            assert caught.value.exit_status == "exit status 3" and caught.value.last_line == "boom" and caught.value.server == "dead"
            mcp_host.restart("demo")
            assert mcp_host.demo.echo(text="y").text == "y"
    """).assert_outcomes(passed=2)


def test_questions(project):
    run(project, """
        import pytest
        from pytest_mcp_host import ToolFailed

        def test_form(mcp_host):
            with mcp_host.answers(form={"name": "Ann"}):
                assert mcp_host.demo.greet().text == "Hello, Ann!"
                with mcp_host.answers(form=lambda message, schema, server: {"name": f"{server}, {list(schema['properties'])[0]}"}):
                    assert mcp_host.demo.greet().text == "Hello, demo, name!"
                assert mcp_host.demo.greet().text == "Hello, Ann!"
            assert "Ann" not in mcp_host.call("demo", "greet", _check=False).text
    """).assert_outcomes(passed=1)


def test_progress(project):
    # No server of ours reports progress by itself; that the parameter is taken is what can be seen here.
    run(project, """
        def test_progress(mcp_host):
            assert mcp_host.call("demo", "echo", text="x", _progress=print).text == "x"
    """).assert_outcomes(passed=1)


@pytest.mark.parametrize("scope, same", [("function", False), ("class", True), ("module", True), ("package", True), ("session", True)])
def test_scope(project, scope, same):
    tests = f"""
        ids = []
        class TestBoth:
            def test_one(self, mcp_host):
                ids.append(mcp_host.id)
            def test_two(self, mcp_host):
                ids.append(mcp_host.id)
                assert len(set(ids)) == {1 if same else 2}
    """
    run(project, tests, "-o", f"mcp_host_scope={scope}").assert_outcomes(passed=2)
    marked = tests.replace("class TestBoth", f"import pytest\n        @pytest.mark.mcp_host(scope={scope!r})\n        class TestBoth")
    run(project, marked, "-o", "mcp_host_scope=function").assert_outcomes(passed=2)


def test_wrong_words(project):
    result = run(project, "def test(mcp_host): pass", "-o", "mcp_host_scope=world")
    result.stdout.fnmatch_lines(["*mcp_host_scope is one of function, class*"])
    result = run(project, "import pytest\n@pytest.mark.mcp_host(scope='world')\ndef test(mcp_host): pass")
    assert "mcp_host(scope=...) is one of" in result.stdout.str() + result.stderr.str()
    result = run(project, "def test(mcp_host): pass", "-o", "mcp_host_config=none.json")
    result.stdout.fnmatch_lines(["*mcp_host_config: *none.json is not there*"])


def test_leaks_are_named(project):
    result = run(project, """
        def test_forgets(mcp_host):
            mcp_host.add("forgotten", [MCP_ZOO])

        def test_daemon(mcp):
            mcp.add("messy", [MCP_ZOO, "--helper", "session"])

        def test_next(mcp_host):
            assert [server["name"] for server in mcp_host.servers] == ["demo"]
    """)
    result.assert_outcomes(passed=3, errors=2)
    text = result.stdout.str()
    assert re.search(r"LeftBehind: server forgotten is still open \(process \d+: \S*mcp-zoo\); it has been closed", text)
    assert re.search(r"LeftBehind: messy has left processes, which had to be ended: \d+ \(\S*mcp-zoo --helper session\)", text)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_forgets*", "*ERROR at teardown of test_daemon*"])


def test_a_failure_is_explained(project):
    result = run(project, """
        def test_fails(mcp):
            mcp.add("talks", ["sh", "-c", "echo remember me >&2; exec " + MCP_ZOO])
            assert mcp.demo.echo(text="x").text == "y"
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "*last messages*", "*tools/call*echo*", "*standard error of talks*", "remember me", "*what happened to talks*", "*ready, revision*",
        "mcp-host: 2 servers opened, 2 closed, 0 processes left",
    ])


def test_deaf_servers_are_closed_in_time(project):
    result = run(project, """
        import time, pytest

        @pytest.fixture
        def deaf(mcp):
            for number in range(4):
                mcp.add(f"deaf{number}", [MCP_ZOO, "--ignore-eof", "--ignore-term"])
            yield mcp
            start = time.monotonic()
            report = mcp.close()
            took = time.monotonic() - start
            print(f"closed in {took:.1f} s; {report}")
            assert took < 6.5 and report.is_clean

        def test(deaf):
            pass
    """, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*closed in * s; 5 servers closed, 0 processes left*"])


def test_without_the_plugin(project):
    run(project, "def test(): pass", "-p", "no:mcp_host").assert_outcomes(passed=1)
    run(project, "def test(mcp_host): pass", "-p", "no:mcp_host").assert_outcomes(errors=1)


def test_nothing_is_started_for_others(project):
    result = run(project, "def test(): pass")
    assert "servers opened" not in result.stdout.str()
    result.stdout.fnmatch_lines(["mcp-host: *, scope session, timeout 60 s"])


@pytest.mark.parametrize("workers", [2])
def test_xdist(project, workers):
    pytest.importorskip("xdist")
    result = run(project, """
        import pytest
        @pytest.mark.parametrize("number", range(8))
        def test(mcp_host, number):
            assert mcp_host.demo.echo(text=str(number)).text == str(number)
    """, "-n", str(workers))
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines([f"mcp-host: {workers} servers opened, {workers} closed, 0 processes left"])


def test_xdist_with_one_host_for_all(project):
    pytest.importorskip("xdist")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/s"
        run(project, "def test(mcp_host): pass", f"--mcp-host-socket={path}").stdout.fnmatch_lines(["*HostGone: nobody listens at *mcp-host run --socket*"])
        holder = subprocess.Popen([mcp_host_path(), "run", "--socket", path], cwd=project.path, stderr=subprocess.PIPE, text=True)
        assert holder.stderr is not None
        try:
            assert any("demo: ready" in line for line in holder.stderr)
            result = run(project, """
                import pytest
                from pytest_mcp_host import McpHostError

                @pytest.mark.parametrize("number", range(8))
                def test(mcp_host, mcp, number):
                    print("pid", mcp_host.servers[0]["pid"])
                    assert mcp_host.demo.echo(text=str(number)).text == str(number)
                    assert mcp.servers[0]["pid"] != mcp_host.servers[0]["pid"]
                    with pytest.raises(McpHostError, match="is shared"):
                        mcp_host.kill("demo")
            """, "-n", "2", "-rP", f"--mcp-host-socket={path}")
        finally:
            holder.terminate()
            holder.stderr.read()
            holder.stderr.close()
        assert holder.wait(30) == 0
        result.assert_outcomes(passed=8)
        assert len(set(re.findall(r"^pid \d+$", result.stdout.str(), re.MULTILINE))) == 1
        result.stdout.fnmatch_lines(["mcp-host: 8 servers opened, 8 closed, 0 processes left"])


def test_every_method_both_ways(project):
    run(project, """
        import asyncio, pytest
        from pytest_mcp_host import AsyncHost, Host, HostManager, McpHostError

        NAMES = [name for name in vars(AsyncHost) if not name.startswith("_")]

        def test_names():
            assert set(NAMES) == {name for name in vars(Host) if not name.startswith("_")} - {"servers", "answers", "processes"}

        def test_async(mcp):
            async def main():
                aio = mcp.aio
                assert [tool["name"] for tool in await aio.tools("demo")] == [tool["name"] for tool in mcp.tools("demo")]
                assert await aio.resources() == mcp.resources() and await aio.resource_templates() == mcp.resource_templates()
                assert await aio.prompts() == mcp.prompts()
                assert (await aio.read("demo", "demo://about")).text and (await aio.prompt("demo", "summarise", text="abc")).text
                ref = {"type": "ref/prompt", "name": "summarise"}
                with pytest.raises(McpHostError, match="completion/complete"):
                    await aio.complete("demo", ref, "text", "")
                with pytest.raises(McpHostError, match="completion/complete"):
                    mcp.complete("demo", ref, "text", "")
                zoo = await aio.add("zoo", [MCP_ZOO])
                assert zoo.name == "zoo" and await zoo.aio.call("echo") is not None
                await aio.restart("zoo")
                await aio.kill("zoo")
                assert (await aio.wait("zoo"))["status"] == "ready"
                assert "SIGKILL" in await aio.why("zoo") and isinstance(await aio.stderr("zoo"), str)
                assert await aio.events() and (await aio.accounts())["processes"] == 2
                assert (await aio.remove("zoo")).is_clean
                async with aio.open("more", [MCP_ZOO]) as more:
                    assert mcp.processes()["more"][0]["command"].startswith(MCP_ZOO)
                assert (await aio.close()).is_clean
            asyncio.run(main())

        def test_manager(host_manager):
            async def main():
                await host_manager.initialize()
                assert (await host_manager.tools("demo"))[0]["name"]
                assert (await host_manager.call("demo", "echo", {"text": "x"}, _timeout=5)).text == "x"
            asyncio.run(main())
            assert host_manager.tools("demo")[0]["name"] and host_manager.shutdown().is_clean
    """).assert_outcomes(passed=3)


def test_pytest_timeout(project):
    pytest.importorskip("pytest_timeout")
    result = run(project, """
        def test_hangs(mcp):
            mcp.add("zoo", [MCP_ZOO])
            mcp.call("zoo", "hang")
    """, "--timeout", "2", "--timeout-method", "signal")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*2 servers opened, 2 closed, 0 processes left*"])


CHILD = "subprocess.Popen(['sleep', '60'], pass_fds=[mcp._hosts.channel._pipes[0].fileno()], stdout=-3, stderr=-3)"


@pytest.mark.parametrize(("how", "first"), [(signal.SIGKILL, ""), (signal.SIGTERM, ""), (signal.SIGINT, ""), *(
    # A child of pytest has the input of mcp-host open, which goes with it there.
    [(signal.SIGKILL, CHILD)] if sys.platform == "linux" else [])])
def test_a_pytest_that_is_killed_leaves_nothing(project, how, first):
    with Alive() as alive:
        project.makepyfile(f"""
            import subprocess
            def test_waits(mcp):
                {first}
                mcp.add("zoo", [MCP_ZOO, "--helper", "session", "--alive", {alive.path!r}])
                print("ready", flush=True)
                mcp.call("zoo", "hang", _timeout=600)
        """)
        words = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-W", "ignore"]
        child = subprocess.Popen(words, cwd=project.path, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert child.stdout is not None
        for line in child.stdout:
            if "ready" in line:
                break
        os.kill(child.pid, how)
        child.stdout.read()
        child.wait(60)
        alive.wait_for_the_end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def test_unittest(project):
    run(project, """
        import unittest
        from pytest_mcp_host import HostManager

        class Both(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.manager = HostManager({"demo": {"command": MCP_HOST, "args": ["demo-server"]}})
                await self.manager.initialize()

            async def asyncTearDown(self):
                assert (await self.manager.shutdown()).is_clean

            async def test_call(self):
                assert (await self.manager.call("demo", "echo", text="x")).text == "x"

            def test_sync(self):
                pass
    """).assert_outcomes(passed=2)


