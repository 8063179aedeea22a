"""Fixtures for MCP servers under test. All of them are synchronous generators, so there is no event loop that they could leave in the wrong task."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import pytest

from ._binary import mcp_host_path
from ._errors import LeftBehind
from ._host import Host, Hosts
from ._manager import HostManager

#: A configuration file, or definitions by name.
Servers: TypeAlias = "str | Mapping[str, Any] | None"
SCOPES = ("function", "class", "module", "package", "session")


class Plugin:
    """What this plugin knows in one run of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.timeout = float(config.getoption("mcp_host_timeout"))
        self._hosts: Hosts | None = None
        #: The test that is running, and whether its body is.
        self.item: pytest.Item | None = None
        self.in_body = False
        self.counts = {"opened": 0, "closed": 0, "left": 0}

    @property
    def hosts(self) -> Hosts:
        """mcp-host, started when it is needed first."""
        if self._hosts is None:
            self._hosts = Hosts(mcp_host_path())
            HostManager._default = self._hosts
        return self._hosts

    @property
    def live(self) -> list[Host]:
        return list(self._hosts.hosts.values()) if self._hosts else []

    def start(self, servers: Servers) -> Host:
        return self.hosts.start(servers, self.timeout).get()

    def stop(self, host: Host) -> None:
        """Closes a host. What its servers have left is an error of the test, or of the last of those that used it."""
        report = host.close()
        if host.left or not report.is_clean:
            raise LeftBehind("; ".join(host.left) or str(report), {"kind": "leftBehind"})

    def finish(self) -> int:
        """Ends mcp-host, and with it whatever is still open."""
        if self._hosts is None:
            return 0
        status = self._hosts.channel.close()
        self.counts = {"opened": self._hosts.opened, "closed": self._hosts.closed, "left": len(self._hosts.left)}
        self._hosts, HostManager._default = None, None
        return status

    def sections(self) -> list[tuple[str, str]]:
        """What helps to understand a failure."""
        found = []
        for host in self.live:
            for server in host.servers:
                name = server["name"]
                if text := host.stderr(name):
                    found.append((f"standard error of {name}", text))
                found.append((f"mcp-host: what happened to {name}", host.why(name, stderr=False)))
        if self._hosts and self._hosts.channel.log:
            found.append(("mcp-host: last messages", "\n".join(list(self._hosts.channel.log)[-10:])))
        return found


_KEY = pytest.StashKey[Plugin]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mcp-host", "MCP servers under test")
    group.addoption(
        "--mcp-host-timeout", dest="mcp_host_timeout", default="60", metavar="SECONDS", help="how long a call of a tool may take (default 60)"
    )
    parser.addini("mcp_host_config", "configuration file of the servers of mcp_host and mcp (default: .mcp.json, if it is there)", default="")
    parser.addini("mcp_host_scope", "scope of the fixture mcp_host: function, class, module, package or session (default)", default="session")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = Plugin(config)
    config.addinivalue_line("markers", "mcp_host(scope): the scope of the fixture mcp_host for these tests")


def pytest_report_header(config: pytest.Config) -> str:
    try:
        program = mcp_host_path()
    except FileNotFoundError as error:
        return f"mcp-host: {error}"
    return f"mcp-host: {program}, scope {config.getini('mcp_host_scope')}, timeout {config.stash[_KEY].timeout:g} s"


# Fixtures


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    scope = str(config.getini("mcp_host_scope"))
    if scope not in SCOPES:
        raise pytest.UsageError(f"mcp_host_scope is one of {', '.join(SCOPES)}, and not {scope!r}")
    return scope


@pytest.fixture(scope="session")
def mcp_servers(pytestconfig: pytest.Config) -> Servers:
    """The servers of `mcp_host` and `mcp`: a file, or definitions by name. Define a fixture of this name to have others."""
    named = str(pytestconfig.getini("mcp_host_config"))
    path = pytestconfig.rootpath / (named or ".mcp.json")
    if named and not path.exists():
        raise pytest.UsageError(f"mcp_host_config: {path} is not there")
    return str(path) if path.exists() else None


def _open(request: pytest.FixtureRequest) -> Iterator[Host]:
    plugin = request.config.stash[_KEY]
    host = plugin.start(request.getfixturevalue("mcp_servers"))
    yield host
    plugin.stop(host)


@pytest.fixture(scope=_scope)
def mcp_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """The servers of the configuration, opened once for the scope of `mcp_host_scope`, or of the mark `mcp_host(scope=...)`."""
    yield from _open(request)


@pytest.fixture
def mcp(request: pytest.FixtureRequest) -> Iterator[Host]:
    """The same servers, fresh for one test."""
    yield from _open(request)


@pytest.fixture(scope=_scope)
def host_manager(request: pytest.FixtureRequest) -> Iterator[HostManager]:
    """A manager of the configuration: `initialize`, `register`, `shutdown`, from any fixture and any task. Closed at the end, if it is not by then."""
    plugin = request.config.stash[_KEY]
    manager = HostManager(request.getfixturevalue("mcp_servers"), timeout=plugin.timeout, hosts=plugin.hosts)
    yield manager
    if manager._host is not None:
        plugin.stop(manager._host)


def _of_scope(scope: str) -> Any:
    def fixture(request: pytest.FixtureRequest) -> Iterator[Host]:
        yield from _open(request)

    return pytest.fixture(scope=scope, name=f"_mcp_host_{scope}")(fixture)  # type: ignore[call-overload]


_mcp_host_function = _of_scope("function")
_mcp_host_class = _of_scope("class")
_mcp_host_module = _of_scope("module")
_mcp_host_package = _of_scope("package")
_mcp_host_session = _of_scope("session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("mcp_host")
        scope = mark.kwargs.get("scope") if mark else None
        if scope is None:
            continue
        if scope not in SCOPES:
            raise pytest.UsageError(f"{item.nodeid}: mcp_host(scope=...) is one of {', '.join(SCOPES)}, and not {scope!r}")
        info: Any = getattr(item, "_fixtureinfo", None)
        manager: Any = item.session._fixturemanager
        if info is not None and "mcp_host" in info.name2fixturedefs:
            where = item if pytest.version_tuple >= (8,) else item.nodeid
            info.name2fixturedefs["mcp_host"] = manager.getfixturedefs(f"_mcp_host_{scope}", where)


# Leaks, and what helps to understand a failure


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_KEY].item = item


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    plugin = item.config.stash[_KEY]
    before = {host.id: {server["name"] for server in host.servers} for host in plugin.live}
    plugin.in_body = True
    yield
    plugin.in_body = False
    item.stash[_OPENED] = [
        (host, server)
        for host in plugin.live
        if host.id in before
        for server in host.servers
        if server["name"] not in before[host.id]
    ]


_OPENED = pytest.StashKey["list[tuple[Host, dict[str, Any]]]"]()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    plugin = item.config.stash[_KEY]
    left = []
    for host, server in item.stash.get(_OPENED, []):
        if host.report is None and any(known["name"] == server["name"] for known in host.servers):
            words = host.look().get(server["pid"] or 0) or ""
            left.append(f"server {server['name']} is still open (process {server['pid']}{': ' + words if words else ''}); it has been closed")
            try:
                host.remove(server["name"])
            except LeftBehind as error:
                left.append(error.message)
    plugin.item = None
    if left:
        raise LeftBehind("; ".join(left), {"kind": "leftBehind"})


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        try:
            report.sections.extend(item.config.stash[_KEY].sections())
        except Exception as error:  # noqa: BLE001  It must not hide the failure that it is to explain.
            report.sections.append(("mcp-host", f"nothing more is known: {error}"))


# The end of the run


def pytest_sessionfinish(session: pytest.Session) -> None:
    plugin = session.config.stash[_KEY]
    status = plugin.finish()
    output: Any = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["mcp_host"] = plugin.counts
    if status != 0 and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    counts = getattr(node, "workeroutput", {}).get("mcp_host") or {}
    plugin: Plugin = node.config.stash[_KEY]
    plugin.counts = {key: value + counts.get(key, 0) for key, value in plugin.counts.items()}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash[_KEY].counts
    if counts["opened"]:
        opened = counts["opened"]
        left = f"{counts['left']} left something" if counts["left"] else "0 processes left"
        terminalreporter.write_line(f"mcp-host: {opened} server{'' if opened == 1 else 's'} opened, {counts['closed']} closed, {left}")


def pytest_unconfigure(config: pytest.Config) -> None:
    plugin = config.stash.get(_KEY, None)
    if plugin:
        plugin.finish()
