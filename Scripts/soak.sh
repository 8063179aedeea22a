#!/usr/bin/env bash
# Long runs in one process: 10 000 connections opened and closed, a million calls, and good servers beside bad ones. Prints descriptors,
# threads, children and memory along the way, the slope of memory in kB an hour, and how far the good servers' p99 moved.
# Usage: Scripts/soak.sh [CYCLES [CALLS]]
set -euo pipefail
cd "$(dirname "$0")/../Benchmarks"
swift build -c release --static-swift-stdlib --product soak 2>&1 | tail -1
swift build -c release --static-swift-stdlib --product mcp-zoo 2>&1 | tail -1
bin=$(swift build -c release --static-swift-stdlib --show-bin-path)
for run in "cycles $bin/mcp-zoo ${1:-10000}" "calls $bin/mcp-zoo ${2:-1000000}" "isolation $bin/mcp-zoo"; do
  echo "== ${run%% *}"
  # shellcheck disable=SC2086
  "$bin/soak" $run
done
