"""The control channel: mcp-host as a process of its own, asked from any thread, with or without an event loop.

No event loop is ever entered here, so none can be left in the wrong task.
"""
from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ._errors import HostGone, HostTimeout, error_of

Future = concurrent.futures.Future
Params = Mapping[str, Any]
#: Answers a question of a server: gets the method, and the parameters of docs/control.md.
Answer = Callable[[str, Params], Params]
#: Is told of the progress of a call.
Progress = Callable[[Params], None]

#: What mcp-host may take longer than it was given, before it counts as stuck.
GRACE = 30.0


class Call:
    """A request that is under way."""

    def __init__(self, channel: Channel, number: int, method: str, params: Params) -> None:
        self.channel, self.number, self.method, self.params = channel, number, method, params
        self.future: Future[Any] = Future()

    def cancel(self) -> None:
        """Takes it back; the server is told."""
        self.channel.notify("cancel", {"id": self.number})

    def result(self, limit: float) -> Any:
        """Waits for the answer. Whatever interrupts the waiting takes the request back."""
        try:
            return self.future.result(limit + GRACE)
        except concurrent.futures.TimeoutError:
            if self.future.done():
                raise
            self.cancel()
            raise HostTimeout(f"mcp-host has not answered {self.method} within {limit + GRACE:g} s", {"kind": "timeout"}) from None
        except BaseException:
            if not self.future.done():
                self.cancel()
            raise

    async def wait(self) -> Any:
        """The same in whatever event loop runs: asyncio's or trio's, also under anyio."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            await self._wait_in_trio()
        else:
            await self._wait_in_asyncio(loop)
        return self.future.result(0)

    async def _wait_in_asyncio(self, loop: asyncio.AbstractEventLoop) -> None:
        done = loop.create_future()

        def wake(_: Future[Any]) -> None:
            try:
                loop.call_soon_threadsafe(_finish, done)
            except RuntimeError:
                pass  # The loop is closed: nobody waits there any more.

        self.future.add_done_callback(wake)
        try:
            await done
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def _wait_in_trio(self) -> None:
        trio: Any = sys.modules.get("trio")
        if trio is None:
            raise RuntimeError("no event loop is running here that is known; use the call without aio")
        token, event = trio.lowlevel.current_trio_token(), trio.Event()

        def wake(_: Future[Any]) -> None:
            try:
                token.run_sync_soon(event.set)
            except trio.RunFinishedError:
                pass

        self.future.add_done_callback(wake)
        try:
            await event.wait()
        except trio.Cancelled:
            self.cancel()
            raise


class Channel:
    """A running `mcp-host control`. Everything that was opened through it ends with it."""

    def __init__(self, program: str, answer: Answer | None = None) -> None:
        self.program = program
        self.answer: Answer | None = answer
        #: The latest requests and what came of them, for reports.
        self.log: collections.deque[str] = collections.deque(maxlen=50)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._calls: dict[int, tuple[Call, Progress | None]] = {}
        self._gone: HostGone | None = None
        self._errors: collections.deque[str] = collections.deque(maxlen=50)
        # A session of its own: Ctrl-C is for the tests, whose tear-down closes what was opened.
        self._process = subprocess.Popen(
            [program, "control"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        for target in (self._read, self._read_errors):
            threading.Thread(target=target, name="mcp-host", daemon=True).start()
        self.hello = self.request("hello", {"protocol": 1}).result(10)

    # What is asked

    def request(self, method: str, params: Params, progress: Progress | None = None) -> Call:
        """Asks for something; see `Call`."""
        call = Call(self, next(self._numbers), method, params)
        with self._lock:
            if self._gone is not None:
                raise self._gone
            self._calls[call.number] = (call, progress)
        self._send({"id": call.number, "method": method, "params": params})
        return call

    def notify(self, method: str, params: Params) -> None:
        """Says something that has no answer."""
        self._send({"method": method, "params": params})

    def close(self) -> int:
        """Ends the input, and waits until everything is closed. Returns mcp-host's exit status: 0 if nothing is left."""
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.close()
            except OSError:
                pass
        try:
            return self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            # What is left is ended by its guards.
            self._process.kill()
            return self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (OSError, ValueError):
                pass  # The reader finds out why.

    # What comes

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "method" not in message:
                self._answered(message)
            elif "id" in message:
                threading.Thread(target=self._asked, args=(message,), name="mcp-host question", daemon=True).start()
            elif message["method"] == "progress":
                with self._lock:
                    _, progress = self._calls.get(message["params"]["id"], (None, None))
                if progress:
                    progress(message["params"])
        status = self._process.wait()
        words = "\n".join(self._errors)
        with self._lock:
            self._gone = HostGone(f"mcp-host has ended with status {status}" + (f":\n{words}" if words else ""), {"kind": "hostGone"})
            calls, self._calls = list(self._calls.values()), {}
        for call, _ in calls:
            call.future.set_exception(self._gone)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line.decode("utf-8", "replace").rstrip("\n"))

    def _answered(self, message: dict[str, Any]) -> None:
        with self._lock:
            call, _ = self._calls.pop(message.get("id") or 0, (None, None))
        if call is None:
            return
        error = message.get("error")
        if call.method in _TOLD:
            asked = {key: call.params[key] for key in ("server", "name", "uri", "arguments") if key in call.params}
            self.log.append(f"{time.strftime('%H:%M:%S')} {call.method} {_short(asked)}\n    {_short(error or message.get('result'))}")
        if error is not None:
            call.future.set_exception(error_of(error))
        else:
            call.future.set_result(message.get("result"))

    def _asked(self, message: dict[str, Any]) -> None:
        params = message.get("params") or {}
        try:
            if self.answer is None:
                raise LookupError(f"nobody answers {message['method']}")
            result = self.answer(message["method"], params)
        except Exception as error:  # noqa: BLE001  Whatever a test's handler does, the server gets an answer.
            self._send({"id": message["id"], "error": {"code": -32000, "message": f"{error}"}})
        else:
            self._send({"id": message["id"], "result": result})


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


#: What a test has asked its servers, as far as somebody who looks for its failure wants to see it.
_TOLD = frozenset({"tools/call", "resources/read", "prompts/get", "complete", "servers/add", "servers/remove", "servers/restart", "servers/kill"})


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else text[:400] + "…"
