#!/usr/bin/env python3
"""Every public name of this package can be used without qualifying it beside Foundation, Testing, Hummingbird and NIO: writes a file that
does so, and builds it (Compatibility/)."""
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
MODULES = ["MCPJSON", "MCPJSONSchema", "MCPTypes", "MCPTransport", "MCPStdio", "MCPClient", "MCPHost"]
DECLARATION = re.compile(r"^(?:@\S+ )*public (?:final |indirect )*(struct|class|enum|actor|protocol|typealias) (\w+)(<[^>]*>)?", re.M)
names = {}
for module in MODULES:
    for path in sorted((root / "Sources" / module).rglob("*.swift")):
        for kind, name, generic in DECLARATION.findall(path.read_text()):
            names[name] = (kind, len(generic.split(",")) if generic else 0)
lines = [
    "// Written by Scripts/check-names.py.",
    "import Foundation", "import Hummingbird", "import MCPHost", "import MCPJSONSchema", "import NIOCore", "import Testing", "",
    "@Test func everyNameMeansOneThing() {",
]
for name, (kind, parameters) in sorted(names.items()):
    # One that takes parameters is named in the constraint of nothing: its metatype needs them.
    if parameters == 0:
        lines.append(f"    _ = (any {name}).self" if kind == "protocol" else f"    _ = {name}.self")
generics = sorted(name for name, (_, parameters) in names.items() if parameters)
lines += ["}", ""] + [f"private func generic{name}(_ value: {name}<{'Tool' if name != 'JSONRPCRequest' else 'EmptyParams'}>) {{}}" for name in generics if names[name][1] == 1]
folder = root / "Compatibility" / "Tests"
folder.mkdir(exist_ok=True)
(folder / "Names.swift").write_text("\n".join(lines) + "\n")
build = subprocess.run(["swift", "build", "--build-tests", "--package-path", root / "Compatibility"], capture_output=True, text=True)
errors = sorted(set(re.findall(r"error: .*", build.stdout + build.stderr)))
if build.returncode:
    print(*(errors or (build.stdout + build.stderr).splitlines()[-20:]), sep="\n")
print(f"{len(names)} public names, {len(errors)} that clash with another package's" if errors or not build.returncode else "the program could not be built")
sys.exit(build.returncode)
