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
  export MCP_HOST_SANITIZER=$3 ASAN_OPTIONS=detect_leaks=0
fi
swift build --build-tests ${options[@]+"${options[@]}"} 2>&1 | tail -1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for ((round = 1; round <= times; round++)); do
  if ! SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$workers swift test --skip-build --filter "LifecycleLaw|FaultTests|MCPStdioTests" ${options[@]+"${options[@]}"} > "$log" 2>&1; then
    cat "$log"
    echo "round $round of $times failed"
    exit 1
  fi
  if grep -qE "WARNING: ThreadSanitizer|ERROR: AddressSanitizer" "$log"; then
    cat "$log"
    echo "round $round of $times has reports of the sanitizer"
    exit 1
  fi
done
echo "$times rounds passed"
