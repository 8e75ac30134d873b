#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The library used from outside: as a Meson subproject, and installed, static and shared, through pkg-config; the shared
# one exports exactly the functions that the headers declare.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/host.c" <<'C'
#include <invar/ml.h>
int main(void)
{
    ml_dataset *data;
    ml_model *model;
    int bad = ml_dataset_make(NULL, "blobs", "n_samples=60", &data) || ml_model_create(NULL, "random_forest", &model) ||
              ml_model_fit(model, data, NULL);
    ml_model_free(model);
    ml_dataset_free(data);
    return bad;
}
C

mkdir -p "$work/project/subprojects"
ln -s "$here" "$work/project/subprojects/invar"
cp "$work/host.c" "$work/project"
cat >"$work/project/meson.build" <<'M'
project('host', 'c')
executable('host', 'host.c', dependencies: dependency('invar', fallback: 'invar'))
M
meson setup "$work/project/build" "$work/project" --force-fallback-for=invar
ninja -C "$work/project/build"
"$work/project/build/host"
echo "subproject: ok"

for kind in static shared; do
    meson setup "$work/$kind" "$here" -Dtests=disabled -Dexamples=disabled -Ddefault_library=$kind \
        --prefix="$work/prefix-$kind" --libdir=lib
    meson install -C "$work/$kind"
    flags=$(PKG_CONFIG_PATH="$work/prefix-$kind/lib/pkgconfig" pkg-config --cflags --libs \
        $([ $kind = static ] && echo --static) invar)
    # shellcheck disable=SC2086
    cc -std=c99 -o "$work/host-$kind" "$work/host.c" $flags
    LD_LIBRARY_PATH="$work/prefix-$kind/lib" "$work/host-$kind"
    echo "pkg-config, $kind: ok"
done
sh "$here/tests/checks/symbols.sh" "$work/shared"
