#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# symbols.sh BUILD: what the archive defines begins with ml_ (public) or ml__ (internal), the public symbols are exactly
# the ML_API functions of the headers, nothing it refers to prints, ends the process or touches the locale, and only
# memory.c calls the C allocator.
set -eu
build=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
archive=$(find "$build" -name 'libinvar.a' -o -name 'libinvar.so' | head -n 1)
passed=0 failed=0
verdict() { # verdict NAME OFFENDERS
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$1:"
        echo "$2" | sed 's/^/    /'
    fi
}

defined=$(nm -g --defined-only "$archive" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u)
# sanitizers add symbols of their own
foreign=$(echo "$defined" | grep -v -E '^(ml_|__asan|__odr_asan|__ubsan|__sanitizer|__gcov|__llvm|__start|__stop)' || true)
verdict "symbols without prefix" "$foreign"

declared=$(cat "$here"/include/invar/*.h | tr '\n' ' ' | grep -o -E 'ML_API [^;(]*\(' | grep -o -E 'ml_[a-z0-9_]+ *\($' |
    tr -d ' (' | sort -u)
public=$(echo "$defined" | grep -E '^ml_[^_]' || true)
list=$(mktemp)
echo "$declared" >"$list"
verdict "public symbols that no header declares" "$(echo "$public" | grep -v -x -F -f "$list" || true)"
echo "$public" >"$list"
verdict "declared functions that are not defined" "$(echo "$declared" | grep -v -x -F -f "$list" || true)"
rm -f "$list"

undefined=$(nm -u "$archive" 2>/dev/null | awk '$1 == "U" { print $2 }' | sed 's/@.*//' | sort -u)
forbidden='^(_*v?f?s?n?printf(_chk)?|puts|putchar|fputs|fwrite|perror|abort|exit|_exit|quick_exit|__assert_fail|s?rand(om)?(_r)?|setlocale|localeconv|getenv|signal|sigaction|strtod|strtof|strtol|strtoul|atof|atoi|sscanf|fopen|system|sleep|usleep)$'
verdict "references to functions the library must not call" "$(echo "$undefined" | grep -E "$forbidden" || true)"

case $archive in
*.a)
    users=$(nm -u -A "$archive" 2>/dev/null | grep -E ' U (malloc|calloc|realloc|free|aligned_alloc|posix_memalign)$' |
        grep -v 'memory\.c' || true)
    verdict "calls of the C allocator outside base/memory.c" "$users"
    ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
