"""Hosts: MCP servers that are opened, used and closed from any thread, task and event loop, in any order."""
from __future__ import annotations

import contextlib
import functools
import inspect
import os
import pathlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, cast

from ._channel import Channel, Params, Pending, Progress
from ._errors import HostGone, LeftBehind, McpHostError, ToolFailed
from ._results import Report, Result

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
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
            if method == "elicitation/create":
                return self._page(params) if params.get("mode") == "url" else self._form(server, params)
            return self._sample(params) if method == "sampling/createMessage" else {"roots": list(map(self._root, self._latest("roots") or []))}
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

    @staticmethod
    def _root(root: object) -> Params:
        return {"uri": str(root) if "://" in str(root) else pathlib.Path(str(root)).resolve().as_uri()}

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
            raise Refusal("no model is there: answers(sampling=...)")
        if isinstance(said, str):
            return {"role": "assistant", "content": {"type": "text", "text": said}, "model": "test", "stopReason": "endTurn"}
        return said


class Hosts:
    """One mcp-host and what was opened through it."""

    def __init__(self, program: str, directory: str | None = None, socket: str | None = None) -> None:
        self.channel = Channel(program, self._answer, directory, socket)
        self.lock = threading.RLock()
        self.hosts: dict[str, Host] = {}
        #: In whose name things are opened now: a test, a fixture.
        self.owner: Callable[[], object] = lambda: None
        self.opened = 0
        self.closed = 0
        self.left: list[str] = []

    def _answer(self, method: str, params: Params) -> Params:
        # While a host is being started nobody can have said what to answer.
        known = self.hosts.get(str(params.get("host")))
        answers = known._answers if known else Answers()
        return answers.answer(method, params.get("server"), params.get("params") or {})

    def note(self, host: Host, server: str) -> None:
        """Keeps what happened to a server that is about to go, for the report of a failure."""
        with contextlib.suppress(McpHostError):
            self.channel.log.append((time.monotonic(), f"what happened to {server}\n{host.why(server)}"))

    def ended(self, report: Report, answer: Params, names: Collection[str]) -> list[str]:
        """Counts what was closed. Returns what was left."""
        found = complaints(report, answer.get("commands") or {})
        with self.lock:
            # One that never came up was not opened.
            self.closed += sum(server["name"] in names for server in report.servers)
            self.left += found
        return found

    def start(self, servers: str | Mapping[str, Any] | None, limit: float, then: Callable[[Host], T], kinds: Sequence[str] = KINDS) -> Pending[T]:
        """Opens servers: a configuration file, or definitions by name. Whoever gives up waiting for it does not want it any more.

        :param then: what is made of the host.
        """
        params: dict[str, Any] = {"answers": list(kinds), "directory": os.getcwd()}
        if isinstance(servers, (str, os.PathLike)):
            params["file"] = os.path.abspath(os.fspath(servers))
        elif servers:
            params["configuration"] = dict(servers)
        owner, made = self.owner(), list[Host]()

        def convert(started: Params) -> T:
            made.append(Host(self, started, limit, owner))
            with self.lock:
                self.hosts[made[0].id] = made[0]
                self.opened += len(started["servers"])
            return then(made[0])

        return self.channel.request("hosts/start", params, limit, convert, undo=lambda _: made[0]._close())

    def shared(self, limit: float) -> Host:
        """The host that several programs use at a socket."""
        listed = self.channel.request("hosts/list", {}, limit, lambda answer: [host for host in answer["hosts"] if host["shared"]]).get()
        if not listed:
            raise HostGone("no servers are held at this socket; start them with: mcp-host run --socket PATH", {"kind": "notFound"})
        host = self.hosts[listed[0]["host"]] = Host(self, listed[0], limit)
        # It ends with the program that holds it, and not with whoever uses it.
        host.report, host.is_shared = Report({"servers": []}), True
        return host


def _now(method: Callable[Concatenate[Host, P], Pending[T]]) -> Callable[Concatenate[Host, P], T]:
    """A request that blocks until its outcome is there."""

    @functools.wraps(method)
    def ask(self: Host, /, *args: P.args, **more: P.kwargs) -> T:
        return method(self, *args, **more).get()

    return ask


def _later(method: Callable[Concatenate[Host, P], Pending[T]]) -> Callable[Concatenate[AsyncHost, P], Coroutine[Any, Any, T]]:
    """The same for coroutines."""

    @functools.wraps(method)
    async def ask(self: AsyncHost, /, *args: P.args, **more: P.kwargs) -> T:
        return await method(self._host, *args, **more).wait()

    return ask


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
        self.is_told = self.is_shared = False
        self.owner = owner
        #: Servers that were added, and in whose name.
        self.added: dict[str, object] = {}
        self._told: set[int | None] = set()
        self._hosts = hosts
        self._answers = Answers()
        self._names = [server["name"] for server in started["servers"]]
        self._opened = set(self._names)

    # Tools, resources, prompts

    def _call(
        self, server: str, tool: str, arguments: Params | None = None, /, *, _timeout: float | None = None,
        _progress: Progress | None = None, _check: bool = True, **more: Any,
    ) -> Pending[Result]:
        """Calls a tool.

        :param arguments: all arguments at once; those by name go on top.
        :param _timeout: seconds; by default the host's `limit`.
        :param _progress: told of the call's progress, on a thread of its own.
        :param _check: raise `ToolFailed` where the tool says that it failed; otherwise the result says so.
        :raises InvalidArguments: they do not fit the tool's schema; it was not called.
        :raises ServerGone: the server has ended, or could not be started.
        """

        def convert(raw: Params) -> Result:
            result = Result(raw)
            if _check and result.is_error:
                raise ToolFailed(server, tool, result)
            return result

        seconds = self.limit if _timeout is None else _timeout
        if unknown := [name for name in more if name.startswith("_")]:
            raise TypeError(f"call has no option {unknown[0]}; an argument of that name goes into the third parameter: {{{unknown[0]!r}: ...}}")
        params = {"server": server, "name": tool, "arguments": {**(arguments or {}), **more}, "timeout": seconds}
        if _progress:
            params["progress"] = True
        return self._ask("tools/call", params, convert, seconds, _progress)

    def _tools(self, server: str | None = None) -> Pending[list[dict[str, Any]]]:
        """The tools of one server, or of all, as they list them."""
        return self._list("tools", "tool", server)

    def _resources(self, server: str | None = None) -> Pending[list[dict[str, Any]]]:
        """The resources of one server, or of all."""
        return self._list("resources", "resource", server)

    def _resource_templates(self, server: str | None = None) -> Pending[list[dict[str, Any]]]:
        """The templates of resources of one server, or of all."""
        return self._list("resourceTemplates", "resourceTemplate", server, "resources/templates/list")

    def _prompts(self, server: str | None = None) -> Pending[list[dict[str, Any]]]:
        """The prompts of one server, or of all."""
        return self._list("prompts", "prompt", server)

    def _list(self, name: str, member: str, server: str | None, method: str | None = None) -> Pending[list[dict[str, Any]]]:
        params = {"server": server} if server else {}
        return self._ask(method or f"{name}/list", params, lambda listing: [item[member] for item in listing[name]])

    def _read(self, server: str, uri: str) -> Pending[Result]:
        """Reads a resource."""
        return self._ask("resources/read", {"server": server, "uri": uri}, Result)

    def _prompt(self, server: str, name: str, /, **arguments: str) -> Pending[Result]:
        """Fills in a prompt."""
        return self._ask("prompts/get", {"server": server, "name": name, "arguments": arguments}, Result)

    def _complete(self, server: str, ref: Params, name: str, value: str) -> Pending[list[str]]:
        """What a server proposes for an argument of a prompt (`{"type": "ref/prompt", "name": ...}`) or of a template
        (`{"type": "ref/resource", "uri": ...}`)."""
        params = {"server": server, "params": {"ref": ref, "argument": {"name": name, "value": value}}}
        return self._ask("complete", params, lambda answer: list(answer["completion"]["values"]))

    call, tools, resources, resource_templates = _now(_call), _now(_tools), _now(_resources), _now(_resource_templates)
    prompts, read, prompt, complete = _now(_prompts), _now(_read), _now(_prompt), _now(_complete)

    # Servers

    @property
    def servers(self) -> list[dict[str, Any]]:
        """What is known of each server: name, status, pid, revision, failure ..."""
        return self._ask("servers/list", {}, lambda listing: list(listing["servers"])).get()

    @contextlib.contextmanager
    def open(self, name: str, command: Sequence[str], **definition: Any) -> Iterator[Server[Result]]:
        """One more server, for as long as the `with` lasts; see `add`. What it leaves behind is an error then."""
        server = self.add(name, command, **definition)
        try:
            yield server
        except BaseException:
            self._hosts.note(self, name)
            # What it has left must not hide what has gone wrong; it is told at the test's end.
            with contextlib.suppress(McpHostError):
                self._drop(name).get()
            raise
        self.remove(name)

    def _add(self, /, name: str, command: Sequence[str], **definition: Any) -> Pending[Server[Result]]:
        """One more server, until it is removed or the host is closed.

        :param command: the program and its arguments.
        :param definition: what a configuration has besides: `era`, `env`, `cwd`, `callTimeout` ...
        :raises ServerGone: it does not come up; nothing of it is left.
        """
        if isinstance(command, str):
            raise TypeError(f"command is a list of words, as [{command.split()[0]!r}, ...], and not one text")
        owner = self._hosts.owner()
        definition = {"command": command[0], "args": list(command[1:]), **{key: value for key, value in definition.items() if value is not None}}

        def convert(_: Params) -> Server[Result]:
            with self._hosts.lock:
                self._hosts.opened += 1
                self.added[name] = owner
                self._opened.add(name)
            return Server(self, name)

        params = {"server": name, "definition": definition, "directory": os.getcwd(), "answers": list(KINDS)}
        return self._ask("servers/add", params, convert, undo=lambda server: self._remove(name))

    def _remove(self, name: str) -> Pending[Report]:
        """Closes a server.

        :raises LeftBehind: it has left something; that is gone now, or named.
        """
        return self._ask("servers/remove", {"server": name}, self._removed, is_kept=True)

    def _drop(self, name: str) -> Pending[None]:
        """The same for who has no use for the error: it is told at the test's end."""

        def removed(answer: Params) -> None:
            try:
                self._removed(answer)
            except LeftBehind as error:
                self._hosts.channel.unheard.append(str(error))

        return self._ask("servers/remove", {"server": name}, removed, is_kept=True)

    def _removed(self, answer: Params) -> Report:
        report = Report({"servers": [answer["server"]]})
        self._told.add(answer["server"].get("pid"))
        self.added.pop(answer["server"]["name"], None)
        found = self._hosts.ended(report, answer, self._opened)
        if found:
            raise LeftBehind("; ".join(found), {"kind": "leftBehind", "server": answer["server"]["name"]})
        return report

    def _restart(self, server: str) -> Pending[None]:
        """Closes a server and opens it anew."""
        return self._ask("servers/restart", {"server": server}, lambda _: None)

    def _kill(self, server: str) -> Pending[None]:
        """SIGKILL to a server's process, as if it had crashed. The host restarts it."""
        return self._ask("servers/kill", {"server": server}, lambda _: None)

    def _wait(self, server: str, status: str = "ready", timeout: float = 30) -> Pending[dict[str, Any]]:
        """Waits until a server is `ready`, `restarting`, `failed` ... and tells what is known of it."""
        return self._ask("servers/wait", {"server": server, "status": status, "timeout": timeout}, dict[str, Any], timeout)

    # What has happened

    def _events(self) -> Pending[list[dict[str, Any]]]:
        """Every change of state of the host and its servers, oldest first: when, why, and which task asked for it."""
        return self._ask("events", {}, lambda answer: list(answer["events"]))

    def _why(self, server: str, *, stderr: bool = True) -> Pending[str]:
        """What happened to a server, step by step, and why; and what it has written to standard error."""
        return self._ask("why", {"server": server}, lambda answer: timeline(answer, stderr))

    def _stderr(self, server: str) -> Pending[str]:
        """The last lines of a server's standard error."""
        return self._ask("stderr", {"server": server}, lambda answer: "\n".join(answer["lines"]))

    def _accounts(self) -> Pending[dict[str, int]]:
        """What the host has open: processes, descriptors, timers, tasks, requests."""
        return self._ask("accounts", {}, dict[str, int])

    add, remove, restart, kill, wait = _now(_add), _now(_remove), _now(_restart), _now(_kill), _now(_wait)
    events, why, stderr, accounts = _now(_events), _now(_why), _now(_stderr), _now(_accounts)

    # What servers ask

    @contextlib.contextmanager
    def answers(
        self, *, form: Form = None, url: Page = None, sampling: Sampling = None, roots: Sequence[str | os.PathLike[str]] | None = None
    ) -> Iterator[None]:
        """Answers what servers ask for as long as the `with` lasts; what is not given stays as it was."""
        if self.is_shared:
            raise McpHostError("nobody asks this host's users: it is shared", {"kind": "notSupported"})
        given = {"form": form, "url": url, "sampling": sampling, "roots": roots}
        self._answers.given.append(given)
        self._answers.errors.clear()
        try:
            yield
        finally:
            self._answers.given = [other for other in self._answers.given if other is not given]
            errors, self._answers.errors = self._answers.errors, []
            if errors and not isinstance(sys.exc_info()[1], (KeyboardInterrupt, SystemExit, GeneratorExit)):
                raise errors[0]

    # The end

    def close(self) -> Report:
        """Closes everything; any number of times, from anywhere."""
        return self._end() or self._close().get()

    def _end(self) -> Report | None:
        """How it was closed, if it is."""
        channel = self._hosts.channel
        if self.report is None and channel.is_gone:
            # It was closed with mcp-host, which has said how.
            doubt = channel._gone or "mcp-host has been ended"
            self.report = Report({"clean": True} if channel.status == 0 else {"clean": False, "servers": [{"name": "mcp-host", "doubt": doubt}]})
        return self.report

    def _close(self, check: Callable[[Report], Report] = lambda report: report) -> Pending[Report]:
        def convert(raw: Params) -> Report:
            report = Report(raw)
            if self._hosts.hosts.pop(self.id, None) is not None:
                # Those that were removed before have been told of.
                rest = [server for server in report.servers if server.get("pid") is None or server["pid"] not in self._told]
                self.left = self._hosts.ended(Report({"servers": rest}), raw, self._opened)
            self.report = report
            return check(report)

        return self._ask("hosts/shutdown", {}, convert, is_kept=True)

    def processes(self) -> dict[str, list[dict[str, Any]]]:
        """What runs of each server now: `pid` and `command` of its own process and of all below it."""
        return self._ask("processes", {}, lambda answer: {each["server"]: each["processes"] for each in answer["servers"]}).get()

    def _ask(
        self, method: str, params: Params, convert: Callable[[Any], T], limit: float | None = None, progress: Progress | None = None,
        undo: Callable[[T], object] | None = None, is_kept: bool = False,
    ) -> Pending[T]:
        seconds = self.limit if limit is None else limit
        return self._hosts.channel.request(method, {"host": self.id, **params}, seconds, convert, progress, undo, is_kept=is_kept)

    def __getattr__(self, name: str) -> Server[Result]:
        if name.startswith("_"):
            raise AttributeError(name)
        return Server(self, name)

    def __getitem__(self, name: str) -> Server[Result]:
        """A server whose name is no attribute: `mcp_host["my-server"]`."""
        return Server(self, name)


class AsyncHost:
    """A host for coroutines: asyncio, trio, or anyio on either. A call that is cancelled is taken back."""

    def __init__(self, host: Host) -> None:
        self._host = host

    call, tools, resources, resource_templates = _later(Host._call), _later(Host._tools), _later(Host._resources), _later(Host._resource_templates)
    prompts, read, prompt, complete = _later(Host._prompts), _later(Host._read), _later(Host._prompt), _later(Host._complete)
    add, remove, restart, kill, wait = _later(Host._add), _later(Host._remove), _later(Host._restart), _later(Host._kill), _later(Host._wait)
    events, why, stderr, accounts = _later(Host._events), _later(Host._why), _later(Host._stderr), _later(Host._accounts)

    @contextlib.asynccontextmanager
    async def open(self, name: str, command: Sequence[str], **definition: Any) -> AsyncIterator[Server[Result]]:
        """See `Host.open`. It may be left in another task than it was entered in."""
        server = await self.add(name, command, **definition)
        try:
            yield server
        except BaseException:
            # In a task that is cancelled nothing can be waited for; it is done all the same.
            self._host._drop(name)
            raise
        await self.remove(name)

    async def close(self) -> Report:
        """See `Host.close`."""
        return self._host._end() or await self._host._close().wait()


class Server(Generic[R]):
    """One server of a host; its tools are its attributes: `mcp_host.git.git_log(repo_path=".")`."""

    def __init__(self, host: Any, name: str) -> None:
        self.host, self.name = host, name

    @property
    def aio(self) -> Server[Coroutine[Any, Any, Result]]:
        """The same for coroutines."""
        return Server(self.host.aio, self.name)

    def call(self, tool: str, arguments: Params | None = None, /, **more: Any) -> R:
        """See `Host.call`."""
        return cast(R, self.host.call(self.name, tool, arguments, **more))

    def __getattr__(self, name: str) -> Callable[..., R]:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Callable[..., R]:
        """A tool whose name is no attribute: `mcp_host.git["git-log"]()`."""
        return lambda arguments=None, /, **more: self.call(name, arguments, **more)


class Refusal(Exception):
    """A server does not get what it asks for, and nobody is to blame."""


def complaints(report: Report, commands: Mapping[str, str]) -> list[str]:
    """What servers have left, or may have, by their names; `commands` are how their processes were started."""

    def named(pids: Sequence[int]) -> str:
        return ", ".join(f"{pid} ({commands[str(pid)]})" if commands.get(str(pid)) else str(pid) for pid in pids)

    found = []
    for server in report.servers:
        name, ended, left = server["name"], server.get("descendantsEnded") or [], server.get("processesLeft") or []
        if left:
            found.append(f"{name} has left processes that are still there: {named(left)}")
        if server.get("doubt"):
            found.append(f"{name}: it is not proved that nothing is left: {server['doubt']}")
        if ended:
            found.append(f"{name} has left processes, which had to be ended: {named(ended)}")
    return found


def timeline(answer: Params, stderr: bool) -> str:
    """The events of a server, as lines."""
    lines = []
    for event in answer["events"]:
        place = f"{event['server']}#{event['generation']}" if event.get("server") else "host"
        lines.append(f"+{event['milliseconds']} ms  {place}: {event['event']}, {event['cause']}  (by {event['task']})")
    if stderr and answer["stderr"]:
        lines += ["standard error:", *("  " + line for line in answer["stderr"])]
    return "\n".join(lines)
