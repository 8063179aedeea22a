"""What can go wrong. Each error says which server, and what is known of its end."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._results import Result


class McpHostError(Exception):
    """Something did not work; `kind` says what (docs/control.md lists them)."""

    def __init__(self, message: str, data: Mapping[str, Any] | None = None) -> None:
        data = data or {}
        self.message = message
        self.kind: str = str(data.get("kind", "failed"))
        self.server: str | None = data.get("server")
        self.exit_status: str | None = data.get("exitStatus")
        self.last_line: str | None = data.get("lastLine")
        self.code: int | None = data.get("code")
        self.data: Any = data.get("data")
        self.result: Result | None = Result(data["result"]) if isinstance(data.get("result"), dict) else None
        super().__init__(f"{self.server}: {message}" if self.server else message)


class InvalidArguments(McpHostError):
    """The arguments do not fit the tool's schema, or a word of the call is wrong. Nothing was called."""


class ServerGone(McpHostError):
    """The server could not be started, has ended, or is being closed: `exit_status` and `last_line` say how."""


class NotFound(McpHostError):
    """There is no such server, tool, prompt or resource; the message says which there are."""


class HostTimeout(McpHostError, TimeoutError):
    """The time for it is over."""


class BadResponse(McpHostError):
    """The server's answer is not what the protocol, or the tool's own schema, has: `result` is what it was, where it was a tool's."""


class ToolFailed(McpHostError):
    """The tool itself says that it failed; `result` is what it answered."""

    def __init__(self, server: str, tool: str, result: Result) -> None:
        text = result.text or "no text"
        super().__init__(f"{tool} failed: {text}", {"kind": "toolFailed", "server": server})
        self.tool = tool
        self.result = result


class LeftBehind(McpHostError):
    """Something of a server was left when it should have been gone, or it is not proved that nothing was."""


class HostGone(McpHostError):
    """mcp-host itself has ended."""


_KINDS: Mapping[str, type[McpHostError]] = {
    kind: error
    for error, kinds in {
        InvalidArguments: "invalidArguments invalidConfiguration",
        NotFound: "notFound",
        HostTimeout: "timeout",
        BadResponse: "badResponse",
        ServerGone: "launchFailed handshakeFailed connectionLost outcomeUnknown crashLoop hostClosed",
    }.items()
    for kind in kinds.split()
}


def error_of(error: Mapping[str, Any]) -> McpHostError:
    """The error that an answer of the control channel stands for."""
    data = error["data"] if isinstance(error.get("data"), dict) else {}
    return _KINDS.get(str(data.get("kind")), McpHostError)(str(error.get("message")), data)
