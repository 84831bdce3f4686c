#!/bin/bash
# Builds evproxy by every compiler that is installed, without TLS and with it,
# each warning an error, and runs what it has built. What is for arm64 is run by
# qemu-user, and so are the unit and fault tests and some end-to-end tests. make
# toolchains calls it.
#
#   MAKE=make tests/toolchains.sh FOLDER      last line: "N passed, N failed"
#
# On Debian: any of gcc-11 and later, clang-14 and later, musl-tools; and
# gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user openssl, with
# libssl-dev:arm64 and libcmocka-dev:arm64, for which
# "dpkg --add-architecture arm64" is needed.
set -uo pipefail
cd "$(dirname "$0")/.."

folder=$1
passed=0
failed=0
runner= # runs a program that is not for this machine

# attempt WHAT COMMAND...: counts it, and shows the words of one that fails. Of
# tests it shows how many have passed, and what they have skipped.
attempt() {
    local what=$1
    shift
    if "$@" >"$folder/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok: $what"
        grep -E '^(skipped: |[a-z0-9]+: [0-9]+ programs, )' "$folder/log"
        return 0
    fi
    failed=$((failed + 1))
    echo "failed: $what"
    tail -n 20 "$folder/log"
    return 1
}

# compilers PATTERN: one name for each version that is installed
compilers() {
    local name
    for name in $(compgen -c | grep -xE "$1" | sort -urV); do
        echo "$name $("$name" --version | sed -n '1s/^[^ ]* //p')"
    done | sort -u -k 2 | cut -d ' ' -f 1 | sort -V
}

# has COMPILER HEADER LIBRARY...: whether it finds them
has() {
    echo 'int main(void) { return 0; }' |
        "$1" -include "$2" -o "$folder/none" -x c - "${@:3}" 2>/dev/null
}

# has_tls COMPILER
has_tls() {
    has "$1" openssl/ssl.h -lssl -lcrypto
}

# make_with COMPILER TLS TARGET...: TLS is 1 or empty, here and below
make_with() {
    $MAKE CC="$1" BUILD="$(out_of "$1" "$2")" WERROR=1 TLS="$2" "${@:3}"
}

out_of() {
    echo "$folder/$1${2:+-tls}"
}

build() {
    local what="$1${2:+, TLS=1}" evproxy
    evproxy=$(out_of "$1" "$2")/evproxy
    attempt "$what" make_with "$1" "$2" "$evproxy" &&
        attempt "$what: it runs" $runner "$evproxy" -V
}

build_both() {
    build "$1" ''
    if has_tls "$1"; then
        build "$1" 1
    else
        echo "skipped: $1, TLS=1: it finds no OpenSSL"
    fi
}

# run_tests COMPILER TLS: with what was built. No upgrade is among them: the
# kernel would run the new binary without the runner.
run_tests() {
    local what="$1${2:+, TLS=1}" out programs
    out=$(out_of "$1" "$2")
    programs=$(printf " $out/tests/e2e/test_%s" bytes udp \
        ${2:+tls_handshake tls_upstream})
    printf '#!/bin/sh\nexec %s "$@"\n' "$runner $(realpath "$out")/evproxy" \
        >"$out/run"
    chmod +x "$out/run"
    attempt "$what: configurations" tests/check_samples.sh "$out/run"
    if ! has "$1" stddef.h -lcmocka; then
        echo "skipped: $what: tests: it finds no cmocka"
        return
    fi
    export EVPROXY_TEST_SLOW=1 TEST_RUNNER=$runner EVPROXY=$out/run
    attempt "$what: unit and fault tests" make_with "$1" "$2" unit fault
    attempt "$what: end-to-end tests are built" \
        make_with "$1" "$2" $programs &&
        attempt "$what: end-to-end tests" tests/run.sh $programs
}

mkdir -p "$folder"
for compiler in $(compilers '(gcc|clang)(-[0-9]+)?') $(compilers musl-gcc); do
    build_both "$compiler"
done

runner=qemu-aarch64
# Where arm64's own libc is not installed, that of the cross compiler is taken.
if [ ! -e /lib/ld-linux-aarch64.so.1 ]; then
    runner+=' -L /usr/aarch64-linux-gnu'
fi
cross=aarch64-linux-gnu-gcc
if command -v $cross >/dev/null && command -v qemu-aarch64 >/dev/null; then
    for compiler in $(compilers "$cross(-[0-9]+)?"); do
        build_both "$compiler"
    done
    run_tests "$compiler" "$(has_tls "$compiler" && echo 1)"
else
    echo "skipped: $cross: it or qemu-user is not installed"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
