#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each file of lib/ includes only from its own folder and from lower floors. `layers.sh DIRECTORY` checks another tree;
# without argument it checks lib/ and, first, that it notices a violation.
set -eu

floor_of() {
    case $1 in
    base) echo 1 ;;
    kernel | data) echo 2 ;;
    model) echo 3 ;;
    learn | compose) echo 4 ;;
    kinds) echo 5 ;;
    evaluate | store) echo 6 ;;
    *) echo 0 ;;
    esac
}

# room_of lib/learn/tree/grow.c -> learn; lib/kinds.c -> kinds
room_of() {
    echo "$1" | sed -e 's|^[^/]*/||' -e 's|/.*||' -e 's|\.[ch]$||'
}

check_tree() {
    bad=0
    for file in $(cd "$1" && find lib -name '*.[ch]' | sort); do
        room=$(room_of "$file")
        floor=$(floor_of "$room")
        if [ "$floor" -eq 0 ]; then
            echo "$file: no floor for '$room'"
            bad=1
        fi
        for included in $(sed -n 's|^#include "\([^"]*\)".*|\1|p' "$1/$file"); do
            other=$(room_of "lib/$included")
            [ "$other" = "$room" ] && continue
            # the registry may name every kind; floor 4 and below may not name each other's rooms
            if [ ! -f "$1/lib/$included" ] || [ "$(floor_of "$other")" -ge "$floor" ] || [ "$(floor_of "$other")" -eq 0 ]; then
                echo "$file (floor $floor) includes $included"
                bad=1
            fi
        done
    done
    return $bad
}

if [ $# -gt 0 ]; then
    check_tree "$1"
    exit
fi

here=$(cd "$(dirname "$0")/../.." && pwd)
trap 'rm -rf "$fake"' EXIT
fake=$(mktemp -d)
mkdir -p "$fake/lib/base" "$fake/lib/model"
echo '#include "model/model.h"' >"$fake/lib/base/memory.c"
: >"$fake/lib/model/model.h"
if check_tree "$fake" >/dev/null; then
    echo "an include from a higher floor was not noticed"
    echo "0 passed, 1 failed"
    exit 1
fi
if check_tree "$here"; then
    echo "2 passed, 0 failed"
else
    echo "1 passed, 1 failed"
    exit 1
fi
