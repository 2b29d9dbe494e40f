"""Judging proofs and transfers without a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ppow_miner import CHAIN_A, CHAIN_B, NETWORK, ask, mine, new_node, read, start

from chains.parallel.core import ParallelCore
from chains.parallel.verify import verify_record
from chains.primitives.fields import FieldError
from pool.cli.commands import commands

ASKER = {"network": {"name": "test", "first_bits": "207fffff", "half_life_s": None}, "bits": "207fffff"}


def paid() -> tuple[ParallelCore, dict[str, Any]]:
    """A node on which a transfer is confirmed, and the record of its proof."""
    node = new_node()
    start(node)
    for _ in range(4):
        mine(node, {"a": 0})
    accounts = read(node, "listaccounts", "a")
    outputs = [{"address": accounts[1]["address"], "amount": 10}]
    made = read(node, "createtransfer", "a", accounts[0]["public_key"], accounts[0]["address"], outputs, 5)
    ask(node, "sendtransfer", "a", ask(node, "signtransfer", "a", made["hex"])["hex"])
    mine(node, {"a": 0, "b": 0})
    return node, {**ASKER, "chain_id": CHAIN_A.id_on(NETWORK).hex(), **read(node, "gettransferproof", "a", made["id"])}


def test_parallel_verify_takes_what_a_node_gives() -> None:
    _, record = paid()
    assert verify_record(record) == "ok"
    assert verify_record({**ASKER, "proof": record["proof"]}) == "ok"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bits": "1d00ffff"}, "bad-bits"),
        ({"index": 2, "branch": ["11" * 32, "22" * 32]}, "merkle-branch"),
        ({"context": CHAIN_B.context.hex()}, "merkle-branch"),
        ({"transaction": "00" * 64}, "transaction-size"),
        ({"chain_id": CHAIN_B.id_on(NETWORK).hex()}, "bad-signature"),
    ],
)
def test_parallel_verify_names_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    assert verify_record({**paid()[1], **changes}) == reason


def test_parallel_verify_names_a_wrong_proof_and_a_wrong_question() -> None:
    node, record = paid()
    proof = record["proof"]
    assert verify_record({**ASKER, "proof": proof[:-2] + ("00" if proof[-2:] != "00" else "01")}) == "manifest-root"
    assert verify_record({**ASKER, "proof": proof + "00"}) == "malformed"
    coinbase = node.known.bodies[bytes.fromhex(record["root"])][0]
    first = {**record, "index": 0, "transaction": coinbase.hex()}
    with pytest.raises(FieldError, match="index"):
        verify_record(first)
    with pytest.raises(FieldError, match="network: expected an object"):
        verify_record({"proof": proof})
    with pytest.raises(FieldError, match="branch: expected a list"):
        verify_record({**record, "branch": "no"})


def test_parallel_verify_is_a_command(tmp_path: Path) -> None:
    file = tmp_path / "transfer.json"
    _, record = paid()
    file.write_text(json.dumps(record))
    found = CliRunner().invoke(commands, ["verify", "parallel", str(file)])
    assert (found.exit_code, found.output.strip()) == (0, "ok")
    file.write_text(json.dumps({**record, "bits": "1d00ffff"}))
    assert CliRunner().invoke(commands, ["verify", "parallel", str(file)]).exit_code == 1
