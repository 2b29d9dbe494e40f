#!/bin/sh
# Run the whole suite in three processes at once: real chain daemons and Prometheus beside whole devnets, which mostly wait
# for each other, beside everything else, which mostly computes. Exit 1 when any fails; the reports of the first two come
# last. Usage: run-all.sh PYTEST
set -u
reports=$(mktemp -d)
processes=
"$1" tests/devnet >"$reports/1" 2>&1 &
processes="$processes $!"
"$1" tests/nodes tests/monitoring >"$reports/2" 2>&1 &
processes="$processes $!"
trap 'kill $processes 2>/dev/null; rm -rf "$reports"; exit 1' INT TERM
status=0
"$1" --ignore=tests/devnet --ignore=tests/nodes --ignore=tests/monitoring || status=1
for process in $processes; do
  wait "$process" || status=1
done
cat "$reports/1" "$reports/2"
rm -rf "$reports"
exit "$status"
