"""Starting and stopping the pool: clean ends, sentences for what is in the way, and a disk that fills up."""

from __future__ import annotations

import asyncio
import re
import resource
from pathlib import Path
from typing import Any

from sqlalchemy import select
from support.devnet import CHAINS, PARENT, RARE_BITS, TRACEBACK, Devnet, steps
from support.ports import free_port
from support.rig import Rig

from chains.reference.wallet import address
from pool.devnet.demo.children import Child
from pool.mining_client.client import StratumError
from pool.shares.log_segment import frame, whole_length
from pool.storage import tables

MINER = address("miner", 0)
DRILL = Path(__file__).parents[2] / "deploy" / "backup-drill.sh"


async def _totals(devnet: Devnet) -> dict[str, Any]:
    """What must be the same after a restart."""
    pool = await devnet.api("/pool")
    for chain in pool["chains"].values():
        chain["last_block"].pop("confirmations")
    miner = await devnet.api(f"/miners/{MINER}")
    return {"chains": pool["chains"], "balances": miner["balances"], "credits": miner["credits"]}


async def _sentence(devnet: Devnet, child: Child) -> str:
    """What a start that ends with exit code 1 says to the operator: one line and no traceback."""
    assert await devnet.exit_code_of(child) == 1, child.log_text()
    text = child.log_text()
    assert TRACEBACK not in text, text
    lines = [line for line in text.splitlines() if line.startswith("pool: ")]
    assert len(lines) == 1, text
    steps.info("%s", lines[0])
    return lines[0]


async def test_devnet_stop_and_start_again(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet()
    rig = await devnet.rig(f"{MINER}.rig")
    await devnet.solve_all(rig)
    for _ in range(20):
        await rig.share(above=devnet.target(PARENT))
    before = await _totals(devnet)

    steps.info("its backup, taken while it runs, can be restored")
    words = ["sh", str(DRILL), str(devnet.config_path), str(devnet.directory / "backup")]
    drill = Child("drill", words, devnet.directory / "drill.log")
    assert await devnet.exit_code_of(drill) == 0, drill.log_text()
    assert "the restored books are good" in drill.log_text()
    assert (devnet.config.pool.data_dir / "last-backup").exists()

    steps.info("a second pool on the same folder, and two on ports that are taken")
    another, free = str(devnet.directory / "another"), f"127.0.0.1:{free_port()}"
    starts = [
        devnet.spawn_pool("pool-second"),
        devnet.spawn_pool("pool-http", pool__data_dir=another + "1", stratum__ports__0__bind=free),
        devnet.spawn_pool("pool-stratum", pool__data_dir=another + "2", http__bind=free),
    ]
    second, http, stratum = [await _sentence(devnet, start) for start in starts]
    assert "is in use by another pool process" in second
    assert http.startswith(f"pool: cannot listen on {devnet.config.http.bind}: ") and "in use" in http
    assert stratum.startswith(f"pool: cannot listen on {devnet.config.stratum.ports[0].bind}: ") and "in use" in stratum

    assert await devnet.stop_pool() == 0
    assert devnet.pool is not None
    assert devnet.pool.log_text().rstrip().endswith("pool stopped")
    await devnet.until(rig.client.closed.is_set, "the miner is let go")
    with devnet.database() as connection:
        stored = set(connection.execute(select(tables.shares.c.header_hash)).scalars())
    assert stored == {*rig.accepted, *rig.late_solves}, "a clean stop leaves every share in SQL"

    await devnet.start_pool()
    assert await _totals(devnet) == before
    again = await devnet.rig(f"{MINER}.rig")
    await devnet.solve_all(again)
    assert await devnet.stop_pool() == 0


DAMAGES: dict[str, tuple[dict[str, bytes], str]] = {
    "database": ({"pool.sqlite": b"this is no database at all " * 500}, "pool.sqlite cannot be used"),
    "database-folder": ({"pool.sqlite/file": b""}, "pool.sqlite cannot be used"),
    "share-log": ({"shares/00000001.log": frame(b"hello")}, "shares cannot be used"),
    "share-log-middle": (
        {"shares/00000001.log": b"damaged", "shares/00000002.log": b""},
        "00000001.log: offset 0: ",
    ),
    "solutions-file": ({"solutions": b""}, "solutions"),
}


async def test_devnet_damaged_files_are_told_in_a_sentence(make_devnet: Any) -> None:
    """No node runs: nothing of a chain is needed to see that the pool cannot start."""
    devnet: Devnet = await make_devnet(start=False)
    starts = {}
    for what, (files, _) in DAMAGES.items():
        folder = devnet.directory / what
        for name, data in files.items():
            _write(folder / name, data)
        starts[what] = devnet.spawn_pool(f"pool-{what}", pool__data_dir=str(folder))
    for what, (_, expected) in DAMAGES.items():
        assert expected in await _sentence(devnet, starts[what]), what


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


async def _stream(rig: Rig) -> None:
    try:
        while True:
            await rig.submit(await rig.find())
    except StratumError:
        return


async def test_devnet_full_disk_refuses_shares_and_ends_the_pool(make_devnet: Any) -> None:
    """No file of the pool may grow any more: what a full disk does to it, log files apart."""
    devnet: Devnet = await make_devnet(bits=dict.fromkeys(CHAINS, RARE_BITS))
    assert devnet.pool is not None
    rigs = [await devnet.rig(f"{MINER}.rig{number}") for number in range(3)]
    streams = [asyncio.ensure_future(_stream(rig)) for rig in rigs]
    segment = next((devnet.data_dir / "shares").glob("*.log"))
    await devnet.until(lambda: whole_length(segment) > 20_000, "shares are written")
    limit = whole_length(segment) + 1000  # behind it are zeros, of which no use can be made any more
    resource.prlimit(devnet.pool.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert await devnet.exit_code_of(devnet.pool) == 1
    await asyncio.gather(*streams)
    text = devnet.pool.log_text()
    assert "share log failed" in text and "pool stops: the share log cannot be written" in text, text
    devnet.allowed_tracebacks = _tracebacks_of_the_books(text)
    refused = [refusal for rig in rigs for refusal in rig.refused]
    assert refused and all(refusal.code == 20 and "cannot store shares" in refusal.message for refusal in refused)

    await devnet.start_pool()
    answered = {header_hash for rig in rigs for header_hash in rig.accepted}

    async def all_stored() -> bool:
        with devnet.database() as connection:
            return answered <= set(connection.execute(select(tables.shares.c.header_hash)).scalars())

    await devnet.until(all_stored, f"the {len(answered)} answered shares are in SQL")
    fresh = await devnet.rig(f"{MINER}.rig")
    await fresh.share()


def _tracebacks_of_the_books(text: str) -> int:
    """Those of the books, which may find out about the full disk before the share log does."""
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", text, flags=re.MULTILINE)
    full_disk = re.compile(r"ERROR parapool\.books .*\(sqlite3\.OperationalError\) (disk I/O error|.*disk is full)")
    return sum(entry.count(TRACEBACK) for entry in entries if full_disk.search(entry))
