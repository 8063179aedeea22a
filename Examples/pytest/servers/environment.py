"""Checks what it was started with."""
import os

from fastmcp import FastMCP

server = FastMCP("environment")


@server.tool
def check(names: list[str]) -> dict:
    """Which variables are set."""
    return {name: name in os.environ for name in names}


server.run()
