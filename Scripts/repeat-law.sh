#!/usr/bin/env bash
# The law's tests, many times in a row, in whatever order the runners choose; stops at the first failure.
# Usage: Scripts/repeat-law.sh [TIMES] [extra arguments of swift test, such as --sanitize=thread --scratch-path .build-tsan]
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-100}
shift || true
swift build --build-tests "$@"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for ((round = 1; round <= times; round++)); do
  if ! swift test --skip-build --filter LifecycleLaw "$@" > "$log" 2>&1; then
    cat "$log"
    echo "round $round of $times failed"
    exit 1
  fi
done
echo "$times rounds passed"
