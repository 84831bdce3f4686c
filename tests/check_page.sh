#!/bin/bash
# The status page's policy names the hashes of its script and its style, and no
# line of the page refers to another site.
set -euo pipefail
cd "$(dirname "$0")/.."

page=src/control/page/status.html
status=0

# hash_of TAG: of the text between <TAG> and </TAG>, as a policy writes it
hash_of() {
    local text hex
    text=$(sed -n "/^<$1>\$/,/^<\/$1>\$/p" $page | sed '1d;$d')
    hex=$(printf '\n%s\n' "$text" | sha256sum | cut -d ' ' -f 1)
    printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")" | base64
}

for tag in script style; do
    hash=$(hash_of $tag)
    if ! grep -qF "$tag-src 'sha256-$hash'" $page; then
        echo "$page: the policy's $tag-src should be 'sha256-$hash'" >&2
        status=1
    fi
done

# The name space of SVG is a name, not an address.
if grep -n '\(https\?:\)\?//[a-z]' $page | grep -v 'http://www.w3.org/2000/svg'
then
    echo "$page: refers to another site" >&2
    status=1
fi
if grep -nE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write' $page; then
    echo "$page: makes markup of text" >&2
    status=1
fi
exit $status
