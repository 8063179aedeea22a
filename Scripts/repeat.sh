#!/usr/bin/env bash
# The law's tests and the fault rows, many times in a row, in whatever order the runner chooses, beside each other; stops at the first failure.
# Usage: Scripts/repeat.sh [TIMES [WORKERS [SANITIZER]]]     default 50 8; SANITIZER is thread or address
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-50}
workers=${2:-8}
options=()
if [ -n "${3:-}" ]; then
  options=(--sanitize="$3" --scratch-path ".build-$3")
  export MCP_HOST_SANITIZER=$3 ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1
fi
swift build --build-tests ${options[@]+"${options[@]}"} 2>&1 | tail -1
log=$(mktemp)
for ((round = 1; round <= times; round++)); do
  status=0
  SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$workers swift test --skip-build --filter "LifecycleLaw|FaultTests|MCPStdioTests" \
    ${options[@]+"${options[@]}"} > "$log" 2>&1 || status=$?
  reports="WARNING: ThreadSanitizer|ERROR: AddressSanitizer"
  if [ $status -ne 0 ] || grep -qE "$reports" "$log"; then
    grep -E "recorded an issue|error:|✘|$reports" -A2 "$log" | head -60 || true
    echo "round $round of $times failed with status $status; all of its output: $log"
    exit 1
  fi
done
rm -f "$log"
echo "$times rounds passed"
