#!/usr/bin/env bash
# What repeats for proof, an evening long; stops at the first failure. .ci/run has the short form of each.
# One step after the other: two of them side by side take longer than both, and nothing may run beside what is measured.
# Usage: Scripts/prove.sh [STEP ...]     steps: quiet loaded thread address kill soak fuzz mutations; default all
#   RUNS=50 LOADED_RUNS=20 SANITIZER_RUNS=10 FUZZ_SECONDS=720 ROUNDS=100
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
busy=()
trap 'kill ${busy[@]+"${busy[@]}"} 2> /dev/null || true' EXIT

# The whole suite, so often; says how long the runs took, and fails where one took three times the median.
suite() {
  local times=$1 round start took=()
  shift
  for ((round = 1; round <= times; round++)); do
    start=$(date +%s%N)
    if ! "$@" > "$log" 2>&1 || grep -qE "WARNING: ThreadSanitizer|ERROR: AddressSanitizer" "$log"; then
      grep -E "recorded an issue|error:|WARNING: ThreadSanitizer|ERROR: AddressSanitizer" -A4 "$log" | head -60
      echo "round $round of $times failed; all of its output: $log"
      return 1
    fi
    took+=($((($(date +%s%N) - start) / 1000000)))
  done
  printf '%s\n' "${took[@]}" | sort -n | awk '{ t[NR] = $1 } END { m = t[int((NR + 1) / 2)]
    printf "%d of %d passed; shortest %.1f s, median %.1f s, longest %.1f s\n", NR, NR, t[1] / 1000, m / 1000, t[NR] / 1000
    exit t[NR] > 3 * m }'
}

quiet() { suite "${RUNS:-50}" swift test --skip-build; }

loaded() {
  for _ in 1 2; do
    (while :; do :; done) &
    busy+=($!)
  done
  suite "${LOADED_RUNS:-20}" swift test --skip-build
  kill "${busy[@]}"
  busy=()
}

sanitized() {
  # All tests at once start hundreds of servers, each of which takes many times as long here, and the time that they are given runs out.
  export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=6
  export MCP_HOST_SANITIZER=$1 ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1 TSAN_OPTIONS=atexit_sleep_ms=0
  swift build --build-tests --sanitize="$1" --scratch-path ".build-$1" 2>&1 | tail -1
  # What computes for minutes here, and has no threads, would starve what waits for each other.
  suite "${SANITIZER_RUNS:-10}" swift test --skip-build --sanitize="$1" --scratch-path ".build-$1" --skip '^MCPJSON(Schema)?Tests'
  suite 1 swift test --skip-build --sanitize="$1" --scratch-path ".build-$1" --filter '^MCPJSON(Schema)?Tests'
  unset SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH MCP_HOST_SANITIZER ASAN_OPTIONS TSAN_OPTIONS
}

for step in "${@:-quiet loaded thread address kill soak fuzz mutations}"; do
  for name in $step; do
    echo "== $name"
    case $name in
      quiet | loaded)
        swift build --build-tests 2>&1 | tail -1
        "$name"
        ;;
      thread | address) sanitized "$name" ;;
      kill)
        swift build 2>&1 | tail -1
        Scripts/kill-host.sh "${ROUNDS:-100}" "${ROUNDS:-100}"
        ;;
      soak) Scripts/soak.sh ;;
      fuzz)
        Scripts/fuzz.sh "${FUZZ_SECONDS:-720}"
        swift build --build-tests 2>&1 | tail -1
        MCP_FUZZ_MESSAGES=$((${FUZZ_SECONDS:-720} * 500)) MCP_SEED=$RANDOM suite 1 swift test --skip-build --filter ControlFuzzTests
        ;;
      mutations) Scripts/mutate.py ;;
      *) echo "no step \"$name\"" && exit 64 ;;
    esac
  done
done
