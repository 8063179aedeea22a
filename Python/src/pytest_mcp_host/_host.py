"""Hosts: MCP servers that are opened, used and closed from any thread, task and event loop, in any order."""
from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from ._channel import Channel, Params, Pending, Progress
from ._errors import LeftBehind, ToolFailed
from ._results import Report, Result

T = TypeVar("T")
#: What a form is answered with: its content, a word (`decline`, `cancel`), or a function of message, schema and server that gives one of these.
Form: TypeAlias = "Mapping[str, Any] | str | Callable[[str, Params, str | None], Mapping[str, Any] | str | None] | None"
#: What a model says: a text, a whole result, or a function of the request that gives one of these.
Sampling: TypeAlias = "str | Mapping[str, Any] | Callable[[Params], str | Mapping[str, Any]] | None"
#: Whether a page is opened: yes or no, or a function of its address.
Page: TypeAlias = "bool | Callable[[str], bool] | None"

KINDS = ("form", "url", "sampling", "roots")


class Answers:
    """What is answered when a server asks; the latest that was given counts, for each kind."""

    def __init__(self) -> None:
        self.given: list[Mapping[str, Any]] = []
        #: What handlers have raised, until somebody is told.
        self.errors: list[BaseException] = []

    def _latest(self, kind: str) -> Any:
        return next((given[kind] for given in reversed(self.given) if given.get(kind) is not None), None)

    def answer(self, method: str, server: str | None, params: Params) -> Params:
        try:
            return self._answer(method, server, params)
        except BaseException as error:
            if not isinstance(error, Refusal):
                self.errors.append(error)
            raise

    @staticmethod
    def _given(value: Any) -> Any:
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError("answers are given by functions, and not by coroutines")
        return value

    def _answer(self, method: str, server: str | None, params: Params) -> Params:
        if method == "elicitation/create":
            return self._page(params) if params.get("mode") == "url" else self._form(server, params)
        if method == "sampling/createMessage":
            return self._sample(params)
        return {"roots": [{"uri": root if "://" in str(root) else pathlib.Path(root).resolve().as_uri()} for root in map(str, self._latest("roots") or [])]}

    def _form(self, server: str | None, params: Params) -> Params:
        form: Any = self._latest("form")
        if callable(form):
            form = self._given(form(str(params.get("message", "")), params.get("requestedSchema") or {}, server))
        if form is None or isinstance(form, str):
            return {"action": form or "decline"}
        return {"action": "accept", "content": dict(form)}

    def _page(self, params: Params) -> Params:
        page: Page = self._latest("url")
        agrees = self._given(page(str(params.get("url", "")))) if callable(page) else bool(page)
        return {"action": "accept" if agrees else "decline"}

    def _sample(self, params: Params) -> Params:
        model: Sampling = self._latest("sampling")
        said = self._given(model(params)) if callable(model) else model
        if said is None:
            return _refuse("no model is there: answers(sampling=...)")
        if isinstance(said, str):
            return {"role": "assistant", "content": {"type": "text", "text": said}, "model": "test", "stopReason": "endTurn"}
        return said


class Hosts:
    """One mcp-host and what was opened through it."""

    def __init__(self, program: str, directory: str | None = None) -> None:
        self.channel = Channel(program, self._answer, directory)
        self.lock = threading.RLock()
        self.hosts: dict[str, Host] = {}
        #: In whose name things are opened now: a test, a fixture.
        self.owner: object = None
        self.opened = 0
        self.closed = 0
        self.left: list[str] = []

    def _answer(self, method: str, params: Params) -> Params:
        # While a host is being started nobody can have said what to answer.
        known = self.hosts.get(str(params.get("host")))
        answers = known._answers if known else Answers()
        return answers.answer(method, params.get("server"), params.get("params") or {})

    def ended(self, report: Report, words: Mapping[int, str]) -> list[str]:
        """Counts what was closed. Returns what was left."""
        found = complaints(report, words)
        with self.lock:
            self.closed += len(report.servers)
            self.left += found
        return found

    def start(self, servers: str | Mapping[str, Any] | None, limit: float, kinds: Sequence[str] = KINDS) -> Pending[Host]:
        """Opens servers: a configuration file, or definitions by name."""
        return self.start_then(servers, limit, lambda host: host, lambda host: host, kinds)

    def start_then(
        self, servers: str | Mapping[str, Any] | None, limit: float, then: Callable[[Host], T], host_of: Callable[[T], Host],
        kinds: Sequence[str] = KINDS,
    ) -> Pending[T]:
        """The same, with what is made of the host. Whoever gives up waiting for it does not want it any more."""
        params: dict[str, Any] = {"answers": list(kinds), "directory": os.getcwd()}
        if isinstance(servers, (str, os.PathLike)):
            params["file"] = os.fspath(servers)
        elif servers:
            params["configuration"] = dict(servers)
        owner = self.owner
        return self.channel.request(
            "hosts/start", params, limit, lambda started: then(self._take(started, limit, owner)),
            undo=lambda made: host_of(made)._close())

    def _take(self, started: Params, limit: float, owner: object) -> Host:
        host = Host(self, started, limit, owner)
        with self.lock:
            self.hosts[host.id] = host
            self.opened += len(started["servers"])
        return host


class Host:
    """Servers that are open. Every method may be called from any thread; `aio` has the same for coroutines, in whatever event loop."""

    def __init__(self, hosts: Hosts, started: Params, limit: float, owner: object = None) -> None:
        self.id: str = started["host"]
        #: What a person should know of the configuration.
        self.remarks: list[str] = list(started.get("remarks") or [])
        #: The default limit of a call, in seconds.
        self.limit = limit
        self.report: Report | None = None
        self.aio = AsyncHost(self)
        #: What its servers had left when it was closed, as long as nobody has been told.
        self.left: list[str] = []
        self.is_told = False
        self.owner = owner
        #: Servers that were added, and in whose name.
        self.added: dict[str, object] = {}
        self._words: dict[int, str] = {}
        self._told: set[int | None] = set()
        self._hosts = hosts
        self._answers = Answers()
        self._names = [server["name"] for server in started["servers"]]

    # Tools, resources, prompts

    def call(
        self, server: str, tool: str, arguments: Params | None = None, /, *, _timeout: float | None = None,
        _progress: Progress | None = None, _check: bool = True, **more: Any,
    ) -> Result:
        """Calls a tool.

        :param arguments: all arguments at once; those by name go on top.
        :param _timeout: seconds; by default the host's `limit`.
        :param _progress: told of the call's progress, on a thread of its own.
        :param _check: raise `ToolFailed` where the tool says that it failed; otherwise the result says so.
        :raises InvalidArguments: they do not fit the tool's schema; it was not called.
        :raises ServerGone: the server has ended, or could not be started.
        """
        return self._call(server, tool, arguments, _timeout, _progress, _check, more).get()

    def _call(
        self, server: str, tool: str, arguments: Params | None, limit: float | None, progress: Progress | None, check: bool, more: Params
    ) -> Pending[Result]:
        def convert(raw: Params) -> Result:
            result = Result(raw)
            if check and result.is_error:
                raise ToolFailed(server, tool, result)
            return result

        seconds = self.limit if limit is None else limit
        if unknown := [name for name in more if name.startswith("_")]:
            raise TypeError(f"call has no option {unknown[0]}; an argument of that name goes into the third parameter: {{{unknown[0]!r}: ...}}")
        params = {"server": server, "name": tool, "arguments": {**(arguments or {}), **more}, "timeout": seconds}
        if progress:
            params["progress"] = True
        return self._ask("tools/call", params, convert, seconds, progress)

    def tools(self, server: str | None = None) -> list[dict[str, Any]]:
        """The tools of one server, or of all, as they list them."""
        return self._list("tools", "tool", server).get()

    def resources(self, server: str | None = None) -> list[dict[str, Any]]:
        """The resources of one server, or of all."""
        return self._list("resources", "resource", server).get()

    def prompts(self, server: str | None = None) -> list[dict[str, Any]]:
        """The prompts of one server, or of all."""
        return self._list("prompts", "prompt", server).get()

    def read(self, server: str, uri: str) -> Result:
        """Reads a resource."""
        return self._ask("resources/read", {"server": server, "uri": uri}, Result).get()

    def prompt(self, server: str, name: str, /, **arguments: str) -> Result:
        """Fills in a prompt."""
        return self._ask("prompts/get", {"server": server, "name": name, "arguments": arguments}, Result).get()

    def _list(self, name: str, member: str, server: str | None) -> Pending[list[dict[str, Any]]]:
        params = {"server": server} if server else {}
        return self._ask(f"{name}/list", params, lambda listing: [item[member] for item in listing[name]])

    # Servers

    @property
    def servers(self) -> list[dict[str, Any]]:
        """What is known of each server: name, status, pid, revision, failure ..."""
        return self._ask("servers/list", {}, lambda listing: list(listing["servers"])).get()

    @contextlib.contextmanager
    def open(self, name: str, command: Sequence[str], **definition: Any) -> Iterator[Server]:
        """One more server, for as long as the `with` lasts; see `add`. What it leaves behind is an error then."""
        server = self.add(name, command, **definition)
        try:
            yield server
        finally:
            self.remove(name)

    def add(self, name: str, command: Sequence[str], **definition: Any) -> Server:
        """One more server, until it is removed or the host is closed.

        :param command: the program and its arguments.
        :param definition: what a configuration has besides: `era`, `env`, `cwd`, `callTimeout` ...
        :raises ServerGone: it does not come up; nothing of it is left.
        """
        return self._add(name, command, definition).get()

    def _add(self, name: str, command: Sequence[str], definition: Params) -> Pending[Server]:
        if isinstance(command, str):
            raise TypeError(f"command is a list of words, as [{command.split()[0]!r}, ...], and not one text")
        owner = self._hosts.owner
        definition = {"command": command[0], "args": list(command[1:]), **{key: value for key, value in definition.items() if value is not None}}

        def convert(_: Params) -> Server:
            with self._hosts.lock:
                self._hosts.opened += 1
                self.added[name] = owner
            return Server(self, name)

        params = {"server": name, "definition": definition, "directory": os.getcwd(), "answers": list(KINDS)}
        return self._ask("servers/add", params, convert, undo=lambda server: self._remove(name))

    def remove(self, name: str) -> Report:
        """Closes a server.

        :raises LeftBehind: it has left something; that is gone now, or named.
        """
        self.look()
        return self._remove(name).get()

    def _remove(self, name: str) -> Pending[Report]:
        return self._ask("servers/remove", {"server": name}, self._removed, is_kept=True)

    def _removed(self, answer: Params) -> Report:
        report = Report({"servers": [answer["server"]]})
        self._told.add(answer["server"].get("pid"))
        self.added.pop(answer["server"]["name"], None)
        found = self._hosts.ended(report, self._words)
        if found:
            raise LeftBehind("; ".join(found), {"kind": "leftBehind", "server": answer["server"]["name"]})
        return report

    def restart(self, server: str) -> None:
        """Closes a server and opens it anew."""
        self._ask("servers/restart", {"server": server}, lambda _: None).get()

    def kill(self, server: str) -> None:
        """SIGKILL to a server's process, as if it had crashed. The host restarts it."""
        self._ask("servers/kill", {"server": server}, lambda _: None).get()

    def wait(self, server: str, status: str = "ready", timeout: float = 30) -> dict[str, Any]:
        """Waits until a server is `ready`, `restarting`, `failed` ... and tells what is known of it."""
        return self._ask("servers/wait", {"server": server, "status": status, "timeout": timeout}, dict[str, Any], timeout).get()

    # What has happened

    def events(self) -> list[dict[str, Any]]:
        """Every change of state of the host and its servers, oldest first: when, why, and which task asked for it."""
        return self._ask("events", {}, lambda answer: list(answer["events"])).get()

    def why(self, server: str, *, stderr: bool = True) -> str:
        """What happened to a server, step by step, and why; and what it has written to standard error."""
        return self._ask("why", {"server": server}, lambda answer: timeline(answer, stderr)).get()

    def stderr(self, server: str) -> str:
        """The last lines of a server's standard error."""
        return self._ask("stderr", {"server": server}, lambda answer: "\n".join(answer["lines"])).get()

    def accounts(self) -> dict[str, int]:
        """What the host has open: processes, descriptors, timers, tasks, requests."""
        return self._ask("accounts", {}, dict[str, int]).get()

    # What servers ask

    @contextlib.contextmanager
    def answers(
        self, *, form: Form = None, url: Page = None, sampling: Sampling = None, roots: Sequence[str | os.PathLike[str]] | None = None
    ) -> Iterator[None]:
        """Answers what servers ask for as long as the `with` lasts; what is not given stays as it was."""
        given = {"form": form, "url": url, "sampling": sampling, "roots": roots}
        self._answers.given.append(given)
        try:
            yield
        finally:
            self._answers.given = [other for other in self._answers.given if other is not given]
            if self._answers.errors:
                raise self._answers.errors.pop()

    # The end

    def close(self) -> Report:
        """Closes everything; any number of times, from anywhere."""
        if self.report is None and self._hosts.channel.is_gone:
            # It was closed with mcp-host, which has said how.
            self.report = Report({"clean": self._hosts.channel.status == 0})
        return self.report or self._close().get()

    def _close(self, check: Callable[[Report], Report] = lambda report: report) -> Pending[Report]:
        def convert(raw: Params) -> Report:
            report = Report(raw)
            if self._hosts.hosts.pop(self.id, None) is not None:
                # Those that were removed before have been told of.
                rest = [server for server in report.servers if server.get("pid") is None or server["pid"] not in self._told]
                self.left = self._hosts.ended(Report({"servers": rest}), self._words)
            self.report = report
            return check(report)

        self.look()
        return self._ask("hosts/shutdown", {}, convert, is_kept=True)

    def look(self) -> dict[int, str]:
        """The processes of all servers now, with their command lines. Never fails: it only makes what is said clearer."""

        def convert(answer: Params) -> dict[int, str]:
            pids = [pid for server in answer["servers"] for pid in server["descendants"]]
            found = {pid: command_line(pid) for pid in pids}
            self._words.update(found)
            return found

        with contextlib.suppress(Exception):
            pending = self._ask("processes", {}, convert, limit=5)
            return {} if _in_loop() else pending.get()
        return {}

    def _ask(
        self, method: str, params: Params, convert: Callable[[Any], T], limit: float | None = None, progress: Progress | None = None,
        undo: Callable[[T], object] | None = None, is_kept: bool = False,
    ) -> Pending[T]:
        seconds = self.limit if limit is None else limit
        return self._hosts.channel.request(
            method, {"host": self.id, **params}, seconds, convert, progress, undo, is_kept=is_kept)

    def __getattr__(self, name: str) -> Server:
        if name.startswith("_"):
            raise AttributeError(name)
        return Server(self, name)

    def __getitem__(self, name: str) -> Server:
        """A server whose name is no attribute: `mcp_host["my-server"]`."""
        return Server(self, name)


class AsyncHost:
    """A host for coroutines: asyncio, trio, or anyio on either. A call that is cancelled is taken back."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def call(
        self, server: str, tool: str, arguments: Params | None = None, /, *, _timeout: float | None = None,
        _progress: Progress | None = None, _check: bool = True, **more: Any,
    ) -> Result:
        """See `Host.call`."""
        return await self._host._call(server, tool, arguments, _timeout, _progress, _check, more)

    async def tools(self, server: str | None = None) -> list[dict[str, Any]]:
        """See `Host.tools`."""
        return await self._host._list("tools", "tool", server)

    async def resources(self, server: str | None = None) -> list[dict[str, Any]]:
        """See `Host.resources`."""
        return await self._host._list("resources", "resource", server)

    async def prompts(self, server: str | None = None) -> list[dict[str, Any]]:
        """See `Host.prompts`."""
        return await self._host._list("prompts", "prompt", server)

    async def read(self, server: str, uri: str) -> Result:
        """See `Host.read`."""
        return await self._host._ask("resources/read", {"server": server, "uri": uri}, Result)

    async def prompt(self, server: str, name: str, /, **arguments: str) -> Result:
        """See `Host.prompt`."""
        return await self._host._ask("prompts/get", {"server": server, "name": name, "arguments": arguments}, Result)

    @contextlib.asynccontextmanager
    async def open(self, name: str, command: Sequence[str], **definition: Any) -> AsyncIterator[Server]:
        """See `Host.open`. It may be left in another task than it was entered in."""
        server = await self._host._add(name, command, definition)
        try:
            yield server
        finally:
            # It is done whether somebody waits for it or not, in a task that is cancelled too.
            await self._host._remove(name)

    async def wait(self, server: str, status: str = "ready", timeout: float = 30) -> dict[str, Any]:
        """See `Host.wait`."""
        return await self._host._ask("servers/wait", {"server": server, "status": status, "timeout": timeout}, dict[str, Any], timeout)

    async def close(self) -> Report:
        """See `Host.close`."""
        return self._host.report or await self._host._close()


class Server:
    """One server of a host; its tools are its attributes: `mcp_host.git.git_log(repo_path=".")`."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name = host, name
        self.aio = AsyncServer(self)

    def call(self, tool: str, arguments: Params | None = None, /, **more: Any) -> Result:
        """See `Host.call`."""
        return self.host.call(self.name, tool, arguments, **more)

    def __getattr__(self, name: str) -> Callable[..., Result]:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Callable[..., Result]:
        """A tool whose name is no attribute: `mcp_host.git["git-log"]()`."""
        return lambda arguments=None, /, **more: self.call(name, arguments, **more)


class AsyncServer:
    """The same for coroutines."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def call(self, tool: str, arguments: Params | None = None, /, **more: Any) -> Result:
        """See `Host.call`."""
        return await self._server.host.aio.call(self._server.name, tool, arguments, **more)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda arguments=None, /, **more: self.call(name, arguments, **more)


class Refusal(Exception):
    """A server does not get what it asks for, and nobody is to blame."""


def _refuse(why: str) -> Params:
    raise Refusal(why)


def complaints(report: Report, words: Mapping[int, str] = {}) -> list[str]:
    """What servers have left, or may have, by their names; `words` are command lines of processes that were seen."""
    found = []
    for server in report.servers:
        name, ended, left = server["name"], server.get("descendantsEnded") or [], server.get("processesLeft") or []
        if left:
            found.append(f"{name} has left processes that are still there: {', '.join(map(str, left))}")
        if server.get("doubt"):
            found.append(f"{name}: it is not proved that nothing is left: {server['doubt']}")
        if ended:
            named = ", ".join(f"{pid} ({words[pid]})" if pid in words else str(pid) for pid in ended)
            found.append(f"{name} has left processes, which had to be ended: {named}")
    return found


def _in_loop() -> bool:
    """Nothing may block here; what is asked is asked in order, so that its answer comes first all the same."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def command_line(pid: int) -> str:
    """How a process was started; empty where it has gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        if sys.platform == "linux":
            return ""
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def timeline(answer: Params, stderr: bool) -> str:
    """The events of a server, as lines."""
    lines = []
    for event in answer["events"]:
        place = f"{event['server']}#{event['generation']}" if event.get("server") else "host"
        lines.append(f"+{event['milliseconds']} ms  {place}: {event['event']}, {event['cause']}  (by {event['task']})")
    if stderr and answer["stderr"]:
        lines += ["standard error:", *("  " + line for line in answer["stderr"])]
    return "\n".join(lines)
