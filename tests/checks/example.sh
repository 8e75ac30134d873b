#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# example.sh BUILD: the quickstart runs on a small table, twice with the same figures, without control characters when
# redirected, README shows the first program as it is, and the table that is larger than the memory is learned from.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"
figures() { # everything but the timings
    "$1/examples/quickstart" examples/data/iris.csv --target target 2>&1 | awk '/^(mlp|forest|adaboost|gmm-mlp|ensemble) / { NF -= 2 } { print }'
}
figures "$1" >"$1/example-1.txt"
figures "$1" >"$1/example-2.txt"
cmp "$1/example-1.txt" "$1/example-2.txt"
grep -q 'bit-equal' "$1/example-1.txt"
if LC_ALL=C grep -q "$(printf '[\001-\010\013-\037]')" "$1/example-1.txt"; then
    echo "control characters in redirected output"
    exit 1
fi
"$1/examples/larger_than_memory" "$1/example.npy" >"$1/example-3.txt"
[ "$(grep -c '^cluster [0-3]: 25000 rows, 25000 of them of one blob$' "$1/example-3.txt")" -eq 4 ]
grep -q '^100000 rows of 64 features in 25600128 bytes, learned within 12000000 bytes of memory$' "$1/example-3.txt"
[ ! -e "$1/example.npy" ]
sed -n '/^#include/,$p' examples/first.c >"$1/first.txt"
awk '/^```c/ { on = 1; next } /^```/ { on = 0 } on' README.md | diff -u "$1/first.txt" - || {
    echo "README's program is not examples/first.c"
    exit 1
}
