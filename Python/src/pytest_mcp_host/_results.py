"""What servers answer, as tests want it."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Result:
    """The answer of a tool, a prompt or a resource."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        #: The answer as the protocol has it.
        self.raw = raw

    @property
    def content(self) -> list[dict[str, Any]]:
        """The content blocks of a tool's answer."""
        return list(self.raw.get("content") or [])

    @property
    def is_error(self) -> bool:
        """The tool says that it failed."""
        return bool(self.raw.get("isError"))

    @property
    def text(self) -> str:
        """All texts, in lines."""
        blocks = list(self.content) + list(self.raw.get("contents") or [])
        blocks += [message.get("content") or {} for message in self.raw.get("messages") or []]
        texts = [block.get("text", (block.get("resource") or {}).get("text")) for block in blocks]
        return "\n".join(text for text in texts if isinstance(text, str))

    @property
    def data(self) -> Any:
        """The structured content; else the text as JSON, where it is some; else the text."""
        if self.raw.get("structuredContent") is not None:
            return self.raw["structuredContent"]
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text

    def __repr__(self) -> str:
        text = json.dumps(self.raw, ensure_ascii=False)
        return f"<Result {text if len(text) < 400 else text[:400] + '…'}>"


class Report:
    """How a host or a server was closed."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw

    @property
    def servers(self) -> list[Mapping[str, Any]]:
        """The end of each server."""
        return list(self.raw.get("servers") or [])

    @property
    def is_clean(self) -> bool:
        """Nothing is left, and that is proved."""
        return bool(self.raw.get("clean", not self.processes_left and not any(s.get("doubt") for s in self.servers)))

    @property
    def processes_left(self) -> list[int]:
        """What is left, by the numbers of the processes."""
        return [pid for server in self.servers for pid in server.get("processesLeft") or []]

    def __str__(self) -> str:
        count = len(self.servers)
        lines = [f"{count} server{'' if count == 1 else 's'} closed, {len(self.processes_left)} processes left"]
        lines += [f"{server['name']}: not proved that nothing is left: {server['doubt']}" for server in self.servers if server.get("doubt")]
        return "\n".join(lines)

    __repr__ = __str__
