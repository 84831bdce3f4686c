#!/bin/bash
# Builds evproxy, without TLS and with gcc and clang with it, by every compiler
# that is installed, each warning an error. It runs what it has built, by
# qemu-user if it is for arm64. make toolchains calls it.
#
#   MAKE=make tests/toolchains.sh FOLDER      last line: "N passed, N failed"
#
# On Debian: gcc-11 gcc-12 clang-14 clang-16 clang-19 musl-tools
# gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user.
set -uo pipefail
cd "$(dirname "$0")/.."

folder=$1
passed=0
failed=0

# attempt WHAT COMMAND...: counts it, and shows the words of one that fails
attempt() {
    local what=$1
    shift
    if "$@" >"$folder/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok: $what"
    else
        failed=$((failed + 1))
        echo "failed: $what"
        tail -n 20 "$folder/log"
    fi
}

# build COMPILER [RUNNER...]
build() {
    local compiler=$1 out=$folder/${1##*/}
    shift
    if ! command -v "$compiler" >/dev/null; then
        echo "skipped: $compiler: it is not installed"
        return
    fi
    attempt "$compiler" $MAKE CC="$compiler" BUILD="$out" WERROR=1 "$out/evproxy"
    attempt "$compiler: it runs" "$@" "$out/evproxy" -V
    case $compiler in
    gcc* | clang*)
        attempt "$compiler, TLS=1" \
            $MAKE CC="$compiler" BUILD="$out-tls" WERROR=1 TLS=1 "$out-tls/evproxy"
        ;;
    esac
}

mkdir -p "$folder"
for compiler in gcc gcc-{11,12,13,14,15} clang clang-{14..20} musl-gcc; do
    build "$compiler"
done
build aarch64-linux-gnu-gcc qemu-aarch64 -L /usr/aarch64-linux-gnu
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
