#!/bin/sh
# Builds mcp-host for use, with nothing that it needs of Swift at run time, and puts it in place with its manual and shell completions.
#
#     Scripts/install.sh [PREFIX]        default ~/.local; DESTDIR is put before it, for packages
set -eu

cd "$(dirname "$0")/.."
prefix=${1:-$HOME/.local}
case $prefix in /*) ;; *) echo "install.sh: PREFIX has to be an absolute path, not \"$prefix\"" >&2; exit 64 ;; esac
root=${DESTDIR:-}$prefix

# On macOS the system has Swift's run-time library.
# A command is not part of a group of services, so it needs nothing of what groups them.
flags="-c release --disable-default-traits"
# Nobody looks for symbols in these programs, and functions that are the same need to be there once.
if [ "$(uname)" = Linux ]; then flags="$flags --static-swift-stdlib -Xswiftc -Osize -Xlinker --no-export-dynamic -Xlinker --icf=safe"; fi
# shellcheck disable=SC2086  # several words
for product in mcp-guard mcp-zoo mcp-host; do swift build $flags --product "$product"; done
# shellcheck disable=SC2086
built=$(swift build $flags --show-bin-path)

mkdir -p "$root/bin" "$root/libexec" "$root/share/bash-completion/completions" "$root/share/zsh/site-functions" \
    "$root/share/fish/vendor_completions.d" "$root/share/man/man1"
install -m 755 "$built/mcp-host" "$built/mcp-zoo" "$root/bin/"
# Nobody calls it by hand: mcp-host looks for it here.
install -m 755 "$built/mcp-guard" "$root/libexec/"
if [ "$(uname)" = Linux ]; then strip "$root/bin/mcp-host" "$root/bin/mcp-zoo" "$root/libexec/mcp-guard"; fi
"$root/bin/mcp-host" completions bash > "$root/share/bash-completion/completions/mcp-host"
"$root/bin/mcp-host" completions zsh > "$root/share/zsh/site-functions/_mcp-host"
"$root/bin/mcp-host" completions fish > "$root/share/fish/vendor_completions.d/mcp-host.fish"
swift package plugin generate-manual
install -m 644 .build/plugins/GenerateManual/outputs/mcp-host/mcp-host.1 "$root/share/man/man1/"

# It works where it is: a call, and proof that nothing is left.
(cd / && "$root/bin/mcp-host" call demo add a=1 b=2 --report)
case :$PATH: in *:"$prefix/bin":*) ;; *) echo "install.sh: $prefix/bin is not in PATH" >&2 ;; esac
