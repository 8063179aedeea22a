#!/usr/bin/env bash
# What the public interface has lost since a release: fails on what breaks a program that was built against it.
# Usage: Scripts/check-api.sh TAG     nothing is checked, and said so, while there is no release.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-$(git describe --tags --abbrev=0 2> /dev/null || true)}
if [ -z "$tag" ]; then
  echo "no release yet: nothing to compare with"
  exit 0
fi
swift package diagnose-api-breaking-changes "$tag" --products MCPHost MCPClient MCPJSONSchema
