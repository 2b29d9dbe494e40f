#!/bin/sh
# Prove that a backup of this pool can be restored: back it up while it runs, restore the copy into a folder of its own,
# audit the restored books, and find every transfer of theirs in the running ones. Nothing of the pool is changed, and the
# restored copy is never run. For the books in SQLite; with PostgreSQL: docs/operating/postgresql.md.
#
#   deploy/backup-drill.sh CONFIG [BACKUP_FOLDER]        such as /etc/parapool/pool.yaml /backup
#
# With BACKUP_FOLDER the backup stays there, as docs/operating/backup.md has it. Exit 0: the restored books are good.
# POOL names the command (default: pool beside this folder's .venv, or in PATH); DATA_DIR another data_dir than CONFIG says.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: backup-drill.sh CONFIG [BACKUP_FOLDER]" >&2
    exit 2
fi
config=$1
here=$(cd "$(dirname "$0")/.." && pwd)
pool=${POOL:-$(if [ -x "$here/.venv/bin/pool" ]; then echo "$here/.venv/bin/pool"; else echo pool; fi)}
python=$(dirname "$(command -v "$pool")")/python
set_data_dir=${DATA_DIR:+pool.data_dir=$DATA_DIR}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
backup=${2:-$scratch/backup}
umask 077
mkdir -p "$backup"

data_dir=$("$python" - "$config" "$set_data_dir" <<'PYTHON'
import sys
from pool.config import ConfigError, load
key, _, value = sys.argv[2].partition("=")
try:
    config = load(sys.argv[1], {key: value} if key else {})
except ConfigError as error:
    sys.exit(str(error))
if config.pool.database_url is not None:
    sys.exit("backup-drill: this pool has pool.database_url; see docs/operating/postgresql.md")
print(config.pool.data_dir.absolute())
PYTHON
)
if [ ! -f "$data_dir/pool.sqlite" ]; then
    echo "backup-drill: there are no books in $data_dir" >&2
    exit 1
fi

# The database first, by its own backup: what the rest has more of, a start takes in.
"$python" - "$data_dir/pool.sqlite" "$backup/pool.sqlite" <<'PYTHON'
import sqlite3, sys
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=30)
target = sqlite3.connect(sys.argv[2])
with source, target:
    source.backup(target)
target.execute("PRAGMA journal_mode=DELETE")
target.close()
PYTHON
# A file that the pool removes meanwhile (a share log's segment that has had its time) is no failure: the books have it.
for folder in shares solutions payouts; do
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
"$pool" ledger audit -c "$config" --set "pool.data_dir=$restored"

"$python" - "$restored/pool.sqlite" "$data_dir/pool.sqlite" <<'PYTHON'
import sqlite3, sys
books = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
books.execute("ATTACH ? AS live", (f"file:{sys.argv[2]}?mode=ro",))
for table in ("transfer_groups", "transfers"):
    (count,) = books.execute(f"SELECT count(*) FROM main.{table}").fetchone()
    lost = books.execute(f"SELECT count(*) FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM live.{table})").fetchone()
    print(f"{table}: {count} restored, {count - lost[0]} as in the running books")
    if lost[0]:
        sys.exit(f"backup-drill: {lost[0]} {table} of the restored books are not in the running ones")
PYTHON
if [ $# = 2 ]; then touch "$data_dir/last-backup" 2>/dev/null || true; fi
echo "the restored books are good"
