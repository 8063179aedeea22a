#!/usr/bin/env bash
# All benchmarks in one run, pinned to one core. Where the shared C client is there too, it is measured between ours.
# Usage: Benchmarks/run.sh
set -euo pipefail
cd "$(dirname "$0")"
swift build -c release --static-swift-stdlib 2>&1 | tail -1
bin=$(swift build -c release --static-swift-stdlib --show-bin-path)
pin=""
command -v taskset > /dev/null && pin="taskset -c $(($(nproc) - 1))"
echo "== JSON"
$pin "$bin/json-bench"
echo "== JSON Schema"
python3 schema-inputs.py | $pin "$bin/schema-bench"
if python3 -c 'import jsonschema' 2> /dev/null; then $pin python3 schema-inputs.py --measure; fi
echo "== conditions: $(uname -sr), $(nproc) cores, pinned: ${pin:-no}, $(swift --version 2> /dev/null | head -1)"
echo "== stdio, one server"
$pin "$bin/stdio-bench" calls "$bin/echo-server"
for bytes in 1000000 10000000; do $pin "$bin/stdio-bench" big "$bin/echo-server" $bytes; done
echo "== servers opened and closed"
for count in 1 16 64; do $pin "$bin/stdio-bench" fleet "$bin/echo-server" $count; done
echo "== linear: twice the servers, twice the time"
for count in 500 1000 2000; do MCP_GUARD='' "$bin/stdio-bench" fleet "$bin/echo-server" $count; done
echo "== the same without mcp-guard"
for count in 1 16 64; do MCP_GUARD='' $pin "$bin/stdio-bench" fleet "$bin/echo-server" $count; done
shared=${MCP_SHARED:-../../shared}/bench
if [ -f "$shared/cload.c" ] && command -v cc > /dev/null; then
  echo "== the C client on the same servers"
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  for program in cecho cload; do cc -O2 -w -o "$tmp/$program" "$shared/$program.c"; done
  $pin "$tmp/cload" rawpipe -n 20000 -w 2000 -- "$tmp/cecho" --raw
  $pin "$tmp/cload" stdio -n 20000 -w 2000 -- "$tmp/cecho"
  $pin "$tmp/cload" stdio -n 11 -w 2 -- "$tmp/cecho" --payload 10000000
  for round in 1 2 3; do
    $pin "$tmp/cload" fleet -k 64 -- "$tmp/cecho"
    $pin "$bin/stdio-bench" fleet "$tmp/cecho" 64
  done
  $pin "$bin/stdio-bench" calls "$tmp/cecho"
  $pin "$bin/stdio-bench" big "$tmp/cecho" 10000000 2> /dev/null
fi
