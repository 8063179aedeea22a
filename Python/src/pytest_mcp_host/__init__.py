"""MCP servers in pytest: opened in one task, used in another, closed from a third, with proof that nothing is left."""
from ._binary import mcp_host_path
from ._errors import HostGone, HostTimeout, InvalidArguments, LeftBehind, McpHostError, NotFound, ServerGone, ToolFailed
from ._host import AsyncHost, Host, Hosts, Server
from ._manager import HostManager
from ._results import Report, Result

__all__ = [
    "AsyncHost", "Host", "HostGone", "HostManager", "HostTimeout", "Hosts", "InvalidArguments", "LeftBehind", "McpHostError", "NotFound",
    "Report", "Result", "Server", "ServerGone", "ToolFailed", "mcp_host_path",
]
__version__ = "0.1.0"
