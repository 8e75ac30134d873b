#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ours and theirs on the same data, in turn: sh bench/run.sh [job…] [--data DIR] [--repeats N] [--threads N] [--quick]
# [--write]; "sh bench/run.sh scaling" for growth with rows and threads; --list names the jobs. Peers come from Debian; as root
# they are installed, otherwise named, and what is absent is skipped. BENCH_INSTALL=no leaves the system as it is.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
. "$here/tests/support/setup.sh"

peers="python3-numpy python3-pandas python3-sklearn python3-torch python3-xgboost r-cran-ranger libfann-dev libopencv-ml-dev g++"
missing=
for package in $peers; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ] && [ "${BENCH_INSTALL:-yes}" = yes ] && command -v apt-get >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        invar_install $missing
        rm -rf "${BUILD:-$here/build-bench}" # so that the new peers are found
    else
        echo "absent peers; on Debian: apt-get install$missing" >&2
    fi
fi

build=${BUILD:-$here/build-bench}
( cd "$here" && invar_configure "$build" -Dbuildtype=release -Dtests=disabled -Dexamples=disabled -Dbench=enabled \
    ${INVAR_OPTIONS:-} ) >&2
ninja -C "$build" sides >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1
# Debian's own Python sees Debian's packages
exec "${PYTHON:-/usr/bin/python3}" "$here/bench/run.py" --build "$build" "$@"
