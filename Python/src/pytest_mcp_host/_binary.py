"""Where mcp-host is."""
from __future__ import annotations

import os
import pathlib
import shutil


def mcp_host_path() -> str:
    """The program: `MCP_HOST_BINARY`, the one that came with this package, or the one in `PATH`.

    :raises FileNotFoundError: says what to do.
    """
    named = os.environ.get("MCP_HOST_BINARY")
    if named:
        if os.access(named, os.X_OK):
            return os.path.abspath(named)
        raise FileNotFoundError(f"MCP_HOST_BINARY names {named}, which is no program that can be run")
    carried = pathlib.Path(__file__).parent / "bin" / "mcp-host"
    if os.access(carried, os.X_OK):
        return str(carried)
    found = shutil.which("mcp-host")
    if found:
        return found
    raise FileNotFoundError(
        "mcp-host was not found: this package carries none for this platform. Build it (Scripts/install.sh PREFIX in a checkout of "
        "swift-mcp-host), and put it into PATH or name it in MCP_HOST_BINARY"
    )
