#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Learning from a matrix file that is four times as large as the memory, by hand (some minutes and 1 GB of disk):
#     sh tests/larger_than_memory.sh [KIND…]
# Writes ROWS x COLUMNS doubles (2000000 x 64) to a file in TMPDIR, caps the address space of the process at a quarter of its
# size (ulimit -v) and fits each kind; the model must be, byte for byte, the one of a fit in memory without a cap, unless
# COMPARE=no. Kinds that copy the rows fail under the cap. "a+b" is a pipeline. Closes with a line "N passed, N failed".
# In full with standard_scaler, pca, kmeans, gmm, mini_batch_kmeans and standard_scaler+pca: 6 passed, 0 failed.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
. tests/support/setup.sh
build=${BUILD:-$here/build-memory}
invar_configure "$build" --buildtype=release -Dtests=enabled -Dexamples=disabled -Dblas=builtin
ninja -C "$build" tests/larger-than-memory >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }
program=$build/tests/larger-than-memory

[ $# -gt 0 ] || set -- standard_scaler pca kmeans gmm
rows=${ROWS:-2000000} columns=${COLUMNS:-64}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$program" write "$directory/x.npy" "$rows" "$columns"
cap=$((rows * columns * 8 / 1024 / 4))
echo "a file of $((rows * columns * 8 / 1000000)) MB, a cap of $((cap * 1024 / 1000000)) MB"

# seconds_of COMMAND...: what it took comes to stand in a file
seconds_of() {
    begin=$(date +%s)
    "$@" || return 1
    echo $(($(date +%s) - begin)) >"$directory/seconds"
}

passed=0 failed=0
for kind; do
    verdict=
    # an arena of malloc's own for each thread would reserve 64 MB of addresses that nothing uses
    if ! seconds_of env MALLOC_ARENA_MAX=1 sh -c 'ulimit -v "$1" && shift && exec "$@"' sh "$cap" \
        "$program" file "$directory/x.npy" "$kind" "$directory/file.model"; then
        verdict="does not fit under the cap"
    else
        seconds=$(cat "$directory/seconds")
        if [ "${COMPARE:-yes}" = yes ]; then
            seconds_of "$program" memory "$directory/x.npy" "$kind" "$directory/memory.model"
            cmp "$directory/file.model" "$directory/memory.model" || verdict="another model than in memory"
            in_memory=", $(cat "$directory/seconds") s in memory without cap"
        fi
    fi
    if [ -z "$verdict" ]; then
        passed=$((passed + 1))
        echo "$kind: $seconds s under the cap${in_memory:-}"
    else
        failed=$((failed + 1))
        echo "$kind: $verdict"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
