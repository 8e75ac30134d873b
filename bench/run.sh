#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ours and theirs on the same data, in turn: sh bench/run.sh [job…] [--data DIR] [--write]; --help says the rest, --list
# names the jobs; `sh bench/run.sh accuracy` compares scores over several seeds instead, `sh bench/run.sh features` those of
# models with and without the features that a mixture makes, `sh bench/run.sh starts` where mixtures and clusters end, and
# `sh bench/run.sh steps` 50 steps of EM. Peers come from Debian: as root they are installed, otherwise named, and what is
# absent is left out.
# BENCH_INSTALL=no leaves the system as it is, BUILD=DIR says where to build, INVAR_OPTIONS how.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
. "$here/tests/support/setup.sh"

build=${BUILD:-$here/build-bench}
python=${PYTHON:-/usr/bin/python3} # Debian's own sees Debian's packages
peers="python3-numpy python3-pandas python3-sklearn python3-torch python3-xgboost r-cran-ranger r-cran-mclust libfann-dev libopencv-ml-dev
    libarmadillo-dev libopenblas0-pthread g++"
missing=
for package in $peers; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ] && [ "${BENCH_INSTALL:-yes}" = yes ]; then
    # shellcheck disable=SC2086
    if (invar_install $missing); then
        rm -rf "$build" # so that the new peers are found
    fi
fi

if ! "$python" -c 'import numpy' 2>/dev/null; then
    echo "bench: $python cannot import numpy, which makes the tables; on Debian: apt-get install python3-numpy" >&2
    exit 2
fi

( cd "$here" && invar_configure "$build" -Dbuildtype=release -Dtests=disabled -Dexamples=disabled -Dbench=enabled \
    ${INVAR_OPTIONS:-} ) >&2
ninja -C "$build" >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1
case ${1:-} in
accuracy | features | starts | steps)
    script=$1
    shift
    exec "$python" "$here/bench/$script.py" --build "$build" "$@"
    ;;
esac
exec "$python" "$here/bench/run.py" --build "$build" "$@"
