"""Fixtures for MCP servers under test. All of them are synchronous generators, so there is no event loop that they could leave in the wrong task."""
from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import pytest

from ._binary import mcp_host_path
from ._channel import GRACE
from ._errors import LeftBehind, McpHostError
from ._host import Host, Hosts
from ._manager import HostManager, raise_what_is_left

#: A configuration file, or definitions by name.
Servers: TypeAlias = "str | Mapping[str, Any] | None"
SCOPES = ("function", "class", "module", "package", "session")


class Owner(NamedTuple):
    """In whose name something is opened, and for how long that lasts at most."""

    key: object
    scope: str


class Plugin:
    """What this plugin knows in one run of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.timeout: float = config.getoption("mcp_host_timeout")
        self.socket: str | None = config.getoption("mcp_host_socket") and os.path.abspath(os.path.expanduser(config.getoption("mcp_host_socket")))
        self._all: list[Hosts] = []
        self._owner: object = None
        #: When the test that is running began.
        self.since = 0.0
        #: What fixtures of a wider scope have left, for the test whose tear-down ends them.
        self.late: list[str] = []
        self.counts = {"opened": 0, "closed": 0, "left": 0, "status": 0}

    @property
    def hosts(self) -> Hosts:
        """mcp-host, started when it is needed first, and anew if it has ended."""
        if not self._all or self._all[-1].channel.is_gone:
            self._all.append(Hosts("" if self.socket else mcp_host_path(), str(self.config.rootpath), self.socket))
            self._all[-1].owner = lambda: self._owner
        return self._all[-1]

    @property
    def live(self) -> list[Host]:
        if not self._all or self._all[-1].channel.is_gone:
            return []
        return list(self._all[-1].hosts.values())

    @contextlib.contextmanager
    def in_the_name_of(self, owner: Owner) -> Iterator[None]:
        """What is opened meanwhile has to be closed by whoever that is."""
        before, self._owner = self._owner, owner
        try:
            yield
        finally:
            self._owner = before

    def close_what_is_left(self, owner: Owner) -> list[str]:
        """Closes what somebody has opened and not closed, and would stay open without him. Returns what that was."""
        left = []
        for host in self.live:
            try:
                if host.owner == owner:
                    left.append(f"a host with {', '.join(host._names) or 'no servers'} is still open; it has been closed")
                    host.close()
                    left += host.left
                    host.left, host.is_told = [], True
                    continue
                holder = host.owner
                if isinstance(holder, Owner) and SCOPES.index(holder.scope) <= SCOPES.index(owner.scope):
                    continue
                names = [name for name, other in host.added.items() if other == owner]
                running = host.processes() if names else {}
                for name in names:
                    words = ", ".join(f"process {each['pid']}: {each['command']}" for each in running.get(name, [])) or "no process"
                    left.append(f"server {name} is still open ({words}); it has been closed")
                    host._drop(name).get()
            except McpHostError as error:
                left.append(error.message)
        for hosts in self._all:
            while hosts.channel.unheard:
                left.append(hosts.channel.unheard.popleft())
        return left

    def finish(self) -> None:
        """Ends mcp-host, and with it whatever is still open."""
        hosts, self._all = self._all, []
        for one in hosts:
            status = one.channel.close()
            self.counts["opened"] += one.opened
            self.counts["closed"] += one.closed
            self.counts["left"] += len(one.left)
            self.counts["status"] = self.counts["status"] or status

    def sections(self) -> Iterator[tuple[str, str]]:
        """What helps to understand a failure."""
        if self._all:
            messages = [text for when, text in list(self._all[-1].channel.log)[-10:] if when >= self.since]
            if messages:
                yield "mcp-host: last messages", "\n".join(messages)
        for host in self.live:
            # Nobody waits long for an explanation.
            listed = host._ask("servers/list", {}, lambda answer: list(answer["servers"]), 3 - GRACE).get()
            for name in [server["name"] for server in listed]:
                if text := host.stderr(name):
                    yield f"standard error of {name}", text
                yield f"mcp-host: what happened to {name}", host.why(name, stderr=False)


_KEY = pytest.StashKey[Plugin]()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 31_536_000:
        raise argparse.ArgumentTypeError("more than 0, and at most a year")
    return seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mcp-host", "MCP servers under test")
    group.addoption(
        "--mcp-host-timeout", dest="mcp_host_timeout", default=60.0, type=_seconds, metavar="SECONDS",
        help="how long a call of a tool may take (default 60)")
    group.addoption(
        "--mcp-host-socket", dest="mcp_host_socket", metavar="PATH", help="mcp_host is the servers that `mcp-host run --socket PATH` holds, for all "
        "workers of xdist and all runs")
    parser.addini("mcp_host_config", "configuration file of the servers of mcp_host and mcp (default: .mcp.json, if it is there)", default="")
    parser.addini("mcp_host_scope", "scope of the fixture mcp_host: function, class, module, package or session (default)", default="session")


def pytest_configure(config: pytest.Config) -> None:
    plugin = config.stash[_KEY] = Plugin(config)
    HostManager._runs.append(lambda: plugin.hosts)
    config.addinivalue_line("markers", "mcp_host(scope): the scope of the fixture mcp_host for these tests")


def pytest_report_header(config: pytest.Config) -> str:
    plugin = config.stash[_KEY]
    try:
        where = f"at {plugin.socket}" if plugin.socket else mcp_host_path()
    except FileNotFoundError as error:
        return f"mcp-host: {error}"
    return f"mcp-host: {where}, scope {config.getini('mcp_host_scope')}, timeout {plugin.timeout:g} s"


# Fixtures


def _known(scope: object, where: str) -> Any:
    if scope not in SCOPES:
        raise pytest.UsageError(f"{where} is one of {', '.join(SCOPES)}, and not {scope!r}")
    return scope


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    return _known(config.getini("mcp_host_scope"), "mcp_host_scope")


@pytest.fixture(scope="session")
def mcp_servers(pytestconfig: pytest.Config) -> Servers:
    """The servers of `mcp_host` and `mcp`: a file, or definitions by name. Define a fixture of this name to have others."""
    named = str(pytestconfig.getini("mcp_host_config"))
    folders = pytestconfig.rootpath, pytestconfig.invocation_params.dir
    path = next((path for folder in folders if (path := folder / (named or ".mcp.json")).exists()), folders[0] / named)
    if named and not path.exists():
        raise pytest.UsageError(f"mcp_host_config: {path} is not there")
    return str(path) if path.is_file() else None


def _open(request: pytest.FixtureRequest, mcp_servers: Servers) -> Iterator[Host]:
    plugin = request.config.stash[_KEY]
    if plugin.socket and request.fixturename != "mcp":
        yield plugin.hosts.shared(plugin.timeout)
        return
    host = plugin.hosts.start(mcp_servers, plugin.timeout, lambda host: host).get()
    # Closed here, and by nobody else.
    host.owner = Owner(plugin, request.scope)
    yield host
    # What its servers have left is an error of the test, or of the last of those that used it.
    raise_what_is_left(host, host.close())


@pytest.fixture(scope=_scope)
def mcp_host(request: pytest.FixtureRequest, mcp_servers: Servers) -> Iterator[Host]:
    """The servers of the configuration, opened once for the scope of `mcp_host_scope`, or of the mark `mcp_host(scope=...)`."""
    yield from _open(request, mcp_servers)


@pytest.fixture
def mcp(request: pytest.FixtureRequest, mcp_servers: Servers) -> Iterator[Host]:
    """The same servers, fresh for one test."""
    yield from _open(request, mcp_servers)


@pytest.fixture(scope=_scope)
def host_manager(request: pytest.FixtureRequest, mcp_servers: Servers) -> Iterator[HostManager]:
    """A manager of the configuration: `initialize`, `register`, `shutdown`, from any fixture and any task. Closed at the end, if it is not by then."""
    plugin = request.config.stash[_KEY]
    manager = HostManager(mcp_servers, timeout=plugin.timeout, hosts=plugin.hosts)
    manager._owner = Owner(plugin, request.scope)
    yield manager
    if manager._host is not None:
        raise_what_is_left(manager._host, manager._host.close())


for _one in SCOPES:
    globals()[f"_mcp_host_{_one}"] = pytest.fixture(scope=_one, name=f"_mcp_host_{_one}")(_open)  # type: ignore[call-overload]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("mcp_host")
        if mark is None:
            continue
        if len(mark.args) + len(mark.kwargs) != 1 or mark.kwargs.keys() - {"scope"}:
            raise pytest.UsageError(f"{item.nodeid}: write mcp_host(scope=...)")
        scope = _known(mark.args[0] if mark.args else mark.kwargs["scope"], f"{item.nodeid}: mcp_host(scope=...)")
        info: Any = getattr(item, "_fixtureinfo", None)
        manager: Any = item.session._fixturemanager
        if info is not None and "mcp_host" in info.name2fixturedefs:
            where = item if pytest.version_tuple >= (8,) else item.nodeid
            # Those that a conftest has put on top of it stay.
            defs = info.name2fixturedefs["mcp_host"] = (*manager.getfixturedefs(f"_mcp_host_{scope}", where)[-1:], *info.name2fixturedefs["mcp_host"][1:])
            # pytest 7.4 has made a copy of it for the item by now.
            getattr(getattr(item, "_request", None), "_arg2fixturedefs", {})["mcp_host"] = defs


# Leaks, and what helps to understand a failure


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_KEY].since = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with item.config.stash[_KEY].in_the_name_of(Owner(item.nodeid, "function")):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
    with request.config.stash[_KEY].in_the_name_of(Owner(id(fixturedef), request.scope)):
        return (yield)


def pytest_fixture_post_finalizer(fixturedef: Any, request: pytest.FixtureRequest) -> None:
    # Not raised here: before pytest 9.2 the fixture would count as being set up still.
    plugin = request.config.stash[_KEY]
    plugin.late += [f"fixture {fixturedef.argname}: {text}" for text in plugin.close_what_is_left(Owner(id(fixturedef), request.scope))]


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set up before all others of a test, and torn down after them: what is open then, nobody closes any more."""
    yield
    plugin = request.config.stash[_KEY]
    plugin.late += plugin.close_what_is_left(Owner(request.node.nodeid, "function"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    plugin = item.config.stash[_KEY]
    try:
        return (yield)
    finally:
        late, plugin.late = plugin.late, []
        if late and not isinstance(sys.exc_info()[1], (KeyboardInterrupt, pytest.exit.Exception)):
            raise LeftBehind("; ".join(late), {"kind": "leftBehind"})


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        # It must not hide the failure that it is to explain.
        with contextlib.suppress(Exception):
            for section in item.config.stash[_KEY].sections():
                report.sections.append(section)


# The end of the run


# Around the tear-down of what is still set up, and within what prints the summary.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    plugin = session.config.stash[_KEY]
    try:
        # What is set up is torn down in here.
        return (yield)
    finally:
        plugin.finish()
        output: Any = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["mcp_host"] = plugin.counts
        if plugin.counts["status"] != 0 and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    counts = getattr(node, "workeroutput", {}).get("mcp_host") or {}
    plugin: Plugin = node.config.stash[_KEY]
    plugin.counts = {key: value or counts.get(key, 0) if key == "status" else value + counts.get(key, 0) for key, value in plugin.counts.items()}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash[_KEY].counts
    if opened := counts["opened"]:
        left = f"{counts['left']} left something" if counts["left"] else "0 processes left"
        if counts["status"] != 0:
            left += f"; mcp-host ended with status {counts['status']}, so it is not proved that nothing is left"
        terminalreporter.write_line(f"mcp-host: {opened} server{'' if opened == 1 else 's'} opened, {counts['closed']} closed, {left}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if plugin := config.stash.get(_KEY, None):
        plugin.finish()
        HostManager._runs.pop()
