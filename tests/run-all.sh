#!/bin/sh
# Run the whole suite in two processes at once: what starts real daemons and pools, which mostly waits for them, beside
# everything else, which mostly computes. Exit 1 when either fails; the daemons' report comes last. Usage: run-all.sh PYTEST
set -u
report=$(mktemp)
"$1" tests/devnet tests/nodes >"$report" 2>&1 &
daemons=$!
trap 'kill "$daemons" 2>/dev/null; rm -f "$report"; exit 1' INT TERM
status=0
"$1" --ignore=tests/devnet --ignore=tests/nodes || status=1
wait "$daemons" || status=1
cat "$report"
rm -f "$report"
exit "$status"
