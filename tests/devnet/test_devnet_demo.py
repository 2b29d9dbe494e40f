"""`make demo` as a newcomer runs it: nodes, pool and miner from one command, ended with Ctrl-C, started again."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import func, select
from support.devnet import CHAINS as REFERENCE_CHAINS
from support.devnet import ROOT, Devnet, steps
from support.ports import free_port

from pool.devnet.demo.children import Child, pool_command
from pool.storage import tables
from pool.storage.ledger_store import audit

CHAINS = (*REFERENCE_CHAINS, "votes", "north", "south")
NODES = CHAINS[:-1]  # the last two share one
VOTES_OF_A_BLOCK = 8
FIRST_BLOCKS_S = 240.0  # on a machine that hashes slowly, too


def _demo(devnet: Devnet, name: str, ports: dict[str, int]) -> Child:
    """The Makefile's command on free ports, its output in a file instead of a terminal."""
    nodes = [word for chain, port in ports.items() for word in ("--set", f"chains.{chain}.nodes.0.url={_url(port)}")]
    return devnet.child(name, pool_command(
        "devnet", "demo", "-c", str(ROOT / "deploy" / "devnet.yaml"), "--data-dir", str(devnet.data_dir),
        "--stratum-port", str(devnet.config.stratum.ports[0].address[1]), "--http-port", str(devnet.http_port), *nodes,
    ))  # fmt: skip


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def _interrupt(devnet: Devnet, demo: Child) -> None:
    """Ctrl-C."""
    demo.process.send_signal(signal.SIGINT)
    assert await devnet.exit_code_of(demo) == 0, demo.log_text()
    assert "stopped; everything is kept in" in demo.log_text()
    children = [int(pid) for pid in re.findall(r" process (\d+)", demo.log_text())]
    assert len(children) == len(NODES) + 2
    assert not [pid for pid in children if _is_there(pid)], "a process of the demo is left"


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _books(devnet: Devnet) -> tuple[int, dict[str, int]]:
    """Shares in SQL, and blocks by chain; what is credited adds up."""
    with devnet.database() as connection:
        assert audit(connection) == []
        blocks = connection.execute(select(tables.blocks)).all()
        credits = connection.execute(select(tables.credits.c.block_id, tables.credits.c.amount)).all()
        shares = connection.execute(select(func.count()).select_from(tables.shares)).scalar_one()
    for block in blocks:
        if block.reward is not None:
            paid = sum(credit.amount for credit in credits if credit.block_id == block.id)
            parts = VOTES_OF_A_BLOCK if block.chain == "votes" else 1
            assert paid + block.fee == block.reward == 50 * 10**8 // parts
    return shares, {chain: sum(block.chain == chain for block in blocks) for chain in CHAINS}


async def test_devnet_demo_finds_blocks_on_every_chain_and_goes_on_after_ctrl_c(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(start=False)
    ports = {chain: free_port() for chain in NODES}
    ports["south"] = ports["north"]
    demo = _demo(devnet, "demo", ports)

    async def credited_everywhere() -> bool:
        assert demo.exit_code() is None, demo.log_text()
        printed = demo.log_text()
        if not all(re.search(rf"^  {chain} .*(blocks|votes): [1-9]", printed, re.MULTILINE) for chain in CHAINS):
            return False
        chains = (await devnet.api("/pool"))["chains"]
        return len(chains) == len(CHAINS) and all(chain["immature"] > 0 for chain in chains.values())

    await devnet.until(credited_everywhere, "a credited block on each chain", FIRST_BLOCKS_S, every_s=0.25)
    await devnet.until(lambda: re.search(r"shares: [1-9][0-9,]* accepted", demo.log_text()), "accepted shares are told")
    text = demo.log_text()
    assert all(f"node {chain}" in text for chain in NODES)
    assert f"stratum+tcp://127.0.0.1:{devnet.config.stratum.ports[0].address[1]}" in text
    assert "\x1b" not in text, "plain lines on a pipe"
    await _interrupt(devnet, demo)
    shares, blocks = _books(devnet)
    assert all(blocks.values()) and shares > 0
    steps.info("%d shares, blocks %s", shares, blocks)

    steps.info("the next start goes on")
    again = _demo(devnet, "demo-again", ports)

    async def has_more() -> bool:
        assert again.exit_code() is None, again.log_text()
        try:
            pool = await devnet.api("/pool")
        except aiohttp.ClientError:  # its pool is only starting
            return False
        return "Stop it with Ctrl-C." in again.log_text() and pool["shares"]["accepted"] > 3

    await devnet.until(has_more, "shares of the second run", FIRST_BLOCKS_S, every_s=0.25)
    pool = await devnet.api("/pool")
    for chain, count in blocks.items():
        assert sum(pool["chains"][chain]["blocks"].values()) >= count
    await _interrupt(devnet, again)
    shares_now, blocks_now = _books(devnet)
    assert shares_now > shares and all(blocks_now[chain] >= blocks[chain] for chain in CHAINS)
    logs = "".join(path.read_text() for path in (devnet.data_dir / "logs").glob("*.log"))
    assert "Traceback" not in logs
