#!/usr/bin/env bash
# The generator writes what is checked in, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R Scripts .swift-format "$copy"
mkdir -p "$copy/Sources/MCPTypes"
(cd "$copy" && python3 Scripts/generate-types.py > /dev/null)
diff -r "$copy/Sources/MCPTypes/Generated" Sources/MCPTypes/Generated
echo "Generated/ is what Scripts/generate-types.py writes"
