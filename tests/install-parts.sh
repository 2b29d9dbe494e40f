#!/bin/sh
# Install what the tests need beside Python: litecoind, PostgreSQL, Redis, Prometheus, Chromium, HAProxy, curl, sqlite3, a C
# compiler, node and npm from Debian, and from npm a bcoin node and a Stratum client that is not ours. Runs again at no cost when all is
# there. Exit 1 names what is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# missing: the Debian packages of the programs that are not there.
missing() {
    { command -v litecoind || test -x /usr/lib/litecoin/litecoind; } >/dev/null 2>&1 || printf ' litecoind'
    { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 || printf ' postgresql'
    command -v redis-server >/dev/null 2>&1 || printf ' redis-server'
    { command -v prometheus && command -v promtool; } >/dev/null 2>&1 || printf ' prometheus'
    command -v node >/dev/null 2>&1 || printf ' nodejs'
    command -v npm >/dev/null 2>&1 || printf ' npm'
    command -v chromium >/dev/null 2>&1 || printf ' chromium'
    command -v haproxy >/dev/null 2>&1 || printf ' haproxy'
    command -v curl >/dev/null 2>&1 || printf ' curl'
    command -v sqlite3 >/dev/null 2>&1 || printf ' sqlite3'
    command -v cc >/dev/null 2>&1 || printf ' gcc libc6-dev'
}

# give_up: name what is missing and how to get it.
give_up() {
    echo "the tests need these Debian packages:$packages" >&2
    echo "install them: apt-get install --no-install-recommends$packages" >&2
    exit 1
}

# install_packages: another apt at work is waited for; a machine without package lists gets them first.
install_packages() {
    # shellcheck disable=SC2086  # a list of words
    set -- -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 $packages
    apt-get install "$@" >/dev/null 2>&1 || { apt-get update -qq && apt-get install "$@" >/dev/null; }
}

packages=$(missing)
if [ -n "$packages" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then give_up; fi
    echo "installing$packages ..."
    export DEBIAN_FRONTEND=noninteractive
    install_packages || give_up
    packages=$(missing)
    if [ -n "$packages" ]; then give_up; fi
fi

# npm_part SOURCE TARGET: the locked packages of SOURCE in TARGET, once per content of SOURCE. No install script runs.
npm_part() {
    wanted=$(cd "$1" && find . -name node_modules -prune -o -type f -print | LC_ALL=C sort | xargs cksum)
    if [ "$(cat "$2/.installed" 2>/dev/null)" = "$wanted" ]; then return; fi
    echo "installing the npm packages of tests/nodes/$(basename "$1") ..."
    rm -rf "$2"
    mkdir -p "$2"
    cp -R "$1/." "$2/"
    (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) || {
        echo "the tests need the npm packages of tests/nodes/$(basename "$1"): \`npm ci\` failed, is there a network?" >&2
        exit 1
    }
    echo "$wanted" >"$2/.installed"
}
npm_part "$here/nodes/bcoin" "$here/nodes/.bcoin"
npm_part "$here/nodes/stratum-client" "$here/nodes/.bcoin/stratum-client"
