"""MCP servers in pytest: opened in one task, used in another, closed from a third, with proof that nothing is left."""
import sys

if sys.platform not in ("linux", "darwin"):
    raise ImportError(f"pytest-mcp-host works on Linux and macOS, and not on {sys.platform}; -p no:mcp_host leaves it out")

from ._binary import mcp_host_path
from ._errors import BadResponse, HostGone, HostTimeout, InvalidArguments, LeftBehind, McpHostError, NotFound, ServerGone, ToolFailed
from ._host import AsyncHost, Host, Hosts, Server
from ._manager import HostManager
from ._results import Report, Result

__all__ = [
    "AsyncHost", "BadResponse", "Host", "HostGone", "HostManager", "HostTimeout", "Hosts", "InvalidArguments", "LeftBehind", "McpHostError", "NotFound",
    "Report", "Result", "Server", "ServerGone", "ToolFailed", "mcp_host_path",
]
__version__ = "0.1.0"
