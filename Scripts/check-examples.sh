#!/usr/bin/env bash
# Builds the examples, and runs each against the demo server: it has to end well and print what its source says ("// Expect:", a pattern).
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
  timeout 60 "$bin/$name" "$work/mcp.json" > "$work/out" || { cat "$work/out"; echo "$name failed"; exit 1; }
  expected=$(sed -n 's|^// Expect: ||p' "$example/main.swift")
  [ -n "$expected" ] || { echo "$name does not say what it prints"; exit 1; }
  grep -qE "$expected" "$work/out" || { cat "$work/out"; echo "$name did not print \"$expected\""; exit 1; }
done
