"""However a test, a handler or the run itself ends."""
from __future__ import annotations

import pytest

from .conftest import Alive, run


@pytest.mark.parametrize("scope", ["function", "class", "module", "session"])
@pytest.mark.parametrize("end", [
    "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "pytest.exit('enough', 7)", "raise SystemExit(3)", "raise KeyboardInterrupt",
])
def test_a_run_that_is_cut_off(project, scope, end):
    with Alive() as alive:
        result = run(project, f"""
            import os, pytest, signal, time

            @pytest.fixture
            def opened(mcp_host):
                with mcp_host.open("zoo", [MCP_ZOO, "--alive", {alive.path!r}]):
                    yield mcp_host

            class Test:
                def test_one(self, opened):
                    {end}

                def test_two(self, mcp_host):
                    pass
        """, "-o", f"mcp_host_scope={scope}")
        alive.wait_for_the_end()
    expected = 7 if "exit(" in end else 1 if "SystemExit" in end else 2
    assert result.ret == expected, result.stdout.str() + result.stderr.str()
    assert "HostGone" not in result.stdout.str() + result.stderr.str()
    # With an exit code of one's own pytest prints no summary.
    assert "0 processes left" in result.stdout.str() or expected == 7


def test_stop_at_the_first_failure(project):
    result = run(project, """
        def test_one(mcp_host):
            assert False
        def test_two(mcp_host):
            pass
    """, "-x")
    result.assert_outcomes(failed=1)
    assert "HostGone" not in result.stdout.str()


def test_mcp_host_that_dies_costs_one_test(project):
    result = run(project, """
        import os, signal, pytest
        from pytest_mcp_host import HostGone

        def test_dies(mcp):
            os.kill(mcp._hosts.channel._process.pid, signal.SIGKILL)
            with pytest.raises(HostGone, match="ended with status -9"):
                mcp.demo.echo(text="x")

        def test_without_it():
            assert True

        def test_again(mcp):
            assert mcp.demo.echo(text="y").text == "y"
    """)
    # Of what it held it is not proved that nothing is left.
    result.assert_outcomes(passed=3, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*mcp-host ended with status -9, so it is not proved that nothing is left"])


def test_handlers_and_callbacks_that_fail(project):
    result = run(project, """
        import asyncio, datetime, pytest

        def fails(*_):
            raise ZeroDivisionError("in a handler")

        def test_handler(mcp):
            with pytest.raises(ZeroDivisionError):
                with mcp.answers(form=fails):
                    mcp.call("demo", "greet", _check=False)
            with pytest.raises(pytest.fail.Exception):
                with mcp.answers(form=lambda *_: pytest.fail("no")):
                    mcp.call("demo", "greet", _check=False)
            assert mcp.demo.echo(text="x").text == "x"

        def test_what_json_cannot_say(mcp):
            with mcp.answers(form={"name": datetime.date.today()}):
                mcp.call("demo", "greet", _check=False, _timeout=5)
            with pytest.raises(TypeError):
                mcp.demo.echo(text=b"x")
            assert mcp.accounts()["requests"] == 0

        def test_coroutine(mcp):
            async def form(*_):
                return {"name": "Ann"}
            with pytest.raises(TypeError, match="and not by coroutines"):
                with mcp.answers(form=form):
                    assert "Ann" not in mcp.call("demo", "greet", _check=False).text

        def test_overlapping(mcp):
            one, two = mcp.answers(form={"name": "a"}), mcp.answers(form={"name": "b"})
            one.__enter__(); two.__enter__()
            assert mcp.demo.greet().text == "Hello, b!"
            one.__exit__(None, None, None)
            assert mcp.demo.greet().text == "Hello, b!"
            two.__exit__(None, None, None)
            assert "Hello" not in mcp.call("demo", "greet", _check=False).text
    """)
    result.assert_outcomes(passed=4)


def test_what_is_given_up_is_taken_back(project):
    pytest.importorskip("trio")
    result = run(project, """
        import asyncio, gc, signal, time, pytest, trio
        from pytest_mcp_host import HostManager

        SERVERS = {"zoo": {"command": MCP_ZOO}}

        def settle(host):
            for _ in range(100):
                if host.accounts()["requests"] == 0:
                    return True
                time.sleep(0.02)
            return False

        def test_asyncio(mcp):
            mcp.add("zoo", [MCP_ZOO])
            async def main():
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(mcp.aio.call("zoo", "hang"), 0.1)
            asyncio.run(main())
            assert settle(mcp)

        def test_thrown_away(mcp):
            mcp.add("zoo", [MCP_ZOO])
            coroutine = mcp.aio.call("zoo", "hang")
            loop = asyncio.new_event_loop()
            task = loop.create_task(coroutine)
            loop.run_until_complete(asyncio.sleep(0.05))
            task.cancel()
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
            assert settle(mcp)

        def test_trio(mcp):
            mcp.add("zoo", [MCP_ZOO])
            async def main():
                with trio.move_on_after(0.1):
                    await mcp.aio.call("zoo", "hang")
            trio.run(main)
            assert settle(mcp)

        def test_alarm(mcp):
            mcp.add("zoo", [MCP_ZOO])
            class Late(Exception):
                pass
            def late(*_):
                raise Late
            signal.signal(signal.SIGALRM, late)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Late):
                mcp.call("zoo", "hang")
            assert settle(mcp)

        def test_a_start_that_nobody_wants_any_more(mcp):
            async def main():
                task = asyncio.ensure_future(start())
                await asyncio.sleep(0)
                time.sleep(0.5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            async def start():
                await HostManager(SERVERS).initialize()
            asyncio.run(main())
            for _ in range(100):
                if len(mcp._hosts.hosts) == 1:
                    return
                time.sleep(0.02)
            assert False, mcp._hosts.hosts

        def test_from_a_signal_handler(mcp):
            said = []
            def handler(*_):
                said.append(mcp.demo.echo(text="h").text)
                # One after the other: on a busy machine a call takes longer than that.
                signal.setitimer(signal.ITIMER_REAL, 0.002)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            for number in range(200):
                assert mcp.demo.echo(text=str(number)).text == str(number)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            assert said and set(said) == {"h"}
    """)
    result.assert_outcomes(passed=6)


def test_forks(project):
    with Alive() as alive:
        result = run(project, f"""
            import os, pytest, time
            from pytest_mcp_host import HostGone

            def test_child(mcp):
                mcp.add("zoo", [MCP_ZOO, "--alive", {alive.path!r}])
                child = os.fork()
                if child == 0:
                    try:
                        mcp.demo.echo(text="x")
                    except HostGone:
                        os._exit(0)
                    os._exit(1)
                assert os.waitpid(child, 0)[1] == 0
                if os.fork() == 0:
                    time.sleep(20)
                    os._exit(0)
                assert mcp.demo.echo(text="x").text == "x"
        """)
        result.assert_outcomes(passed=1)
        assert result.ret == 0
        alive.wait_for_the_end()


def test_leaks_belong_to_who_opened(project):
    result = run(project, """
        import pytest
        from pytest_mcp_host import HostManager, LeftBehind

        SERVERS = {"zoo": {"command": MCP_ZOO}}

        @pytest.fixture(scope="class")
        def lazy(mcp_host):
            with mcp_host.open("lazy", [MCP_ZOO]):
                yield

        class TestLazy:
            def test_one(self, request, mcp_host):
                request.getfixturevalue("lazy")
                mcp_host.call("lazy", "echo", text="x")

            def test_two(self, mcp_host, lazy):
                mcp_host.call("lazy", "echo", text="x")

        def test_forgets_a_host():
            HostManager(SERVERS).initialize()

        @pytest.fixture
        def forgets(mcp_host):
            mcp_host.add("forgotten", [MCP_ZOO])

        def test_forgetful_fixture(forgets):
            pass

        @pytest.fixture
        def breaks():
            yield
            raise ValueError("another tear-down")

        def test_beside_another_failure(breaks, mcp_host):
            mcp_host.add("beside", [MCP_ZOO])

        def test_expected(host_manager):
            host_manager.initialize()
            host_manager.register("messy", [MCP_ZOO, "--helper", "session"])
            with pytest.raises(LeftBehind):
                host_manager.shutdown()

        def test_last(mcp_host):
            mcp_host.add("last", [MCP_ZOO])
    """)
    text = result.stdout.str()
    for named in [
        "ERROR at teardown of test_forgets_a_host", "a host with zoo is still open", "fixture forgets: server forgotten is still open",
        "server beside is still open", "ValueError: another tear-down", "server last is still open",
    ]:
        assert named in text, named
    result.assert_outcomes(passed=7, errors=4)


def test_who_is_blamed_and_who_is_not(project):
    result = run(project, """
        import contextlib, pytest
        from pytest_mcp_host import HostManager

        SERVERS = {"zoo": {"command": MCP_ZOO}}
        set_up = []

        def test_closed_by_its_fixture(host_manager):
            host_manager.initialize()

        @pytest.fixture
        def make():
            with contextlib.ExitStack() as stack:
                def make():
                    manager = HostManager(SERVERS)
                    manager.initialize()
                    stack.callback(manager.shutdown)
                    return manager
                yield make

        def test_closed_by_a_factory(make):
            make()

        @pytest.fixture
        def forgets(mcp_host):
            set_up.append(1)
            yield mcp_host.add(f"zoo{len(set_up)}", [MCP_ZOO])

        def test_one(forgets):
            assert len(set_up) == 1

        def test_two(forgets):
            assert len(set_up) == 2

        def test_both_are_closed(mcp_host):
            mcp_host.add("a", [MCP_ZOO, "--helper", "session"])
            mcp_host.add("b", [MCP_ZOO])

        def test_nothing_is_there(mcp_host):
            assert [server["name"] for server in mcp_host.servers] == ["demo"]

        def test_the_failure_is_the_tests_own(mcp_host):
            with mcp_host.open("c", [MCP_ZOO, "--helper", "session"]):
                assert False, "the test's own"

        def test_before_its_time():
            with pytest.raises(AttributeError, match="initialize"):
                HostManager(SERVERS).call("zoo", "echo")
            assert not hasattr(HostManager(SERVERS), "tools")
    """)
    result.assert_outcomes(passed=7, failed=1, errors=4)
    text = result.stdout.str()
    for line in ("fixture forgets: server zoo1 is still open", "fixture forgets: server zoo2 is still open", "server b is still open",
                 "a has left processes", "c has left processes", "the test's own"):
        assert line in text, line


def test_warnings_are_errors(project):
    run(project, """
        def test(mcp_host):
            assert mcp_host.demo.echo(text="a\\ud800b").text
    """, "-W", "error", "-p", "no:asyncio").assert_outcomes(passed=1)


def test_odd_words(project):
    result = run(project, "def test(mcp_host): pass", "--mcp-host-timeout", "abc")
    assert result.ret == 4 and "INTERNALERROR" not in result.stderr.str()
    run(project, """
        import pytest

        def test(mcp_host):
            with pytest.raises(TypeError, match="no option _timout"):
                mcp_host.call("demo", "echo", text="x", _timout=5)
            with pytest.raises(TypeError, match="list of words"):
                mcp_host.add("q", "python server.py")
            assert mcp_host["demo"]["echo"](text="x").text == "x"

        def test_mark_is_checked(mcp_host):
            pass
    """).assert_outcomes(passed=2)
    result = run(project, "import pytest\n@pytest.mark.mcp_host(scop='class')\ndef test(mcp_host): pass")
    assert "write mcp_host(scope=...)" in result.stdout.str() + result.stderr.str()


def test_servers_with_parameters(project):
    run(project, """
        import pytest

        @pytest.fixture(scope="session", params=["one", "two"])
        def mcp_servers(request):
            return {request.param: {"command": MCP_HOST, "args": ["demo-server"]}}

        def test(mcp_host, mcp_servers):
            [name] = mcp_servers
            assert mcp_host[name].echo(text="x").text == "x"
    """).assert_outcomes(passed=2)
