"""Late shares and late solves: refused as shares, but a block is a block."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from support.devnet import PARENT, RARE_BITS, Devnet, steps
from support.rig import Found, Rig

from chains.reference.wallet import address
from pool.storage import tables
from pool.storage.ledger_store import audit

# The parent solves in 4,096 hashes, alpha in 1,024, the others never.
BITS = {"alpha": "1f3fffff", "regnmc": RARE_BITS, "regdoge": RARE_BITS, "beta": RARE_BITS}
LATE, ONTIME = address("late", 0), address("ontime", 0)
STALE = 21


async def _refused_late(rig: Rig, found: Found) -> None:
    refusal = await rig.submit(found)
    assert refusal is not None and refusal.code == STALE, refusal


def _stored_stale(devnet: Devnet) -> dict[bytes, int]:
    with devnet.database() as connection:
        rows = connection.execute(select(tables.shares.c.header_hash, tables.shares.c.stale)).all()
    return {row.header_hash: row.stale for row in rows}


def _earners(block: dict[str, Any]) -> dict[str, int]:
    return {credit["miner"]: credit["amount"] for credit in block["credits"]}


async def test_devnet_stale_solve_is_submitted_and_credited_only_if_its_block_wins(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(bits=BITS)
    parent, alpha = devnet.target(PARENT), devnet.target("alpha")
    late, ontime = await devnet.rig(f"{LATE}.rig"), await devnet.rig(f"{ONTIME}.rig")
    _, offers = await devnet.full_job(ontime)
    await ontime.share(above=alpha, where=offers.held_by)
    # Closes alpha's template, so that only the parent is left.
    first_alpha = await ontime.share(alpha, above=parent, where=offers.held_by)
    await devnet.in_state("alpha", offers.hash_hex("alpha"), "immature")

    old = await late.job()
    plain, solve = await late.find(above=alpha, job=old), await late.find(parent, job=old)
    (over,) = await devnet.advance(PARENT)
    await late.new_tip_after(old.previous_hash)
    steps.info("a share and a solve for the tip before")
    await _refused_late(late, plain)
    await _refused_late(late, solve)
    await devnet.in_state(PARENT, solve.hash_hex, "orphan")
    submitted = rf"submitted chain={PARENT} .*hash={solve.hash_hex} result=inconclusive"
    await devnet.until(lambda: re.search(submitted, devnet.logs()), "its submission is told")
    assert LATE not in str(await devnet.api(f"/blocks/{PARENT}/{solve.hash_hex}"))
    assert (await devnet.balance(LATE, PARENT))["immature"] == 0

    steps.info("a block on the new tip pays nobody for late work")
    found = await ontime.find(parent, job=await ontime.job_where(lambda job: job.previous_hash != old.previous_hash))
    assert await ontime.submit(found) is None
    block = await devnet.in_state(PARENT, found.hash_hex, "immature")
    assert set(_earners(block)) == {ONTIME}

    steps.info("the branch of the late solve wins")
    await devnet.rpc(PARENT, "devnet_invalidate", over)
    block = await devnet.in_state(PARENT, solve.hash_hex, "immature")
    await devnet.in_state(PARENT, found.hash_hex, "orphan")
    earned = _earners(block)
    assert set(earned) == {LATE, ONTIME}
    # In the window: two shares of the one and the late solve of the other, equal in work.
    assert abs(earned[ONTIME] - 2 * earned[LATE]) <= 2
    stored = _stored_stale(devnet)
    assert stored[solve.header_hash] == 1 and stored[first_alpha.header_hash] == 0
    assert plain.header_hash not in stored

    steps.info("a late solve of a chain that did not move")
    await devnet.all_chains_mined()
    job, offers = await devnet.full_job(late)
    solve = await late.find(alpha, above=parent, job=job)
    await devnet.advance(PARENT)
    await late.new_tip_after(job.previous_hash)
    await _refused_late(late, solve)
    block = await devnet.in_state("alpha", offers.hash_hex("alpha"), "immature")
    assert LATE in _earners(block)
    assert late.refused and all(refusal.code == STALE for refusal in late.refused)
    assert not ontime.refused
    with devnet.database() as connection:
        assert audit(connection) == []
