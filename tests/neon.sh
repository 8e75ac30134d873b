#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The AArch64 build under an emulator, by hand (about half an hour): sh tests/neon.sh [Meson option…]. Cross-compiles, then
# runs kernel-check, kernel-ulp on a sample, and invar-tests on each table. Closes with a line "N passed, N failed".
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
. tests/support/setup.sh
command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || invar_install gcc-aarch64-linux-gnu libc6-dev-arm64-cross
command -v qemu-aarch64 >/dev/null 2>&1 || invar_install qemu-user
build=${BUILD:-$here/build-neon}
invar_configure "$build" --cross-file tests/support/aarch64-linux-gnu.ini -Dtests=enabled -Dexamples=disabled \
    -Dbench=enabled -Dblas=builtin "$@"
ninja -C "$build" all tests/kernel-ulp >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }

export INVAR_SOURCE="$here" QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
log=$build/neon.log
# A process that had threads, and then a thread in its child, is more than qemu-user 7.2 can emulate: it ends by an
# assertion of its own (qemu_plugin_vcpu_init_hook) in a program of ten lines as well.
beyond='parallel\.(a_context_works_on_after_fork_in_child_and_parent|a_fork_while_another_thread_works'
beyond="$beyond|threads_that_cannot_be_started_are_done_without)"
passed=0 failed=0
# run PROGRAM [ARGUMENT...]: one more that passed or failed; tests that the emulator itself broke do not count
run() {
    echo "== $*"
    program=$1 status=0
    shift
    qemu-aarch64 "$build/tests/$program" "$@" >"$log" 2>&1 || status=$?
    cat "$log"
    if [ $status -eq 1 ] && grep -q qemu_plugin_vcpu_init_hook "$log" && grep -q '^[0-9]* passed' "$log" &&
        ! grep '^FAILED' "$log" | grep -q -v -E "^FAILED $beyond\$"; then
        echo "not counted: $(grep -c '^FAILED' "$log") tests beyond the emulator"
        status=0
    fi
    [ $status -eq 0 ] && passed=$((passed + 1)) || failed=$((failed + 1))
}

run kernel-check -v
run kernel-ulp -s
for kernels in $(qemu-aarch64 "$build/tests/kernel-check" -l); do
    export INVAR_KERNELS="$kernels"
    echo "kernels: $kernels"
    run invar-tests
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
