#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# parameters.sh BUILD: docs/parameters.md is what the parameter tables say now.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
"$1/tests/print-parameters" >"$1/parameters.md"
diff -u "$here/docs/parameters.md" "$1/parameters.md" || {
    echo "docs/parameters.md is stale: $1/tests/print-parameters >docs/parameters.md"
    exit 1
}
