"""The doctor over real daemons: what Bitcoin Core's family and bcoin answer is read rightly, and nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aux_nodes import AuxNode
from node_daemons import RealNode
from pool_worlds import PARENT, new_pool

from pool.config.configuration import load
from pool.doctor.doctor import examine
from pool.doctor.finding import Finding, Result

Children = Callable[[str], dict[str, AuxNode]]


async def looked_at(config_path: Path, **overrides: str) -> dict[str, Finding]:
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return {f"{f.subject} {f.check}": f for f in await examine(load(config_path, keys))}


async def test_nodes_doctor_finds_real_daemons_well(real_node: RealNode, children: Children, tmp_path: Path) -> None:
    nodes = children(real_node.network.pow_hash)
    before = real_node.call("getbestblockhash")
    pool = new_pool(tmp_path, [real_node], nodes)
    found = await looked_at(pool.config_path, stratum__ports__0__extranonce2_size="8")
    assert {key: f for key, f in found.items() if f.result is Result.WRONG} == {}
    parts = {f"{PARENT}[0] block proposal", f"{PARENT} coinbase", f"{PARENT}[0] submission", f"{PARENT}[0] clock"}
    proofs = {key for key, f in found.items() if key.endswith("proof") and f.result is Result.GOOD}
    assert len(proofs) == len(nodes)
    assert {key for key in parts if found[key].result is Result.GOOD} == parts
    assert real_node.call("getbestblockhash") == before


async def test_nodes_doctor_hears_a_real_daemons_refusals(real_node: RealNode, tmp_path: Path) -> None:
    pool = new_pool(tmp_path, [real_node])
    key = f"chains__{PARENT}__nodes__0__password"
    refused: dict[str, Any] = await looked_at(pool.config_path, **{key: "not it"})
    assert refused[f"{PARENT}[0] login"].result is Result.WRONG and "HTTP 401" in refused[f"{PARENT}[0] login"].found
