#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build and run all tests: sh tests/run.sh [Meson option…], for example -Dblas=builtin or -Db_sanitize=address,undefined.
# Closes with a line "N passed, N failed"; every program and check it runs counts. The library's tests run once on each table
# of kernels that the processor has, or on those of them that TABLES names, on as many at a time as there are processors.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
. tests/support/setup.sh
build=${BUILD:-$here/build-tests}
invar_configure "$build" -Dtests=enabled -Dexamples=enabled "$@"
ninja -C "$build" >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }

log=$build/tests.log
: >"$log"
export INVAR_SOURCE="$here" INVAR_BUILD="$build"
# run NAME COMMAND...: its output goes to the log and the screen; a command without a count is one check
run() {
    name=$1
    shift
    echo "== $name"
    status=0
    "$@" >"$log.part" 2>&1 || status=$?
    cat "$log.part"
    if ! grep -q -E '^[0-9]+ passed, [0-9]+ failed$' "$log.part"; then
        [ $status -eq 0 ] && echo "1 passed, 0 failed" >>"$log.part" || echo "0 passed, 1 failed" >>"$log.part"
    elif [ $status -ne 0 ] && ! grep -q -E '^[0-9]+ passed, [1-9][0-9]* failed$' "$log.part"; then
        echo "$name ended with status $status"
        echo "0 passed, 1 failed" >>"$log.part"
    fi
    cat "$log.part" >>"$log"
}

run "kernels" "$build/tests/kernel-check"
tables=
for kernels in $("$build/tests/kernel-check" -l); do
    case " ${TABLES:-$kernels} " in
    *" $kernels "*) tables="$tables $kernels" ;;
    esac
done
# Each writes a file of its own, whose text and status `run` then takes for those of the program.
# shellcheck disable=SC2016
printf '%s\n' $tables | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I TABLE sh -c \
    'INVAR_KERNELS=TABLE "$0/tests/invar-tests" >"$0/library-TABLE.log" 2>&1; echo $? >"$0/library-TABLE.status"' "$build"
for kernels in $tables; do
    run "library on $kernels" sh -c 'cat "$0.log"; exit "$(cat "$0.status")"' "$build/library-$kernels"
done
run "layers" sh tests/checks/layers.sh
run "symbols" sh tests/checks/symbols.sh "$build"
run "parameter table" sh tests/checks/parameters.sh "$build"
run "example" sh tests/checks/example.sh "$build"

awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
     END { printf "%d passed, %d failed\n", passed, failed; exit failed != 0 || passed == 0 }' "$log"
