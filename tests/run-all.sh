#!/bin/sh
# Run the whole suite in six processes at once: whole devnets; networks and pools of several processes; real chain daemons, a
# browser and what spans machines; the books on PostgreSQL, and on SQLite; and everything else. Divided so that they end at
# about the same time. Exit 1 when any fails; the reports of all but the last come last. What is marked nightly is no part of
# it. Usage: run-all.sh PYTEST
set -u
several="tests/devnet/test_devnet_front_ends.py tests/devnet/test_devnet_haproxy.py tests/devnet/test_devnet_roles.py"
machines="tests/devnet/test_devnet_machines.py tests/network/test_network_split_roles.py"
reports=$(mktemp -d)
processes=
ignored=
for file in $several $machines; do
  ignored="$ignored --ignore=$file"
done
"$1" tests/devnet $ignored >"$reports/1" 2>&1 &
processes="$processes $!"
"$1" tests/network $several --ignore=tests/network/test_network_split_roles.py >"$reports/2" 2>&1 &
processes="$processes $!"
"$1" tests/nodes tests/monitoring tests/browser tests/tables tests/soak $machines >"$reports/3" 2>&1 &
processes="$processes $!"
"$1" tests/storage -k postgresql >"$reports/4" 2>&1 &
processes="$processes $!"
"$1" tests/storage -k "not postgresql" >"$reports/5" 2>&1 &
processes="$processes $!"
trap 'kill $processes 2>/dev/null; rm -rf "$reports"; exit 1' INT TERM
status=0
"$1" --ignore=tests/devnet --ignore=tests/network --ignore=tests/nodes --ignore=tests/monitoring --ignore=tests/browser \
  --ignore=tests/tables --ignore=tests/soak --ignore=tests/storage || status=1
for process in $processes; do
  wait "$process" || status=1
done
cat "$reports/1" "$reports/2" "$reports/3" "$reports/4" "$reports/5"
rm -rf "$reports"
exit "$status"
