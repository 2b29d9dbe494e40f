from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.store.store import FILE_NAME, Store, StoreError, StoreFailedError

IDENTITY = b"network and genesis"


def filled(directory: Path, rows: int = 200) -> None:
    store = Store(directory, IDENTITY)
    store.write([("blocks", b"%d" % number, bytes(1000)) for number in range(rows)])
    store.close()


def test_store_keeps_tables_in_the_order_of_first_puts(tmp_path: Path) -> None:
    store = Store(tmp_path, IDENTITY)
    store.write([("b", b"2", b"x"), ("a", b"1", b"y"), ("b", b"1", b"z")])
    store.write([("b", b"2", b"changed"), ("b", b"0", b"w")], [("a", b"1"), ("a", b"not there")])
    assert store.records() == {"b": [(b"2", b"changed"), (b"1", b"z"), (b"0", b"w")]}
    store.write([("b", b"2", b"again")], [("b", b"2")])  # puts come before deletes
    store.write([("b", b"2", b"last")])
    store.close()
    store = Store(tmp_path, IDENTITY)
    assert store.records() == {"b": [(b"1", b"z"), (b"0", b"w"), (b"2", b"last")]}
    store.close()


KEYS = st.sampled_from([b"1", b"2", b"3"])
TABLES = st.sampled_from(["a", "b"])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(TABLES, KEYS, st.binary(max_size=3)), max_size=4),
            st.lists(st.tuples(TABLES, KEYS), max_size=2),
        ),
        max_size=6,
    )
)
def test_store_keeps_what_the_virtual_network_keeps(tmp_path_factory: pytest.TempPathFactory, batches: list) -> None:
    """Same batches, same records as a node of VirtualNetwork has: a dictionary for each table."""
    tables: dict[str, dict[bytes, bytes]] = {}
    store = Store(tmp_path_factory.mktemp("store"), IDENTITY)
    for puts, deletes in batches:
        store.write(puts, deletes)
        for table, key, value in puts:
            tables.setdefault(table, {})[key] = value
        for table, key in deletes:
            tables.get(table, {}).pop(key, None)
    assert store.records() == {name: list(table.items()) for name, table in tables.items() if table}
    store.close()


def test_store_of_another_network_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(StoreError, match="another network"):
        Store(tmp_path, b"other")
    Store(tmp_path, IDENTITY).close()


def test_store_in_use_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, IDENTITY)
    with pytest.raises(StoreError, match="in use by another process"):
        Store(tmp_path, IDENTITY)
    store.close()
    Store(tmp_path, IDENTITY).close()


def test_store_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store(tmp_path / "file", IDENTITY)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 17)


def flip_value(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE records SET value = x'00' WHERE key = x'35'")
    connection.commit()
    connection.close()


def overwrite_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xa5" * 5000)


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be one" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_database(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE x (y)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("damage", [truncate, flip_value, overwrite_page, garbage, empty, another_database])
def test_store_damaged_is_set_aside_with_a_line_and_never_again(
    damage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path)
    damage(tmp_path / FILE_NAME)
    left = (tmp_path / FILE_NAME).read_bytes()
    with caplog.at_level(logging.ERROR, "parapool.store"):
        store = Store(tmp_path, IDENTITY)
    assert store.records() == {}
    assert store.set_aside == tmp_path / f"{FILE_NAME}.damaged-1"
    if damage not in (empty, another_database):  # which SQLite opens, and marks as having a log
        assert store.set_aside.read_bytes() == left
    assert "store damaged and set aside" in caplog.text
    store.write([("blocks", b"new", b"1")])
    store.close()
    store = Store(tmp_path, IDENTITY)
    assert store.set_aside is None and store.records() == {"blocks": [(b"new", b"1")]}
    store.close()
    damage(tmp_path / FILE_NAME)
    if damage is not flip_value:  # whose record is no longer there
        store = Store(tmp_path, IDENTITY)
        assert store.set_aside == tmp_path / f"{FILE_NAME}.damaged-2"
        store.close()


WRITER = """
import sys
from pathlib import Path
from chains.store.store import Store
store = Store(Path(sys.argv[1]), b"network and genesis")
number = len(store.records().get("pairs", []))
while True:
    store.write([("pairs", b"%d" % number, bytes(2000)), ("twins", b"%d" % number, b"")])
    print(number, flush=True)
    number += 1
"""


def test_store_killed_process_keeps_whole_batches(tmp_path: Path) -> None:
    """kill -9 at any moment: what was told is there, and no half of a batch."""
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(5):
            child.stdout.readline()
        time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read().split()
        child.wait()
        store = Store(tmp_path, IDENTITY)
        records = store.records()
        assert store.set_aside is None
        assert [key for key, _ in records["pairs"]] == [key for key, _ in records["twins"]]
        assert len(records["pairs"]) >= int(told[-1]) + 1 if told else True
        store.close()


def test_store_log_that_was_cut_off_loses_the_last_batches_only(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(10):
        child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    wal = tmp_path / f"{FILE_NAME}-wal"
    os.truncate(wal, wal.stat().st_size - 100)
    store = Store(tmp_path, IDENTITY)
    records = store.records()
    assert store.set_aside is None and len(records["pairs"]) == len(records["twins"]) >= 5
    store.close()


def test_store_full_disk_is_told_and_leaves_nothing_of_the_batch(tmp_path: Path) -> None:
    store = Store(tmp_path, IDENTITY)
    store.write([("a", b"1", b"x")])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreFailedError, match="full"):
        store.write([("a", b"%d" % number, bytes(1000)) for number in range(100)])
    assert store.records() == {"a": [(b"1", b"x")]}
    store.close()
