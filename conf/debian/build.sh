#!/bin/bash
# Makes evproxy_VERSION_ARCH.deb and evproxy-dbgsym_VERSION_ARCH.deb in FOLDER, by
# dpkg-deb alone. make deb calls it, after FOLDER/build/evproxy is built.
#
#   MAKE=make conf/debian/build.sh VERSION FOLDER
set -euo pipefail
umask 022
cd "$(dirname "$0")/../.."

version=$1
folder=$2
files=conf/debian
arch=$(dpkg --print-architecture)
maintainer=$(sed -n 's/^ -- \(.*>\)  .*/\1/p' $files/changelog)
date=$(sed -n 's/^ -- .*>  //p' $files/changelog)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$date" +%s)}

# The packages of the libraries that the binary names; of libc the version whose
# symbols it needs.
depends() {
    local glibc list
    glibc=$(readelf -sW "$1" | grep -oE '@GLIBC_[0-9.]+' | sed 's/.*_//' |
        sort -V | tail -n 1)
    list="libc6 (>= $glibc)"
    ldd "$1" | awk '/libssl|libcrypto/ { print $3 }' | while read -r library; do
        dpkg -S "$library" "$(realpath "$library")" 2>/dev/null || true
    done | sed 's/:.*//' | sort -u >"$folder/libraries"
    while read -r package; do
        list+=", $package (>= 3.0.0)"
    done <"$folder/libraries"
    echo "$list"
}

# control ROOT FIELD...: writes the control file, whose last fields are given
control() {
    local root=$1
    shift
    mkdir -p "$root/DEBIAN"
    {
        printf 'Version: %s\nArchitecture: %s\nMaintainer: %s\n' \
            "$version" "$arch" "$maintainer"
        printf 'Installed-Size: %s\n' "$(du -k -s "$root" | cut -f 1)"
        printf '%s\n' "$@"
    } >"$root/DEBIAN/control"
}

# pack ROOT: every file is as old as the changelog's entry
pack() {
    (cd "$1" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' |
        sort -z | xargs -0 md5sum) >"$1/DEBIAN/md5sums"
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group --build "$1" "$folder" >/dev/null
}

main_package() {
    local root=$folder/evproxy doc=$folder/evproxy/usr/share/doc/evproxy
    rm -rf "$root"
    $MAKE -s install BUILD="$folder/build" TLS=1 PREFIX=/usr DESTDIR="$root" \
        INITIAL=$files/evproxy.ini >/dev/null
    strip --remove-section=.comment --remove-section=.note \
        "$root/usr/sbin/evproxy"
    gzip -9n "$root"/usr/share/man/*/*
    sed "s/@VERSION@/$version/" $files/changelog | gzip -9n >"$doc/changelog.gz"
    {
        cat $files/copyright
        sed -n 's/^Copyright (c) /Copyright: /p' LICENSE
        echo 'License: Expat'
        sed '1,/^Copyright/d; /./!d; s/^/ /' LICENSE
    } >"$doc/copyright"
    install -D -m 644 $files/ufw "$root/etc/ufw/applications.d/evproxy"
    install -D -m 644 $files/overrides \
        "$root/usr/share/lintian/overrides/evproxy"
    control "$root" "Package: evproxy" 'Section: net' 'Priority: optional' \
        'Pre-Depends: init-system-helpers (>= 1.54~)' \
        "Depends: $(depends "$root/usr/sbin/evproxy")" \
        "$(cat $files/description)"
    find "$root/etc" -type f -printf '/etc/%P\n' | sort \
        >"$root/DEBIAN/conffiles"
    install -m 755 $files/{preinst,postinst,prerm,postrm} "$root/DEBIAN"
    pack "$root"
}

# The debugger finds it by the build ID.
debug_package() {
    local root=$folder/evproxy-dbgsym id
    id=$(readelf -nW "$folder/build/evproxy" | sed -n 's/.*Build ID: //p')
    rm -rf "$root"
    mkdir -p "$root/usr/lib/debug/.build-id/${id:0:2}" "$root/usr/share/doc"
    objcopy --only-keep-debug --compress-debug-sections \
        "$folder/build/evproxy" \
        "$root/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
    chmod 644 "$root/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
    ln -s evproxy "$root/usr/share/doc/evproxy-dbgsym"
    control "$root" 'Package: evproxy-dbgsym' 'Source: evproxy' \
        'Section: debug' 'Priority: optional' 'Auto-Built-Package: debug-symbols' \
        "Build-Ids: $id" "Depends: evproxy (= $version)" \
        'Description: debug symbols for evproxy'
    pack "$root"
}

main_package
debug_package
ls "$folder"/*.deb
