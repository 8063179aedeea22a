#!/usr/bin/env bash
# Builds the examples, and runs each against the demo server: it has to end well and say what it is about.
# Usage: Scripts/check-examples.sh MCP-HOST     the program that is the demo server
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(realpath "$1")
swift build --package-path Examples 2>&1 | tail -1
bin=$(swift build --package-path Examples --show-bin-path)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '{"mcpServers":{"demo":{"command":"%s","args":["demo-server"]}}}\n' "$host" > "$work/mcp.json"
export MCP_HOST_STATE=$work/state MCP_GUARD=${host%/*}/mcp-guard
for example in Examples/Sources/*/; do
  name=$(basename "$example")
  echo "-- $name"
  "$bin/$name" "$work/mcp.json" > "$work/out" || { cat "$work/out"; echo "$name failed"; exit 1; }
  grep -qE "demo__echo|4 tools" "$work/out" || { cat "$work/out"; echo "$name did not list the demo server's tools"; exit 1; }
done
