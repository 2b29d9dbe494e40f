"""The doctor names the key when a chain's rewards wait longer than the pool's books do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from config_file import GOOD

from chains.kind import Health, NodeState, maturity_words
from pool.config.configuration import load
from pool.doctor.finding import Result
from pool.doctor.node_checks import node_findings
from pool.doctor.node_under_test import NodeUnderTest

CHAINS = """\
  votes: {kind: bk, network: regtest, context_name: x, address: bk1q4cs0tva4w2trjy24kjn8dqzr9rwe7m0543lk6n,
          maturity: 11, nodes: [{url: "http://127.0.0.1:1"}]}
"""
PROOFS = """\
  one: {kind: parallel, network_name: example, chain_name: one, hrp: bk,
        address: bk1q4cs0tva4w2trjy24kjn8dqzr9rwe7m0543lk6n, maturity_blocks: 10, nodes: [{url: "http://127.0.0.1:2"}]}
"""


@pytest.mark.parametrize(("name", "key"), [("votes", "chains.votes.maturity"), ("one", "chains.one.maturity_blocks")])
async def test_doctor_names_the_maturity_that_is_too_small(tmp_path: Path, name: str, key: str) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD.replace("data_dir: ./data", f"data_dir: {tmp_path}/data") + CHAINS + PROOFS)
    chain = load(path).chains[name]

    async def health() -> Health:
        return Health(NodeState.WRONG_NETWORK, 7, maturity_words(20, 10))

    node: Any = SimpleNamespace(health=health)
    rpc: Any = None
    found = await node_findings(NodeUnderTest(name, 0, chain, chain.nodes[0], node, rpc))
    assert [(one.check, one.result) for one in found] == [("answers", Result.GOOD), ("network", Result.WRONG)]
    assert "after 20 blocks, the pool calls them available after 10" in found[1].found
    assert found[1].remedy.startswith(f"Set {key} to ") and f"chains.{name}.maturity" in found[1].remedy
