"""A host in the shape of the managers that fixtures know: `initialize`, `register`, `shutdown`."""
from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ._binary import mcp_host_path
from ._channel import Pending, has_loop
from ._errors import LeftBehind
from ._host import AsyncHost, Host, Hosts
from ._results import Report


class HostManager:
    """Opens a configuration, holds it, closes it: in a fixture of any scope, set up in one task and torn down in another.

    Each method does its work at once where no event loop runs, and gives something to be awaited where one does:

        await manager.initialize()      # in a coroutine
        manager.initialize()            # elsewhere

    :param configuration: a file, or definitions by name.
    :param timeout: seconds that a call may take.
    """

    #: Where those that are made without hosts of their own get them: the plugin's, of the innermost run.
    _runs: ClassVar[list[Callable[[], Hosts]]] = []

    def __init__(
        self, configuration: str | os.PathLike[str] | Mapping[str, Any] | None = None, *, timeout: float = 60, hosts: Hosts | None = None
    ) -> None:
        self._configuration = os.fspath(configuration) if isinstance(configuration, os.PathLike) else configuration
        self._timeout = timeout
        self._hosts = hosts
        self._host: Host | None = None
        #: Who closes it, where that is not whoever opens it.
        self._owner: object = None

    @property
    def host(self) -> Host:
        """The host, once it is initialized."""
        if self._host is None:
            raise AttributeError("initialize() comes first")
        return self._host

    def initialize(self) -> Any:
        """Opens the servers of the configuration. Returns the manager."""

        def take(host: Host) -> HostManager:
            self._host = host
            host.owner = self._owner or host.owner
            return self

        def start() -> Pending[HostManager]:
            hosts = self._hosts or (HostManager._runs[-1]() if HostManager._runs else _own())
            return hosts.start(self._configuration, self._timeout, take)

        return _now_or_later(start)

    def register(self, name: str, command: Sequence[str], **definition: Any) -> Any:
        """One more server. Returns it."""
        return _now_or_later(lambda: self.host._add(name, command, **definition))

    def shutdown(self) -> Any:
        """Closes everything; again and again, if somebody likes. Returns the report.

        :raises LeftBehind: something was left.
        """
        host = self._host
        if host is None:
            return _now_or_later(lambda: Pending.of(Report({"servers": []})))

        def check(report: Report) -> Report:
            raise_what_is_left(host, report)
            return report

        report = host._end()
        return _now_or_later(lambda: host._close(check) if report is None else Pending.of(check(report)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._host is None:
            raise AttributeError(name if name.startswith("_") else f"initialize() comes before {name}")
        # What a host does in both ways is done as it is done here.
        both = getattr(self.host, f"_{name}", None) if callable(getattr(AsyncHost, name, None)) else None
        return (lambda *args, **more: _now_or_later(lambda: both(*args, **more))) if callable(both) else getattr(self.host, name)


def raise_what_is_left(host: Host, report: Report) -> None:
    """Says once what a host's servers have left."""
    left, host.left = host.left, []
    if left or not report.is_clean and not host.is_told:
        host.is_told = True
        raise LeftBehind("; ".join(left) or str(report), {"kind": "leftBehind"})


def _own() -> Hosts:
    """Outside of pytest: one for the program, to its end."""
    hosts = Hosts(mcp_host_path())
    atexit.register(hosts.channel.close)
    HostManager._runs.append(lambda: hosts)
    return hosts


def _now_or_later(ask: Callable[[], Pending[Any]]) -> Any:
    return _later(ask) if has_loop() else ask().get()


async def _later(ask: Callable[[], Pending[Any]]) -> Any:
    return await ask().wait()
