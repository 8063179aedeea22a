"""What the README shows is what works."""
from __future__ import annotations

import os
import pathlib
import re
import sys
import textwrap

import pytest

from pytest_mcp_host import mcp_host_path

from .conftest import run

README = os.environ.get("MCP_HOST_README") or str(pathlib.Path(__file__).parents[1] / "README.md")


def test_readme(project, monkeypatch):
    pytest.importorskip("pytest_asyncio")
    monkeypatch.setenv("PATH", f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    project.makepyfile(server=f"import os\nos.execv({mcp_host_path()!r}, [{mcp_host_path()!r}, 'demo-server'])")
    project.path.joinpath("weather.py").write_text(project.path.joinpath("server.py").read_text())
    first, fixture, methods = re.findall(r"^```python\n(.*?)^```", pathlib.Path(README).read_text(), re.DOTALL | re.MULTILINE)
    run(project, "\n".join([
        "import pytest", "from pytest_mcp_host import HostManager", first, fixture,
        "class TestFixture:",
        "    async def test_one(self, host):",
        "        assert (await host.weather.aio.echo(text='x')).text == 'x'",
        "def test_methods(mcp_host):", textwrap.indent(methods, "    "),
    ]), "-o", "asyncio_mode=auto").assert_outcomes(passed=4)
