#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build a release and run the main job on the shipped tables, or on your file:
#     sh examples/quickstart.sh [my.csv --target column]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/tests/support/setup.sh"
build=${BUILD:-$here/build}
( cd "$here" && invar_configure "$build" -Dbuildtype=release -Dtests=disabled ${INVAR_OPTIONS:-} ) >&2
echo "building in $build" >&2
ninja -C "$build" >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }
# the shipped tables are found from any directory
[ "$PWD" = "$here" ] || export INVAR_SOURCE="$here"
exec "$build/examples/quickstart" "$@"
