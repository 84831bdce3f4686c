#!/bin/bash
# The picture of the status page in the README: picture.sh [FILE [WIDTH HEIGHT]]
# Needs chromium, nginx, pngquant, and the font Inter (fonts-inter).
EVPROXY=none
. "${0%/*}/../lib.sh"
need chromium nginx pngquant

file=$(realpath "${1:-${0%/*}/../../../conf/status-page.png}")
cd "${0%/*}" || exit 1
port=$(free_port)
mkdir "$dir/www"
cp picture.html fixture.js ../../../src/control/page/status.html "$dir/www"
echo '{"stats": {"uptime_s": 1e9}}' >"$dir/www/status.json"
start_nginx "$port" <<TEXT
    types { text/html html; text/javascript js; application/json json; }
    server { listen 127.0.0.1:$port; }
TEXT

mkdir -p "$dir/config/fontconfig"
cat >"$dir/config/fontconfig/fonts.conf" <<TEXT
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <alias>
    <family>sans-serif</family>
    <prefer><family>Inter</family></prefer>
  </alias>
</fontconfig>
TEXT

# DARK=1: the dark one
XDG_CONFIG_HOME=$dir/config chromium --headless=new --disable-gpu --hide-scrollbars --no-sandbox \
    --disable-dev-shm-usage --user-data-dir="$dir/profile" \
    --window-size="${2:-1440},${3:-1130}" --virtual-time-budget=9000 \
    --run-all-compositor-stages-before-draw \
    --blink-settings=preferredColorScheme=$([ -n "${DARK:-}" ] && echo 0 ||
        echo 1) \
    --screenshot="$dir/page.png" "http://127.0.0.1:$port/picture.html" \
    >"$dir/chromium.log" 2>&1
pngquant --force --speed 1 --strip --output "$file" 64 "$dir/page.png"
ls -l "$file"
