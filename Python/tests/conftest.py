"""The plugin under test runs pytest in a process of its own, as users do."""
from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import tempfile

import pytest
from typing_extensions import Self

from pytest_mcp_host import mcp_host_path

pytest_plugins = ["pytester"]

# A script that runs in the background hands down that Ctrl-C is ignored; here it is sent.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def zoo() -> str:
    """mcp-zoo, the server that misbehaves on demand: beside mcp-host, in PATH, or named in MCP_ZOO."""
    beside = pathlib.Path(mcp_host_path()).with_name("mcp-zoo")
    return os.environ.get("MCP_ZOO") or (str(beside) if beside.exists() else shutil.which("mcp-zoo") or "mcp-zoo")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the demo server, where a test may say MCP_HOST and MCP_ZOO for the programs."""
    pytester.makefile(".json", **{".mcp": json.dumps({"mcpServers": {"demo": {"command": mcp_host_path(), "args": ["demo-server"]}}})})
    pytester.path.joinpath(".mcp.json").write_text(pytester.path.joinpath(".mcp.json").read_text())
    pytester.makeconftest(f"MCP_HOST, MCP_ZOO = {mcp_host_path()!r}, {zoo()!r}\nimport builtins\nbuiltins.MCP_HOST, builtins.MCP_ZOO = MCP_HOST, MCP_ZOO\n")
    return pytester


def run(project: pytest.Pytester, source: str, *words: str) -> pytest.RunResult:
    """Runs a test file."""
    project.makepyfile(source)
    return project.runpytest_subprocess("-p", "no:cacheprovider", "-W", "ignore", *words, timeout=60)


class Alive:
    """A socket that a server, and all that it starts, hold open: the kernel closes it when the last of them is gone."""

    def __enter__(self) -> Self:
        self.folder = tempfile.mkdtemp(prefix="alive-", dir="/tmp")
        self.path = f"{self.folder}/s"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen()
        return self

    def wait_for_the_end(self, limit: float = 30) -> None:
        """Waits until nothing of the server is there."""
        self.socket.settimeout(limit)
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(limit)
            while connection.recv(1024):
                pass

    def kill(self) -> None:
        """Ends what still holds it: on Linux, by the numbers that the kernel tells."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.path.encode() in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)
