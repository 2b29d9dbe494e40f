"""A parent that refuses what our blocks hold: less is mined, loudly, and mining never stops."""

from __future__ import annotations

import re
from typing import Any

from support.devnet import CHAINS, PARENT, Devnet, steps
from support.lying_node import LyingNode
from support.ports import free_port
from support.rig import Rig

from chains.reference.wallet import address

MORE_TIPS = 5
NO_ROOT = "6a28" + "00" * 32
MM1_MARK = "fabe6d6d"


def _refuses_mm2(method: str, params: list[Any], result: Any) -> Any:
    """A new rule of the parent: no root in the last output."""
    if method != "getblocktemplate" or params[0].get("mode") != "proposal" or NO_ROOT in params[0]["data"]:
        return result
    return "bad-cb-mm2"


def _refuses_transactions(method: str, params: list[Any], result: Any) -> Any:
    """Another one: nothing but a coinbase."""
    if method != "getblocktemplate" or params[0].get("mode") != "proposal":
        return result
    return None if params[0]["data"][160:162] == "01" else "bad-txns"


async def _mines_less(
    devnet: Devnet, liar: LyingNode, reason: str, refused: list[str], carried: dict[str, bool]
) -> None:
    """Start the pool against such a parent: what it tells, and a block that the parent takes."""
    already = _alarms(devnet)
    rig = await _start_with_every_chain(devnet, liar)
    alarms = {f"alarm: the parent refuses blocks with {what}: {reason}; mining less" for what in refused}
    await devnet.until(lambda: alarms <= set(_alarms(devnet)[len(already) :]), "the alarm")
    found = await rig.share(devnet.target(PARENT), where=lambda job: _carries(job) == carried)
    await devnet.in_state(PARENT, found.hash_hex, "immature")
    assert await devnet.rpc(PARENT, "getbestblockhash") == found.hash_hex
    for _ in range(MORE_TIPS):
        (tip_hex,) = await devnet.advance(PARENT)
        first = _carries(await rig.job_on(tip_hex))
        assert not [what for what in first if first[what] and not carried[what]], "a job holds what the parent refuses"
        await rig.job_where(lambda job: _carries(job) == carried, "a job with all that the parent takes")
    told = _alarms(devnet)[len(already) :]
    assert set(told) == alarms
    # A machine so busy that chains leave for a moment makes other forms of blocks, which may be refused as well.
    disturbed = devnet.pool is not None and "chain leaves" in devnet.pool.log_text()
    assert len(told) == len(refused) or (disturbed and len(told) < len(refused) + MORE_TIPS), "told again and again"
    metric = await devnet.metric("template_rejected_total")
    assert metric == {f'reason="{reason.replace("-", "_")}"': len(told)}
    await devnet.stop_pool()


def _alarms(devnet: Devnet) -> list[str]:
    return re.findall(r"alarm: the parent refuses .*", devnet.logs())


async def _start_with_every_chain(devnet: Devnet, liar: LyingNode) -> Rig:
    """The pool, and a miner. The parent comes last: otherwise it would be asked about each form that blocks have while
    one chain after the other joins."""
    liar.away = True
    devnet.pool = pool = devnet.spawn_pool()
    joined = [f"chain joins chain={name} " for name in CHAINS if name != PARENT]
    await devnet.until(lambda: all(line in pool.log_text() for line in joined), "every other chain has a template")
    liar.away = False
    await devnet.pool_answers()
    return await devnet.rig(devnet.config.chains[PARENT].address + ".rig")


def _carries(job: Any) -> dict[str, bool]:
    coinbase = (job.coinb1 + bytes(8) + job.coinb2).hex()
    return {"mm1": MM1_MARK in coinbase, "mm2": NO_ROOT not in coinbase, "transactions": bool(job.branch)}


async def test_devnet_parent_that_refuses_our_blocks_form_is_mined_with_less(make_devnet: Any) -> None:
    port = free_port()

    def _through_a_liar(config: dict[str, Any]) -> None:
        config["chains"][PARENT]["nodes"][0]["url"] = f"http://127.0.0.1:{port}"

    devnet: Devnet = await make_devnet(start=False, edit=_through_a_liar)
    await devnet.start_nodes()
    liar = LyingNode(devnet.ports[PARENT], port)
    await liar.start()
    try:
        steps.info("the parent refuses MM2 roots")
        liar.lie = _refuses_mm2
        without_mm2 = {"mm1": True, "mm2": False, "transactions": False}
        await _mines_less(devnet, liar, "bad-cb-mm2", ["everything"], without_mm2)

        steps.info("the parent refuses merged mining marks")
        liar.lie = None
        await devnet.fault(PARENT, refuse_containing=MM1_MARK)
        both = ["everything", "without MM2 chains"]
        nothing = {"mm1": False, "mm2": False, "transactions": False}
        await _mines_less(devnet, liar, "bad-cb-refused-by-devnet", both, nothing)
        await devnet.fault(PARENT, refuse_containing="")

        steps.info("the parent refuses transactions")
        own = (await devnet.rpc(PARENT, "devnet_info"))["addresses"][0]
        await devnet.rpc(PARENT, "devnet_advance", 2, own)
        await devnet.advance(PARENT, 10)
        await devnet.rpc(PARENT, "sendtoaddress", address("anyone", 0), 1)
        liar.lie = _refuses_transactions
        await _mines_less_with_a_transaction(devnet, nothing)
    finally:
        await liar.close()


async def _mines_less_with_a_transaction(devnet: Devnet, carried: dict[str, bool]) -> None:
    """Only while the transaction waits: a block of somebody else takes it, and then everything is mined again."""
    await devnet.start_pool()
    rig = await devnet.rig(devnet.config.chains[PARENT].address + ".rig")
    found = await rig.share(devnet.target(PARENT), where=lambda job: _carries(job) == carried)
    await devnet.in_state(PARENT, found.hash_hex, "immature")
    assert len(await devnet.rpc(PARENT, "getrawmempool")) == 1
    assert "alarm: the parent refuses blocks with everything: bad-txns; mining less" in devnet.logs()
    await devnet.advance(PARENT)
    await rig.job_where(lambda job: _carries(job) == {"mm1": True, "mm2": True, "transactions": False})
    assert (await devnet.metric("template_rejected_total"))['reason="bad_txns"'] >= 1
