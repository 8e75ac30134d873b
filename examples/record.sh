#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Write docs/quickstart-output.txt: the quickstart's output, then averages over 20 random splits (about ten minutes), run
# twice to see that the figures are the same from run to run.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
record=$(mktemp) first=$(mktemp) second=$(mktemp)
trap 'rm -f "$record" "$first" "$second"' EXIT
{
    echo '$ sh examples/quickstart.sh'
    sh examples/quickstart.sh
    echo
    echo '$ sh examples/quickstart.sh --splits 20'
} >"$record"
sh examples/quickstart.sh --splits 20 >"$first"
sh examples/quickstart.sh --splits 20 >"$second"
cmp "$first" "$second"
cat "$record" "$first" >docs/quickstart-output.txt
