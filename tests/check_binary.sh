#!/bin/bash
# The binary has what conf/make/harden.mk asks for.
#
#   tests/check_binary.sh BINARY OBJECT...
set -euo pipefail
export LC_ALL=C

binary=$1
shift
status=0

# need WHAT COMMAND...: fails unless the command succeeds
need() {
    local what=$1
    shift
    if ! "$@" >/dev/null; then
        echo "$binary: $what" >&2
        status=1
    fi
}

# shows PATTERN PART: whether that part of readelf's words matches
shows() {
    grep -Eq "$1" <<<"$2"
}

lacks() {
    ! shows "$@"
}

header=$(readelf -hW "$binary")
segments=$(readelf -lW "$binary")
dynamic=$(readelf -dW "$binary")
symbols=$(readelf -sW "$binary")

need 'it is not position-independent' shows 'Type: +DYN' "$header"
need 'it is not position-independent' shows 'FLAGS_1.* PIE' "$dynamic"
need 'it has no RELRO segment' shows 'GNU_RELRO' "$segments"
need 'it binds symbols late' shows 'BIND_NOW|FLAGS_1.* NOW' "$dynamic"
need 'its stack is executable' shows 'GNU_STACK .* RW +0x' "$segments"
need 'a segment is writable and executable' lacks ' RWE ' "$segments"
need 'it looks for libraries at a fixed path' lacks 'R(UN)?PATH' "$dynamic"
need 'it has no build ID' shows 'NT_GNU_BUILD_ID|Build ID' \
    "$(readelf -nW "$binary")"
need 'its stacks are not protected' shows '__stack_chk_fail' "$symbols"
if ldd "$binary" 2>/dev/null | grep -q 'libc\.so\.6'; then # not so in musl
    need 'sizes are not checked (_FORTIFY_SOURCE)' shows '_chk@' "$symbols"
fi

# A large frame is touched page by page, and a place that is jumped to is marked.
case $(uname -m) in
x86_64)
    clash='sub +\$0x1000,%rsp'
    marks='IBT, SHSTK'
    ;;
aarch64)
    clash='str +xzr, \[sp, #1024\]'
    marks='BTI, PAC'
    ;;
esac
if [ -n "${clash:-}" ]; then
    need 'large frames are not probed' grep -Eq "$clash" \
        <(objdump -d --no-show-raw-insn "$binary")
    for object in "$@"; do
        need "$object lacks the marks $marks" shows "$marks" \
            "$(readelf -nW "$object")"
    done
fi
exit $status
