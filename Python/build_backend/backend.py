"""Builds the wheels of this folder, with mcp-host in them: a build backend without dependencies (PEP 517, PEP 660).

`pip install ./Python` uses it. `python3 Python/build_backend/backend.py OUT` makes both wheels: pytest-mcp-host, and mcp-host, which is the command.
The programs come from MCP_HOST_PREFIX, where Scripts/install.sh has put them, or are built by it now.
"""
from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent.parent
VERSION = re.search(r'^version = "(.*)"', (HERE / "pyproject.toml").read_text(), re.MULTILINE).group(1)  # type: ignore[union-attr]
PACKAGE, DIST = "pytest_mcp_host", f"pytest_mcp_host-{VERSION}"


def programs() -> dict[str, pathlib.Path]:
    """mcp-host and mcp-guard, built, static and stripped."""
    prefix = os.environ.get("MCP_HOST_PREFIX")
    if prefix is None:
        script = HERE.parent / "Scripts" / "install.sh"
        if not script.exists():
            sys.exit("pytest-mcp-host: this is not a checkout of swift-mcp-host, so mcp-host cannot be built; set MCP_HOST_PREFIX to where it is installed")
        if shutil.which("swift") is None:
            sys.exit("pytest-mcp-host: mcp-host is written in Swift, and there is no `swift` here. Install Swift 6.2 or later (https://swift.org/install), "
                     "or set MCP_HOST_PREFIX to where mcp-host is installed")
        prefix = tempfile.mkdtemp(prefix="mcp-host-")
        subprocess.run([str(script), prefix], check=True, stdout=sys.stderr)
    found = {path.name: path for name in ("mcp-host", "mcp-guard") for path in pathlib.Path(prefix).rglob(name) if path.is_file() and os.access(path, os.X_OK)}
    missing = {"mcp-host", "mcp-guard"} - found.keys()
    if missing:
        sys.exit(f"pytest-mcp-host: {', '.join(sorted(missing))} is not in {prefix}")
    for path in found.values():
        # A debug build, or one that is linked dynamically, works on the machine that has built it and nowhere else.
        if sys.platform == "linux" and re.search(rb"lib(swift\w*|Foundation\w*|dispatch)\.so", path.read_bytes()):
            sys.exit(f"pytest-mcp-host: {path} needs Swift's libraries at run time; Scripts/install.sh builds one that does not")
    return found


def tag(binaries: dict[str, pathlib.Path]) -> str:
    """For which systems the wheel is: on Linux by the C library that the programs ask for."""
    machine = platform.machine().replace("AMD64", "x86_64")
    if sys.platform == "darwin":
        return f"py3-none-macosx_15_0_{machine}"
    wanted = [int(minor) for path in binaries.values() for minor in re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())]
    return f"py3-none-manylinux_2_{max(wanted, default=17)}_{machine}"


class Wheel:
    """A wheel that is being written."""

    def __init__(self, folder: str, dist: str, tag: str) -> None:
        self.info, self.tag = f"{dist}.dist-info", tag
        self.path = pathlib.Path(folder) / f"{dist}-{tag}.whl"
        self.zip = zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
        self.record: list[tuple[str, str, int | str]] = []

    def add(self, name: str, data: bytes, mode: int = 0o644) -> None:
        # The same bytes from the same sources, whenever they are built.
        info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
        info.external_attr, info.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
        self.zip.writestr(info, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append((name, f"sha256={digest}", len(data)))

    def finish(self, metadata: str, entry_points: str = "") -> str:
        for name in ("LICENSE", "NOTICE"):
            for path in (HERE / name, HERE.parent / name):
                if path.exists():
                    self.add(f"{self.info}/licenses/{name}", path.read_bytes())
                    break
        self.add(f"{self.info}/METADATA", metadata.encode())
        self.add(f"{self.info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: swift-mcp-host\nRoot-Is-Purelib: false\nTag: {self.tag}\n".encode())
        if entry_points:
            self.add(f"{self.info}/entry_points.txt", entry_points.encode())
        self.record.append((f"{self.info}/RECORD", "", ""))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self.record)
        self.zip.writestr(zipfile.ZipInfo(f"{self.info}/RECORD", (2020, 1, 1, 0, 0, 0)), text.getvalue())
        self.zip.close()
        return self.path.name


def metadata(name: str, summary: str, *more: str, readme: str | None = None) -> str:
    readme = (HERE / "README.md").read_text() if readme is None else readme
    head = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\nSummary: {summary}", "Requires-Python: >=3.10", "License: Apache-2.0",
            "Project-URL: Source, https://github.com/swift-mcp-host/swift-mcp-host", *more]
    return "\n".join(head) + "\nDescription-Content-Type: text/markdown\n\n" + readme


PLUGIN_METADATA = ("pytest-mcp-host", "pytest fixtures for MCP servers that cannot fail in their tear-down", "Requires-Dist: pytest>=7.4\nRequires-Dist: pluggy>=1.2", "Framework :: Pytest")
ENTRY_POINTS = f"[pytest11]\nmcp_host = {PACKAGE}.plugin\n"


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None) -> str:
    binaries = programs()
    wheel = Wheel(wheel_directory, DIST, tag(binaries))
    for path in sorted((HERE / "src" / PACKAGE).rglob("*")):
        if path.is_file() and path.suffix in ("", ".py", ".typed") and "bin" not in path.parts and "__pycache__" not in path.parts:
            wheel.add(str(path.relative_to(HERE / "src")), path.read_bytes())
    for name, path in sorted(binaries.items()):
        wheel.add(f"{PACKAGE}/bin/{name}", path.read_bytes(), 0o755)
    return wheel.finish(metadata(*PLUGIN_METADATA[:3], "Classifier: " + PLUGIN_METADATA[3]), ENTRY_POINTS)


def build_editable(wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None) -> str:
    wheel = Wheel(wheel_directory, DIST, "py3-none-any")
    wheel.add(f"{PACKAGE}.pth", str(HERE / "src").encode())
    return wheel.finish(metadata(*PLUGIN_METADATA[:3]), ENTRY_POINTS)


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    name = f"{DIST}.tar.gz"
    with tarfile.open(pathlib.Path(sdist_directory) / name, "w:gz") as archive:
        for path in ("pyproject.toml", "README.md", "build_backend", "src", "../LICENSE"):
            if (HERE / path).exists():
                name_in_it = f"{DIST}/{pathlib.PurePath(path).name}"
                archive.add(HERE / path, name_in_it, filter=lambda info: None if "__pycache__" in info.name else info)
        info = tarfile.TarInfo(f"{DIST}/PKG-INFO")
        data = metadata(*PLUGIN_METADATA[:3]).encode()
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return name


def build_command_wheel(wheel_directory: str) -> str:
    """The command itself: `uvx mcp-host tools`."""
    binaries = programs()
    wheel = Wheel(wheel_directory, f"mcp_host-{VERSION}", tag(binaries))
    for name, path in sorted(binaries.items()):
        wheel.add(f"mcp_host-{VERSION}.data/scripts/{name}", path.read_bytes(), 0o755)
    readme = "The command `mcp-host`: opens MCP servers, uses them, and closes them again with proof.\n\n    uvx mcp-host tools -- python server.py\n"
    return wheel.finish(metadata("mcp-host", "Open MCP servers, use them, and close them again with proof", readme=readme))


if __name__ == "__main__":
    folder = sys.argv[1]
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    print(build_wheel(folder), build_command_wheel(folder), sep="\n")
