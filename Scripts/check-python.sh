#!/usr/bin/env bash
# The wheels of Python/: built of an installed mcp-host, installed into a fresh environment of each CPython that is here, and tested from there, with
# the versions of pytest spread over them. Types and style are checked once.
# Usage: Scripts/check-python.sh PREFIX     where Scripts/install.sh has put mcp-host
set -euo pipefail
prefix=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find_python() {
  local found
  for found in "$HOME"/.pyenv/versions/"$1".*/bin/python /usr/bin/python"$1" /usr/local/bin/python"$1" /opt/homebrew/bin/python"$1"; do
    if [ -x "$found" ] && "$found" -c 'import venv, ensurepip' 2> /dev/null; then echo "$found"; return 0; fi
  done
  return 1
}

# The versions of pytest, spread over those of CPython. pytest-asyncio wants at least 8.2.
packages() {
  case $1 in
    3.10) echo "pytest>=7.4,<8" ;;
    3.11) echo "pytest>=8,<9 pytest-asyncio>=1" ;;
    *) echo "pytest>=9 pytest-asyncio>=1" ;;
  esac
}

any=$(find_python 3.13 || find_python 3.12 || find_python 3.11 || command -v python3)
MCP_HOST_PREFIX=$prefix "$any" Python/build_backend/backend.py "$work/wheels" > /dev/null
for wheel in "$work"/wheels/*.whl; do
  size=$(wc -c < "$wheel")
  echo "$(basename "$wheel"): $((size / 1024)) kB"
  if [ "$size" -gt $((12 << 20)) ]; then echo "more than 12 MB"; exit 1; fi
done

missing="" tested=0
for version in 3.10 3.11 3.12 3.13 3.14; do
  if ! python=$(find_python "$version"); then missing="$missing $version"; continue; fi
  environment=$work/$version
  "$python" -m venv "$environment"
  # shellcheck disable=SC2086  # several words
  "$environment/bin/pip" -q install $(packages "$version") anyio trio pytest-xdist pytest-timeout "$work"/wheels/*.whl
  rm -rf "$work/tests" && cp -r Python/tests Python/README.md "$work"
  (cd "$work" && MCP_ZOO=$prefix/bin/mcp-zoo "$environment/bin/python" -m pytest -q -rs -n 2 --timeout 150 -p no:cacheprovider -W ignore tests) > "$work/log" 2>&1 ||
    { tail -60 "$work/log"; echo "CPython $version, $(packages "$version"): failed"; exit 1; }
  echo "CPython $version, $(packages "$version"): $(tail -1 "$work/log")"
  grep "^SKIPPED" "$work/log" || true
  # The command alone, as `uvx mcp-host` would run it.
  (cd "$work" && "$environment/bin/mcp-host" call demo add a=1 b=2 --report) > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  tested=$((tested + 1))
done

# As from a checkout: with mcp-host there, the example runs; without it and without Swift it is said what is missing.
environment=$work/example
"$any" -m venv "$environment"
(cd Examples/pytest && MCP_HOST_PREFIX=$prefix "$environment/bin/pip" -q install -r requirements.txt)
cp -r Examples/pytest "$work/example-tests"
(cd "$work/example-tests" && PATH=$environment/bin:$PATH "$environment/bin/python" -m pytest -q -p no:cacheprovider -W ignore) > "$work/log" 2>&1 ||
  { tail -60 "$work/log"; echo "Examples/pytest: failed"; exit 1; }
echo "Examples/pytest: $(tail -1 "$work/log")"
if env -u MCP_HOST_PREFIX PATH="$environment/bin" "$environment/bin/pip" install --force-reinstall --no-deps ./Python > "$work/log" 2>&1; then
  echo "pip install ./Python without Swift has to fail"; exit 1
fi
grep -q "there is no .swift. here" "$work/log" || { tail -20 "$work/log"; echo "pip does not say that Swift is missing"; exit 1; }

if [ "$tested" -lt 3 ]; then echo "only $tested versions of CPython are here; three are needed"; exit 1; fi
if [ -n "$missing" ]; then echo "not here: CPython$missing"; fi

checks=$work/checks
"$any" -m venv "$checks"
"$checks/bin/pip" -q install mypy ruff "pytest>=9"
for version in 3.10 3.11 3.12 3.13 3.14; do (cd Python && "$checks/bin/mypy" --no-error-summary --cache-dir "$work/mypy" --python-version "$version" src); done
(cd Python && "$checks/bin/ruff" check --no-cache .)
lines=$(cat Python/src/pytest_mcp_host/*.py | grep -cv '^ *$')
echo "mypy --strict and ruff have no complaint; $lines lines, empty ones aside"
if [ "$lines" -ge 1500 ]; then echo "the plugin is to stay under 1500"; exit 1; fi
