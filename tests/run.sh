#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build and run all tests: sh tests/run.sh [Meson option…], for example -Dblas=builtin or -Db_sanitize=address,undefined.
# Closes with a line "N passed, N failed"; every program and check it runs counts. The library's tests run once on each table
# of kernels that the processor has, or on those of them that TABLES names (best: the last of all), in parts, as many at a
# time as there are processors.
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

n_jobs=$(getconf _NPROCESSORS_ONLN)
jobs="kernel-check kernels"
tables=$("$build/tests/kernel-check" -l)
best=$(echo "$tables" | tail -n 1)
for kernels in $tables; do
    case " $(echo "${TABLES:-$kernels}" | sed "s/best/$best/") " in
    *" $kernels "*)
        for part in $(seq "$n_jobs"); do
            jobs="$jobs invar-tests $kernels:$part/$n_jobs"
        done
        ;;
    esac
done
# Each writes a file of its own, whose text and status `run` then takes for those of the program.
# shellcheck disable=SC2016,SC2086
printf '%s %s\n' $jobs | xargs -P "$n_jobs" -L 1 sh -c 'job=$(echo "$2" | tr :/ --)
    INVAR_KERNELS=${2%:*} INVAR_TEST_PART=${2#*:} "$0/tests/$1" >"$0/job-$job.log" 2>&1; echo $? >"$0/job-$job.status"' "$build"
# shellcheck disable=SC2086
set -- $jobs
while [ $# -gt 0 ]; do
    run "$1 $2" sh -c 'cat "$0.log"; exit "$(cat "$0.status")"' "$build/job-$(echo "$2" | tr :/ --)"
    shift 2
done
run "layers" sh tests/checks/layers.sh
run "symbols" sh tests/checks/symbols.sh "$build"
run "parameter table" sh tests/checks/parameters.sh "$build"
run "example" sh tests/checks/example.sh "$build"

awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
     END { printf "%d passed, %d failed\n", passed, failed; exit failed != 0 || passed == 0 }' "$log"
