#!/usr/bin/env bash
# The C sources: through clang's analyzer, and against a C library that is not glibc, whose headers have none of its extensions. Installs musl's
# headers where it may; without them that part is skipped with a message.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=(Sources/CMCPProcess/*.c Sources/mcp-guard/*.c Sources/mcp-zoo/*.c Tests/CTestSupport/*.c)
include=(-ISources/CMCPProcess/include -ITests/CTestSupport/include)

for source in "${sources[@]}"; do
  clang --analyze --analyzer-output text -Xclang -analyzer-werror -Wall -Wextra -Werror "${include[@]}" "$source" -o /dev/null
done
echo "${#sources[@]} files: clang's analyzer has no complaint"

musl=/usr/include/$(uname -m)-linux-musl
if [ ! -d "$musl" ] && [ "$(uname)" = Linux ] && command -v apt-get > /dev/null; then
  { apt-get update -qq && apt-get install -y -qq musl-dev; } > /dev/null 2>&1 || true
fi
if [ ! -d "$musl" ]; then
  echo "skipped: musl's headers are not there"
  exit 0
fi
for source in "${sources[@]}"; do
  # The kernel's own headers are the same for all C libraries.
  clang --target="$(uname -m)-linux-musl" -nostdlibinc -isystem "$musl" -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
    -fsyntax-only -Wall -Wextra -Werror "${include[@]}" "$source"
done
echo "${#sources[@]} files: they compile against musl"
