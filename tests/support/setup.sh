# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts: makes sure that a C compiler, Meson (>= 1.0) and Ninja are there. As root on Debian it installs
# what is missing, otherwise it names the packages. Sets nothing; ends the script when it cannot go on.

invar_missing_tools() {
    missing=
    command -v "${CC:-cc}" >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 ||
        missing="$missing gcc libc6-dev"
    command -v meson >/dev/null 2>&1 || missing="$missing meson"
    command -v ninja >/dev/null 2>&1 || missing="$missing ninja-build"
    command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
    echo "$missing"
}

# invar_install PACKAGE...: install Debian packages, or say that they are needed
invar_install() {
    [ $# -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "missing packages; on Debian: apt-get install $*" >&2
        exit 1
    fi
    echo "installing: $*" >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# shellcheck disable=SC2046
invar_install $(invar_missing_tools)

case $(meson --version) in
0.*)
    echo "Meson $(meson --version) is too old, 1.0 or later is needed" >&2
    exit 1
    ;;
esac

# invar_configure DIRECTORY OPTION...: a build directory with these options, made anew when they changed
invar_configure() {
    directory=$1
    shift
    if [ ! -f "$directory/build.ninja" ] || [ "$(cat "$directory/invar-options" 2>/dev/null)" != "${CC:-} $*" ]; then
        rm -rf "$directory"
        if ! meson setup "$directory" "$@" >"$directory.log" 2>&1; then
            cat "$directory.log" >&2
            exit 1
        fi
        echo "${CC:-} $*" >"$directory/invar-options"
    fi
    rm -f "$directory.log"
}
