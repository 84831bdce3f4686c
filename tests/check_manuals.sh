#!/bin/bash
# The manual pages are mdoc without warnings.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v mandoc >/dev/null; then
    echo 'mandoc is not installed: the manual pages were not checked'
    exit 0
fi
mandoc -T lint -W warning conf/evproxy.8 conf/evproxy.ini.5 \
    conf/evproxy-metrics.7 conf/evproxy-migrate.7 conf/evproxy-scale.7
