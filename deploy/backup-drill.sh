#!/bin/sh
# Prove that a backup of this pool can be restored: back it up while it runs, restore the copy into a folder (and with
# PostgreSQL a server) of its own, audit the restored books, and find every transfer of theirs in the running ones.
# Nothing of the pool is changed, and the restored copy is never run.
#
#   deploy/backup-drill.sh CONFIG [BACKUP_FOLDER]        such as /etc/parapool/pool.yaml /backup
#
# With BACKUP_FOLDER the backup stays there, as docs/operating/backup.md has it. Exit 0: the restored books are good.
# The environment: POOL names the command (default: pool beside this folder's .venv, or in PATH); ROLE and DATA_DIR are
# the role and the data_dir of the process whose folder is backed up, where CONFIG serves several; PostgreSQL's own
# words (PGPASSFILE) hold. POSTGRESQL_PROGRAMS is the folder of pg_dump and initdb (default: the newest of Debian's).
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: backup-drill.sh CONFIG [BACKUP_FOLDER]" >&2
    exit 2
fi
config=$1
here=$(cd "$(dirname "$0")/.." && pwd)
pool=${POOL:-$(if [ -x "$here/.venv/bin/pool" ]; then echo "$here/.venv/bin/pool"; else echo pool; fi)}
python=$(dirname "$(command -v "$pool")")/python
scratch=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill -QUIT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' INT TERM
backup=${2:-$scratch/backup}
umask 077
mkdir -p "$backup"

# What the pool is: data_dir, its database's URL, and that URL and password as PostgreSQL's programs take them.
"$python" - "$config" "${ROLE:+pool.role=$ROLE}" "${DATA_DIR:+pool.data_dir=$DATA_DIR}" >"$scratch/pool" <<'PYTHON'
import shlex, sys
from sqlalchemy import URL, make_url
from pool.config.configuration import ConfigError, load
settings = dict(word.split("=", 1) for word in sys.argv[2:] if word)
try:
    config = load(sys.argv[1], settings)
except ConfigError as error:
    sys.exit(str(error))
url = make_url(config.database_url())
if config.pool.role == "stratum":
    sys.exit("backup-drill: a front end has no books; copy its shares/ and solutions/ (docs/operating/backup.md)")
words = {
    "data_dir": str(config.pool.data_dir.absolute()), "url": config.database_url(), "kind": url.get_backend_name(),
    "file": url.database or "", "database": "", "password": "",
}
if words["kind"] == "postgresql":
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    words |= {"database": plain.render_as_string(), "password": url.password or ""}
for name, value in words.items():
    print(f"{name}={shlex.quote(value)}")
PYTHON
. "$scratch/pool"
rm "$scratch/pool"

# programs: PostgreSQL's folder, of the newest version that has a server.
programs() {
    for folder in "${POSTGRESQL_PROGRAMS:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) "$(dirname "$(command -v initdb || echo /)")"; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_restore" ]; then echo "$folder"; return; fi
    done
    echo "backup-drill: the drill needs PostgreSQL's own programs (Debian: postgresql)" >&2
    exit 1
}

# start_server: one of our own, which listens on nothing but a socket in a folder of ours; restored_url is its database.
# It refuses to be root's.
start_server() {
    socket=$scratch/socket
    mkdir -p "$scratch/server" "$socket"
    as=
    if [ "$(id -u)" = 0 ]; then
        as="setpriv --reuid=nobody --regid=nogroup --clear-groups --"
        chmod 0711 "$scratch"
        chown nobody:nogroup "$scratch/server" "$socket"
    fi
    $as "$programs/initdb" -D "$scratch/server/data" -U drill -A trust -E UTF8 --locale=C --no-sync >"$scratch/initdb" 2>&1 || {
        cat "$scratch/initdb" >&2
        exit 1
    }
    $as "$programs/postgres" -D "$scratch/server/data" -c listen_addresses= -c "unix_socket_directories=$socket" \
        -c fsync=off -c full_page_writes=off >"$scratch/server.log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
        if "$programs/pg_isready" -q -h "$socket" -U drill; then break; fi
        kill -0 "$server" 2>/dev/null || { cat "$scratch/server.log" >&2; exit 1; }
        sleep 0.2
    done
    "$programs/createdb" -h "$socket" -U drill drill
    restored_url="postgresql+psycopg://drill@/drill?host=$socket"
}

# The database first, by its own backup: what the rest has more of, a start takes in.
case $kind in
postgresql)
    programs=$(programs)
    (
        if [ -n "$password" ]; then export PGPASSWORD="$password"; fi
        "$programs/pg_dump" --format=custom --no-owner --no-acl --file="$backup/pool.dump.part" --dbname="$database"
    )
    mv "$backup/pool.dump.part" "$backup/pool.dump"
    ;;
*)
    if [ ! -f "$file" ]; then
        echo "backup-drill: there are no books in $data_dir" >&2
        exit 1
    fi
    "$python" - "$file" "$backup/pool.sqlite" <<'PYTHON'
import sqlite3, sys
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=30)
target = sqlite3.connect(sys.argv[2])
with source, target:
    source.backup(target)
target.execute("PRAGMA journal_mode=DELETE")
target.close()
PYTHON
    ;;
esac
# A file that the pool removes meanwhile (a share log's segment that has had its time) is no failure: the books have it.
for folder in shares solutions front-ends payouts; do
    if [ -d "$data_dir/$folder" ]; then
        mkdir -p "$backup/$folder"
        cp -a "$data_dir/$folder/." "$backup/$folder/" 2>"$scratch/copy" || {
            grep -v "No such file" "$scratch/copy" >&2 && exit 1
        }
    fi
done
if [ -f "$data_dir/name" ]; then cp -a "$data_dir/name" "$backup/"; fi
echo "backed up $data_dir to $backup"

restored=$scratch/restored
cp -a "$backup" "$restored"
if [ "$kind" = postgresql ]; then
    start_server
    "$programs/pg_restore" --exit-on-error --no-owner --host="$socket" --username=drill --dbname=drill "$restored/pool.dump"
else
    restored_url="sqlite:///$restored/pool.sqlite"
fi
"$pool" ledger audit -c "$config" ${ROLE:+--set "pool.role=$ROLE"} --set "pool.data_dir=$restored" --set "pool.database_url=$restored_url"

URL=$url "$python" - "$restored_url" <<'PYTHON'
import os, sys
from sqlalchemy import select
from pool.storage.audit_views import snapshot
from pool.storage.tables import transfer_groups, transfers
with snapshot(sys.argv[1]) as restored, snapshot(os.environ["URL"]) as live:
    for table in (transfer_groups, transfers):
        count = lost = 0
        rows = restored.execution_options(yield_per=500).execute(select(table))
        for part in rows.partitions(500):
            wanted = {tuple(row) for row in part}
            there = live.execute(select(table).where(table.c.id.in_([row.id for row in part])))
            count, lost = count + len(wanted), lost + len(wanted - {tuple(row) for row in there})
        print(f"{table.name}: {count} restored, {count - lost} as in the running books")
        if lost:
            sys.exit(f"backup-drill: {lost} {table.name} of the restored books are not in the running ones")
PYTHON
if [ $# = 2 ]; then
    touch "$data_dir/last-backup" || {
        echo "backup-drill: the backup is good, but $data_dir/last-backup cannot be touched: monitoring will say that there was none" >&2
        exit 1
    }
fi
echo "the restored books are good"
