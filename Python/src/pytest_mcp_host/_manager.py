"""A host in the shape of the managers that fixtures know: `initialize`, `register`, `shutdown`."""
from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ._binary import mcp_host_path
from ._errors import LeftBehind
from ._host import Host, Hosts, Pending
from ._results import Report


class HostManager:
    """Opens a configuration, holds it, closes it: in a fixture of any scope, set up in one task and torn down in another.

    Each method does its work at once where no event loop runs, and gives something to be awaited where one does:

        await manager.initialize()      # in a coroutine
        manager.initialize()            # elsewhere

    :param configuration: a file, or definitions by name.
    :param timeout: seconds that a call may take.
    """

    _default: Hosts | None = None

    def __init__(
        self, configuration: str | os.PathLike[str] | Mapping[str, Any] | None = None, *, timeout: float = 60, hosts: Hosts | None = None
    ) -> None:
        self._configuration = os.fspath(configuration) if isinstance(configuration, os.PathLike) else configuration
        self._timeout = timeout
        self._hosts = hosts
        self._host: Host | None = None

    @property
    def host(self) -> Host:
        """The host, once it is initialized."""
        if self._host is None:
            raise RuntimeError("initialize() comes first")
        return self._host

    def initialize(self) -> Any:
        """Opens the servers of the configuration. Returns the manager."""
        return _now_or_later(self._pending_start())

    def _pending_start(self) -> Pending[HostManager]:
        hosts = self._hosts or HostManager._default
        if hosts is None:
            hosts = HostManager._default = Hosts(mcp_host_path())
        pending = hosts.start(self._configuration, self._timeout)

        def took(started: Any) -> HostManager:
            self._host = convert(started)
            return self

        convert = pending._convert
        return Pending(pending._call, pending._limit, took)

    def register(self, name: str, command: Sequence[str], **definition: Any) -> Any:
        """One more server. Returns it."""
        options = {key: definition.pop(key, None) for key in ("era", "env", "cwd")}
        return _now_or_later(self.host._add(name, command, options["era"], options["env"], options["cwd"], definition))

    def call(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Calls a tool. Returns its result."""
        options = {key: more.pop(f"_{key}", None) for key in ("timeout", "progress")}
        check = more.pop("_check", True)
        return _now_or_later(self.host._call(server, tool, arguments, options["timeout"], options["progress"], check, more))

    def shutdown(self) -> Any:
        """Closes everything; again and again, if somebody likes. Returns the report.

        :raises LeftBehind: something was left.
        """
        host = self._host
        if host is None:
            return _Done(Report({"servers": []})) if _has_loop() else Report({"servers": []})
        if host.report is not None:
            return _Done(host.report) if _has_loop() else host.report
        pending = host._close()

        def checked(raw: Any) -> Report:
            report = convert(raw)
            if host.left or not report.is_clean:
                raise LeftBehind("; ".join(host.left) or str(report), {"kind": "leftBehind"})
            return report

        convert = pending._convert
        return _now_or_later(Pending(pending._call, pending._limit, checked))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.host, name)


class _Done:
    """What is there already, for whoever awaits it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Any:
        return self._value
        yield


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
        return True
    except RuntimeError:
        pass
    trio: Any = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_trio_token()
        return True
    except RuntimeError:
        return False


def _now_or_later(pending: Pending[Any]) -> Any:
    return pending if _has_loop() else pending.get()
