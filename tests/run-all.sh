#!/bin/sh
# Run the whole suite in three processes at once: whole devnets, which mostly wait; real chain daemons and a browser, which
# wait as well; and everything else, which mostly computes. Divided so that they end at about the same time. Exit 1 when any
# fails; the reports of the first two come last. Usage: run-all.sh PYTEST
set -u
reports=$(mktemp -d)
processes=
"$1" tests/devnet >"$reports/1" 2>&1 &
processes="$processes $!"
"$1" tests/nodes tests/monitoring tests/browser tests/tables >"$reports/2" 2>&1 &
processes="$processes $!"
trap 'kill $processes 2>/dev/null; rm -rf "$reports"; exit 1' INT TERM
status=0
"$1" --ignore=tests/devnet --ignore=tests/nodes --ignore=tests/monitoring --ignore=tests/browser --ignore=tests/tables \
  || status=1
for process in $processes; do
  wait "$process" || status=1
done
cat "$reports/1" "$reports/2"
rm -rf "$reports"
exit "$status"
