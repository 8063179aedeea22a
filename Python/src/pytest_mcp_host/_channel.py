"""The control channel: mcp-host as a process of its own, asked from any thread, with or without an event loop.

No event loop is ever entered here, so none can be left in the wrong task. Three threads do all input and output: whoever asks only puts a whole line
into a queue, and may do so from a signal handler or a finalizer, and be interrupted at any moment.
"""
from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from ._errors import HostGone, HostTimeout, error_of

T = TypeVar("T")
Params = Mapping[str, Any]
#: Answers a question of a server: gets the method, and the parameters of docs/control.md.
Answer = Callable[[str, Params], Params]
#: Is told of the progress of a call.
Progress = Callable[[Params], None]

#: What mcp-host may take longer than it was given, before it counts as stuck.
GRACE = 30.0
#: How long it is tried to reach a socket.
CONNECT = 10.0


class Pending(Generic[T]):
    """A request that is under way: `get()` blocks, `await` does not. Whatever ends the waiting early takes the request back.

    Nothing here is locked for longer than one step of the interpreter: a signal handler may ask for something while its thread waits here.
    """

    def __init__(self, channel: Channel | None, number: int, method: str, limit: float) -> None:
        self.channel, self.number, self.method, self.limit = channel, number, method, limit
        self.progress: Progress | None = None
        #: What becomes of the answer, on the reader's thread.
        self.convert: Callable[[Any], T] = lambda answer: answer
        #: What is done with the outcome if nobody gets it.
        self.undo: Callable[[T], object] | None = None
        #: It is done whether somebody waits for it or not.
        self.is_kept = False
        #: What a failure's report shows of it.
        self.told = ""
        self._gate = threading.Lock()
        self._gate.acquire()
        self._result: T | None = None
        self._error: BaseException | None = None
        self._is_done = self._is_awaited = False
        self._waiting: collections.deque[Callable[[], object]] = collections.deque()

    @classmethod
    def of(cls, outcome: T) -> Pending[T]:
        """What is there already."""
        pending = cls(None, 0, "", 0)
        pending.finish(outcome)
        return pending

    def finish(self, result: T | None = None, error: BaseException | None = None) -> None:
        """There is an outcome; only who has taken it off the channel's calls says so."""
        self._result, self._error, self._is_done = result, error, True
        self._tell()
        self._gate.release()

    def _when_done(self, tell: Callable[[], object]) -> None:
        self._waiting.append(tell)
        if self._is_done:
            self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._waiting.popleft()()

    def get(self) -> T:
        """Waits for the outcome."""
        self._is_awaited = True
        try:
            # A signal that comes just before this blocks is not seen by Python until it ends: so it does, every now and then.
            last = time.monotonic() + self.limit + GRACE
            while not self._is_done and (left := last - time.monotonic()) > 0:
                if self._gate.acquire(timeout=min(left, 0.5)):
                    self._gate.release()
            return self._outcome()
        except BaseException as error:
            self._given_up(error)
            raise

    async def wait(self) -> T:
        """The same in whatever event loop runs: asyncio's or trio's, also under anyio."""
        self._is_awaited = True
        try:
            await self._sleep()
            return self._outcome()
        except BaseException as error:
            self._given_up(error)
            raise

    def _outcome(self) -> T:
        if not self._is_done:
            raise HostTimeout(f"mcp-host has not answered {self.method} within {self.limit + GRACE:g} s", {"kind": "timeout"})
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    async def _sleep(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return await self._sleep_in_trio()
        done: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits there any more.
                loop.call_soon_threadsafe(_finish, done)

        self._when_done(wake)
        alarm = loop.call_later(self.limit + GRACE, _finish, done)
        try:
            await done
        finally:
            alarm.cancel()

    async def _sleep_in_trio(self) -> None:
        trio: Any = sys.modules.get("trio")
        if trio is None:
            raise RuntimeError("no event loop is running here that is known; use the method without await")
        token, event = trio.lowlevel.current_trio_token(), trio.Event()

        def wake() -> None:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(event.set)

        self._when_done(wake)
        with trio.move_on_after(self.limit + GRACE):
            await event.wait()

    def _given_up(self, error: BaseException | None) -> None:
        if self.channel is None or self._is_done and self._error is error is not None:
            return
        channel = self.channel
        if not self.is_kept and not self._is_done:
            channel.notify("cancel", {"id": self.number})

        def take_back() -> None:
            if self._error is not None and self.is_kept:
                channel.unheard.append(str(self._error))
            elif self._error is None and self.undo is not None:
                self.undo(cast(T, self._result))

        self._when_done(take_back)

    def __del__(self) -> None:
        if not self._is_awaited and not sys.is_finalizing():
            self._given_up(None)


class Channel:
    """A running `mcp-host control`, or one of several clients at a socket. Everything that was opened through it ends with it."""

    def __init__(self, program: str, answer: Answer | None = None, directory: str | None = None, path: str | None = None) -> None:
        self.answer: Answer | None = answer
        #: The latest requests and what came of them, for reports: when, and what.
        self.log: collections.deque[tuple[float, str]] = collections.deque(maxlen=50)
        #: What came of closing something, where nobody waited for that any more.
        self.unheard: collections.deque[str] = collections.deque()
        self.status: int | None = None
        self._numbers = itertools.count(1)
        # Who takes a call out of it gives it its outcome; each step is one of the interpreter's.
        self._calls: dict[int, Pending[Any]] = {}
        self._gone: str | None = None
        self._is_closing = False
        self._errors: collections.deque[str] = collections.deque(maxlen=50)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        if path is None:
            # A session of its own: Ctrl-C is for the tests, whose tear-down closes what was opened.
            self._process = subprocess.Popen(
                [program, "control"], bufsize=0, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True)
            self._pipes: list[Any] = [self._process.stdin, self._process.stdout, self._process.stderr]
        else:
            self._socket = self._connect(path)
            self._pipes = [self._socket.makefile("rwb", buffering=0), self._socket]
        _channels.add(self)
        targets = (self._read, self._write, self._work, *([self._read_errors] if self._process else []))
        self._threads = [threading.Thread(target=target, name=f"mcp-host{target.__name__}", daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()
        try:
            # Within ten seconds. At a socket this process may have another number on the other side.
            self.request("hello", {"protocol": 1, **({"pid": os.getpid()} if self._process else {})}, 10 - GRACE).get()
        except BaseException:
            self._kill()
            self.close()
            raise

    @staticmethod
    def _connect(path: str) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        # Whoever holds it may have been started a moment ago, and listens when its servers are ready.
        limit = time.monotonic() + CONNECT
        while True:
            try:
                client.connect(path)
                return client
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as error:
                if time.monotonic() > limit:
                    client.close()
                    raise HostGone(f"nobody listens at {path} ({error}); start it with: mcp-host run --socket {path}", {"kind": "hostGone"}) from None
                time.sleep(0.05)

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
        elif self._socket:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError, ValueError):
                pipe.close()

    # What is asked

    def request(
        self, method: str, params: Params, limit: float, convert: Callable[[Any], T] | None = None, progress: Progress | None = None,
        undo: Callable[[T], object] | None = None, *, is_kept: bool = False,
    ) -> Pending[T]:
        """Asks for something; see `Pending`.

        :raises HostGone: mcp-host has ended.
        :raises TypeError: a parameter cannot be said in JSON.
        """
        pending: Pending[T] = Pending(self, next(self._numbers), method, limit)
        pending._is_awaited = True  # Until it is on its way.
        line = _line({"id": pending.number, "method": method, "params": params})
        pending.progress, pending.undo, pending.is_kept = progress, undo, is_kept
        if method in _TOLD:
            asked = {key: params[key] for key in ("server", "name", "uri", "arguments") if key in params}
            pending.told = f"{time.strftime('%H:%M:%S')} {method} {_short(asked)}"
        if convert is not None:
            pending.convert = convert
        self._calls[pending.number] = pending
        # The reader says first that it is gone, and ends all calls then.
        if self._gone is not None:
            self._calls.pop(pending.number, None)
            raise HostGone(self._gone, {"kind": "hostGone"})
        self._outbox.put(line)
        pending._is_awaited = False
        return pending

    def notify(self, method: str, params: Params) -> None:
        """Says something that has no answer."""
        self._outbox.put(_line({"method": method, "params": params}))

    @property
    def is_gone(self) -> bool:
        """mcp-host has ended, or is about to."""
        return self._gone is not None or self._is_closing

    def close(self) -> int:
        """Ends it, and waits until everything is closed; again and again is once.

        :returns: mcp-host's exit status: 0 if nothing is left.
        """
        if self.status is not None:
            return self.status
        self._is_closing = True
        # Not only the end of its input: a child of this process may have that open.
        self.notify("end", {})
        self._outbox.put(None)
        status = 0
        if self._process:
            try:
                status = self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                # What is left is ended by its guards.
                self._process.kill()
                status = self._process.wait()
        else:
            self._threads[0].join(GRACE)
            status = 6 if self._threads[0].is_alive() else 0
            self._kill()
        self.status = status
        self._jobs.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(GRACE)
        self._close_pipes()
        return status

    # What comes

    def _write(self) -> None:
        while (line := self._outbox.get()) is not None:
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[self._pipes[0].write(rest):]
            except (OSError, ValueError):
                return  # The reader finds out why.
        if self._process:
            with contextlib.suppress(OSError):
                self._pipes[0].close()

    def _read(self) -> None:
        why = ""
        try:
            with open(self._pipes[1].fileno(), "rb", closefd=False) as lines:
                for line in lines:
                    self._take(line)
        except Exception as error:  # noqa: BLE001  Whatever it is, nobody must wait for an answer any more.
            why = f", and said what is no answer ({error})"
            self._kill()
        end = f"ended with status {self._process.wait()}" if self._process else "closed the connection"
        for thread in self._threads[3:]:
            thread.join(1)
        words = "".join(f"\n{line}" for line in self._errors)
        self._gone = f"mcp-host has {end}{why}{':' if words else ''}{words}"
        with contextlib.suppress(KeyError):
            while True:
                self._end(self._calls.popitem()[1], None, HostGone(self._gone, {"kind": "hostGone"}))

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            # A number of five thousand digits, say: an answer that Python cannot read is the call's own affair.
            head = re.match(rb'\{"jsonrpc":"2\.0","id":(\d+)', line)
            if head is None:
                raise
            message = {"id": int(head[1]), "error": {"message": f"the answer cannot be read: {error}", "data": {"kind": "badResponse"}}}
        if "method" not in message:
            self._answered(message)
        elif "id" in message:
            threading.Thread(target=self._asked, args=(message,), name="mcp-host question", daemon=True).start()
        elif message["method"] == "progress":
            call = self._calls.get(message["params"]["id"])
            if call is not None:
                self._jobs.put(lambda: self._tell(call, message["params"]))

    def _tell(self, call: Pending[Any], progress: Params) -> None:
        try:
            if call.progress is not None:
                call.progress(progress)
        except BaseException as error:  # noqa: BLE001  It is the call's own.
            call.progress = None
            self.notify("cancel", {"id": call.number})
            if self._calls.pop(call.number, None) is not None:
                call.finish(None, error)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _read_errors(self) -> None:
        with open(self._pipes[2].fileno(), "rb", closefd=False) as lines:
            for line in lines:
                self._errors.append(line.decode("utf-8", "replace").rstrip("\n"))

    def _answered(self, message: dict[str, Any]) -> None:
        number = message.get("id") or 0
        call = self._calls.get(number)
        if call is None:
            return

        def end() -> None:
            if self._calls.pop(number, None) is not None:
                error = message.get("error")
                self._end(call, message.get("result"), error_of(error) if error is not None else None)

        # Behind the progress that came before it.
        self._jobs.put(end) if call.progress else end()

    def _end(self, call: Pending[Any], result: Any, error: Exception | None) -> None:
        if call.told:
            self.log.append((time.monotonic(), f"{call.told}\n    {_short(str(error) if error else result)}"))
        try:
            outcome = call.convert(result) if error is None else None
        except Exception as failure:  # noqa: BLE001  Whoever waits gets it.
            error, outcome = failure, None
        call.finish(outcome, error)

    def _asked(self, message: dict[str, Any]) -> None:
        try:
            if self.answer is None:
                raise LookupError(f"nobody answers {message['method']}")
            result = self.answer(message["method"], message.get("params") or {})
            line = _line({"id": message["id"], "result": result})
        except BaseException as error:  # noqa: BLE001  Whatever a test's handler does, the server gets an answer.
            line = _line({"id": message["id"], "error": {"code": -32000, "message": f"{type(error).__name__}: {error}"}})
        self._outbox.put(line)

    def _forked(self) -> None:
        """In a child of this process: what is open is the parent's."""
        self._gone = "this process was forked from the one that has started mcp-host; start one of its own"
        self._calls = {}
        self.status = 0
        if self._process:
            self._process.returncode = 0
        self._close_pipes()


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _forked() -> None:
    for channel in list(_channels):
        channel._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

#: What a test has asked its servers, as far as somebody who looks for its failure wants to see it.
_TOLD = frozenset({"tools/call", "resources/read", "prompts/get", "complete", "servers/add", "servers/remove", "servers/restart", "servers/kill"})


def has_loop() -> bool:
    """Whether this is a coroutine of asyncio or trio, so that nothing may block here."""
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    trio: Any = sys.modules.get("trio")
    with contextlib.suppress(RuntimeError):
        return trio is not None and bool(trio.lowlevel.current_task())
    return False


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _line(message: Params) -> bytes:
    # In ASCII: a text may have halves of characters, which JSON can say and UTF-8 cannot.
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode("ascii") + b"\n"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 400 else text[:400] + "…"
