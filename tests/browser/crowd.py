"""The books of a pool of ten thousand miners, written row by row: what the pages must stay quick and small with."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.families import network
from chains.primitives.address import script_to_address
from pool.storage.database import sqlite_url, upgrade

MINERS = 10_000
SHARES_EACH = 8
BLOCKS = 230
HOUR_MS = 3_600_000
CHAINS = ("regbtc", "regnmc", "alpha")
NETWORK = network("devnet", "regtest")

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
WORKERS = (HOSTILE, "javascript:alert(3)", "{{7*7}}", "a" * 64, "rig-01", "rig 2", "Ünïcödé-дом", "")


def script_of(number: int) -> bytes:
    return b"\x00\x14" + hashlib.sha256(b"%d" % number).digest()[:20]


def address_of(number: int) -> str:
    """Of the right form; right for a few, as making one takes its time."""
    if 0 < number < MINERS - 1:
        return f"bcrt1q{script_of(number)[2:].hex():0<38}"[:44]
    address = script_to_address(script_of(number), NETWORK.addresses)
    assert address is not None
    return address


BIG = address_of(0)
"""The miner with all that a page can show."""

SMALL = address_of(MINERS - 1)


def block_hash(number: int) -> str:
    return "00" * 4 + hashlib.sha256(b"block %d" % number).hexdigest()[8:]


@dataclass
class Rows:
    """What goes into the tables, by name."""

    connection: sqlite3.Connection

    def add(self, table: str, columns: str, rows: Any) -> None:
        marks = ",".join("?" * len(columns.split(",")))
        self.connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def fill(path: Path, now_ms: int) -> None:
    """Makes the database."""
    upgrade(sqlite_url(path))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    # Rows as they are at the end, not in the order in which they would come.
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    rows = Rows(connection)
    rows.add(
        "share_logs", "id,name,segment,byte_offset,sequence,updated_ms,pool,drained_ms",
        [(1, "main", 1, 1, 10**7, now_ms, "main", now_ms)],
    )  # fmt: skip
    rows.add("chain_sets", "id,names", [(1, ",".join(sorted(CHAINS)))])
    _accounts(rows)
    _shares(rows, now_ms)
    _blocks(rows, now_ms)
    _payments(rows, now_ms)
    connection.commit()
    connection.close()


def _accounts(rows: Rows) -> None:
    """Account `3 * miner + place of the chain + 1`; alpha is held."""
    rows.add(
        "accounts", "id,chain,kind,script_hex,address",
        (
            (3 * miner + place + 1, chain, "held" if chain == "alpha" else "miner", script_of(miner).hex(),
             address_of(miner))
            for miner in range(MINERS)
            for place, chain in enumerate(CHAINS)
        ),
    )  # fmt: skip
    rows.add(
        "routes", "id,digest,login_parent",
        ((miner + 1, hashlib.md5(b"%d" % miner).digest(), address_of(miner)) for miner in range(MINERS)),
    )  # fmt: skip
    rows.add(
        "balances", "chain,account,amount",
        (
            (chain, f"liab.{3 * miner + place + 1}.{part}", 100_000_000_000 // (miner + 1) + 77)
            for miner in range(MINERS)
            for place, chain in enumerate(CHAINS)
            for part in ("available", "immature")
        ),
    )  # fmt: skip


def _shares(rows: Rows, now_ms: int) -> None:
    columns = "log_id,sequence,time_ms,route_id,worker,weight,chain_set_id,header_hash,stale"
    step = HOUR_MS // SHARES_EACH
    rows.add(
        "shares", columns,
        (
            (1, miner + turn * MINERS + 1, now_ms - HOUR_MS + turn * step + miner * step // MINERS, miner + 1,
             WORKERS[(miner + turn) % len(WORKERS)], 2**44 + miner, 1,
             hashlib.sha256(b"%d %d" % (miner, turn)).digest(), 0)
            for turn in range(SHARES_EACH)
            for miner in range(MINERS)
        ),
    )  # fmt: skip
    first = MINERS * SHARES_EACH + 1
    # One miner with a farm: 120 machines by the minute, and one that went dark in the night.
    rows.add(
        "shares", columns,
        (
            (1, first + turn, now_ms - 20_000 * turn, 1, f"hall{turn % 4}-unit{turn % 120:03d}", 2**52, 1,
             hashlib.sha256(b"farm %d" % turn).digest(), 0)
            for turn in range(170)
        ),
    )  # fmt: skip
    rows.add(
        "shares", columns,
        [(1, first + 999, now_ms - 9 * HOUR_MS, 1, "cellar", 2**50, 1, hashlib.sha256(b"cellar").digest(), 0)],
    )  # fmt: skip
    hour_ms = now_ms - now_ms % HOUR_MS
    rows.add(
        "share_sums", "hour_ms,log_id,route_id,chain_set_id,shares,weight",
        (
            (hour_ms - hours * HOUR_MS, 1, miner + 1, 1, 900,
             str((2**55 if miner == 0 else 2**49) * (10 + (hours * 7) % 5 + hours % 24)))
            for hours in range(3, 169)
            if not 60 < hours < 70
            for miner in (0, *range(1, MINERS, 500))
        ),
    )  # fmt: skip


def _blocks(rows: Rows, now_ms: int) -> None:
    states = ("submitted", "immature", "immature", "orphan", "mature", "lost", "mature", "rejected")
    rows.add(
        "blocks",
        "id,chain,hash_hex,height,state,reward,fee,log_id,share_sequence,target_hex,found_ms,confirmations,reason,"
        "orphaned_times,watched,updated_ms",
        (
            (number, CHAINS[number % 3], block_hash(number), 800_000 + number,
             states[min(BLOCKS - number, 7)] if number > BLOCKS - 8 else "mature",
             None if number == BLOCKS else 312_500_000 + number, None if number == BLOCKS else 3_125_000, 1, 1,
             f"{2**220:064x}", now_ms - (BLOCKS - number) * 1_700_000 - 90_000, BLOCKS - number, "words of a node", 0,
             0, now_ms)
            for number in range(1, BLOCKS + 1)
        ),
    )  # fmt: skip
    newest = BLOCKS - 1  # every miner has a part of it
    place = newest % 3
    rows.add(
        "credits", "block_id,event_index,account_id,weight,amount",
        ((newest, 0, 3 * miner + place + 1, "1", 309_000_000 // (miner + 3)) for miner in range(MINERS)),
    )  # fmt: skip
    rows.add(
        "credits", "block_id,event_index,account_id,weight,amount",
        ((number, 0, number % 3 + 1, "1", 250_000_000 - number) for number in range(1, newest)),
    )  # fmt: skip


def _payments(rows: Rows, now_ms: int) -> None:
    """Sixty days of payments to the big miner on the parent chain, the newest on its way."""
    days = 60
    states = {0: "confirming"}
    rows.add(
        "payout_batches",
        "id,chain,kind,state,reason,fee_policy,epoch,created_ms,updated_ms,fee,pool_fee,unsigned_bytes,raw,txid,wtxid,"
        "confirmations,settled_ms",
        (
            (f"batch{day:02d}", "regbtc", "payout", states.get(day, "settled"), "", "pool", 1,
             now_ms - day * 24 * HOUR_MS - 600_000, now_ms, 900, 900, b"u", b"r", hashlib.sha256(b"t%d" % day).digest(),
             hashlib.sha256(b"w%d" % day).digest(), 2 if day == 0 else 6,
             None if day == 0 else now_ms - day * 24 * HOUR_MS)
            for day in range(days)
        ),
    )  # fmt: skip
    rows.add(
        "payouts", "id,batch_id,place,chain,account_id,address,script_hex,gross,minimum,state,txid,vout,net,fee_part",
        (
            (f"payout{day:02d}", f"batch{day:02d}", 0, "regbtc", 1, BIG, script_of(0).hex(), 1_234_567_890 + day, 1,
             "open" if day == 0 else "settled", None if day == 0 else hashlib.sha256(b"t%d" % day).digest(),
             None if day == 0 else 0, None if day == 0 else 1_234_567_890 + day, None if day == 0 else 0)
            for day in range(days)
        ),
    )  # fmt: skip
    rows.add("payout_outputs", "batch_id,payout_id,vout,net,fee_part", [("batch00", "payout00", 0, 1_234_567_890, 0)])
