#!/usr/bin/env bash
# Kills a host with SIGKILL and counts what is left of its servers: a plain one, a wrapper with a worker, one that ignores SIGTERM, and a
# double-forked daemon. First some times when all are ready, then at random moments of its start.
# Usage: Scripts/kill-host.sh [READY-ROUNDS [RANDOM-ROUNDS]]     default 20 100; HOST=path of mcp-host, default the debug build
set -euo pipefail
cd "$(dirname "$0")/.."
ready_rounds=${1:-20}
random_rounds=${2:-100}
host=${HOST:-.build/debug/mcp-host}
zoo=$(dirname "$host")/mcp-zoo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MCP_HOST_STATE=$work/state  # the next start must not clean up what this one left

# Every process of a round carries its mark in the environment; a process that is a zombie has none.
left() {
  { grep -lz "^KILL_ROUND=$1\$" /proc/[0-9]*/environ 2> /dev/null || true; } | wc -l
}

configure() {
  local env="\"env\":{\"KILL_ROUND\":\"$1\"}"
  cat > "$work/mcp.json" << JSON
{"mcpServers":{
  "plain":{"command":"$PWD/$zoo",$env},
  "wrapper":{"command":"/bin/sh","args":["-c","'$PWD/$zoo' --ignore-eof; exit 0"],$env},
  "deaf":{"command":"$PWD/$zoo","args":["--ignore-eof","--ignore-term"],$env},
  "daemon":{"command":"$PWD/$zoo","args":["--double-fork"],$env}}}
JSON
}

# Polls nothing but the process table, and no longer than the 3 s that are allowed.
wait_until_gone() {
  local start now
  start=$(date +%s%N)
  while :; do
    now=$(date +%s%N)
    count=$(left "$1")
    if [ "$count" -eq 0 ] || [ $((now - start)) -gt 3000000000 ]; then break; fi
    sleep 0.1
  done
  took=$(((now - start) / 1000000))
}

worst=0 failed=0
for ((round = 1; round <= ready_rounds; round++)); do
  mark=ready-$$-$round
  configure "$mark"
  "$host" run --config "$work/mcp.json" > "$work/out" 2>&1 < /dev/null &
  pid=$!
  until grep -q "servers ready" "$work/out"; do sleep 0.02; done
  kill -KILL $pid
  wait $pid 2> /dev/null || true
  wait_until_gone "$mark"
  if [ "$count" -gt 0 ]; then failed=$((failed + 1)) && echo "round $round: $count processes left after 3 s"; fi
  if [ "$took" -gt "$worst" ]; then worst=$took; fi
done
echo "killed when ready: $((ready_rounds - failed)) of $ready_rounds rounds left nothing; slowest gone after $worst ms"

worst=0 random_failed=0
for ((round = 1; round <= random_rounds; round++)); do
  mark=random-$$-$round
  configure "$mark"
  "$host" run --config "$work/mcp.json" > "$work/out" 2>&1 < /dev/null &
  pid=$!
  sleep "$(printf '0.%03d' $((RANDOM % 500 + 1)))"
  kill -KILL $pid
  wait $pid 2> /dev/null || true
  wait_until_gone "$mark"
  if [ "$count" -gt 0 ]; then random_failed=$((random_failed + 1)) && echo "random round $round: $count processes left after 3 s"; fi
  if [ "$took" -gt "$worst" ]; then worst=$took; fi
done
echo "killed 1 to 500 ms after its start: $((random_rounds - random_failed)) of $random_rounds rounds left nothing; slowest gone after $worst ms"
[ $((failed + random_failed)) -eq 0 ]
