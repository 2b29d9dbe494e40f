"""The whole pool over a real parent daemon, with or without auxiliary chains, and how a miner finds blocks with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aux_nodes import AuxNode
from node_daemons import RealNode, free_ports
from support.offers import Offers
from support.real_pool import FEE_PPM, Miner, RealPool, until

from chains.families import FAMILIES
from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed
from pool.mining_client.client import Job

PARENT = "parent"
MATURITY = 5  # confirmations until credits are final, on every chain of these tests


def new_pool(directory: Path, nodes: Sequence[RealNode], children: Mapping[str, AuxNode] | None = None) -> RealPool:
    """A pool over one parent with these nodes, the preferred one first; not started yet."""
    first = nodes[0]
    family = next(name for name, networks in FAMILIES.items() if first.network in networks.values())
    parent = {"kind": "bitcoin", "family": family, "network": "regtest", "address": first.address}
    chains: dict[str, Any] = {PARENT: {**parent, "maturity": MATURITY, "nodes": [node.section for node in nodes]}}
    chains |= {name: {**child.chain_section(), "maturity": MATURITY} for name, child in (children or {}).items()}
    stratum_port, http_port = free_ports(2)
    return RealPool(
        directory, chains, parent=PARENT, pow_hash=first.network.pow_hash, stratum_port=stratum_port,
        http_port=http_port,
    )  # fmt: skip


@dataclass
class World:
    """A running pool and the daemons behind it. `waiting` are transactions that its first template offers."""

    node: RealNode
    pool: RealPool
    children: Mapping[str, AuxNode]
    waiting: tuple[str, ...] = ()

    async def job_on_tip(self, miner: Miner) -> Job:
        """The newest job once it stands on the daemon's tip."""
        tip = self.node.call("getbestblockhash")
        return await miner.job(lambda job: displayed(job.previous_hash) == tip)

    async def job_for_all(self, miner: Miner) -> tuple[Job, Offers]:
        """The newest job once a share of it may be the next block of every chain, and what the auxiliary nodes offer:
        the pool asks them with the same addresses, so it gets the same."""

        async def newest() -> tuple[Job, Offers] | None:
            offers = Offers.of([child.offer() for child in self.children.values()])
            job = await self.job_on_tip(miner)
            return (job, offers) if offers.held_by(job) else None

        return await until(newest, "a job for the next block of every chain")

    async def extend(self, miner: Miner, job: Job | None = None) -> str:
        """A block of the parent that is the daemon's new tip; its hash."""
        submitted = await miner.send(await self.job_on_tip(miner) if job is None else job)
        assert submitted.error is None

        async def is_tip() -> bool:
            best: str = self.node.call("getbestblockhash")
            return best == submitted.hash_hex

        await until(is_tip, f"the daemon has block {submitted.hash_hex}")
        return submitted.hash_hex

    async def mine_block(self, miner: Miner, job: Job | None = None) -> str:
        """As `extend`, and credited."""
        hash_hex = await self.extend(miner, job)
        await self.pool.block(PARENT, hash_hex, "immature")
        return hash_hex


def address_on(node: RealNode, number: int) -> str:
    """An address of the node's network, one for each number."""
    address = script_to_address(b"\x00\x14" + bytes([number]) * 20, node.network.addresses)
    assert address is not None
    return address


def shared_out(block: Mapping[str, Any]) -> int:
    """What the pool gave away of a block: the sum of credits and fee, the fee being exact."""
    assert block["fee"] == block["reward"] * FEE_PPM // 1_000_000
    total: int = block["fee"] + sum(credit["amount"] for credit in block["credits"])
    return total
