"""`pool verify bk` and what it stands on: the proof calls' answers, and every way in which they can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.bk_called import CalledNode, stranger

from chains.bk.verify import verify_record
from chains.primitives.fields import FieldError
from pool.cli.commands import commands


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """The proofs of a vote, a block and one of three transfers."""
    node = CalledNode()
    for _ in range(4):
        node.block()
    for _ in range(3):
        outputs = [{"address": stranger(node), "amount": 10}]
        unsigned = node.call("createtransfer", node.public_key, node.address, outputs)
        transfer = node.call("sendtransfer", node.call("signtransfer", unsigned["hex"])["hex"])
    node.block()
    best = node.call("getbestblockhash")
    vote = node.call("getblock", best)["votes"][1]["vote"]
    return {
        "vote": node.call("getvoteproof", vote),
        "block": node.call("getblockproof", best),
        "transfer": node.call("gettransferproof", transfer),
    }


def flipped(text: str, place: int) -> str:
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


def test_bk_verify_takes_what_the_node_answers(answers: dict[str, Any]) -> None:
    assert {name: verify_record(answer) for name, answer in answers.items()} == dict.fromkeys(answers, "ok")
    assert answers["transfer"]["count"] == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": "0" * 64}, "vote-high-hash"),
        ({"context": "0" * 64}, "vote-context"),
        ({"datum": ""}, "vote-malformed"),
        ({"proof": "00"}, "vote-proof-malformed-proof"),
    ],
)
def test_bk_verify_says_what_is_wrong_with_a_vote(
    answers: dict[str, Any], changes: dict[str, str], reason: str
) -> None:
    assert verify_record(answers["vote"] | changes) == reason


def test_bk_verify_says_what_is_wrong_with_a_block(answers: dict[str, Any]) -> None:
    block = answers["block"]
    votes = block["votes"]
    wrong = {
        "block-vote-count": {"k": 4},
        "block-vote-order": {"votes": [votes[0], votes[0], votes[1]]},
        "block-votes-root": {"header": flipped(block["header"], 100)},
        "block-signature": {"header": flipped(block["header"], 200)},
        "block-version": {"header": flipped(block["header"], 3)},
        "vote-malformed": {"votes": [{"datum": "", "proof": ""}, *votes[1:]]},
    }
    for reason, changes in wrong.items():
        assert verify_record(block | changes) == reason
    assert verify_record(block | {"signature": flipped(block["signature"], 9)}) == "block-signature"
    assert verify_record(block | {"target": "0" * 64}) == "vote-high-hash"


def test_bk_verify_says_what_is_wrong_with_a_transfer(answers: dict[str, Any]) -> None:
    transfer = answers["transfer"]
    assert verify_record(transfer | {"transfer": flipped(transfer["transfer"], 60)}) == "block-tx-root"
    assert verify_record(transfer | {"index": 0}) == "block-tx-root"
    assert verify_record(transfer | {"count": 4}) == "block-tx-root", "another number of transfers is another root"
    assert verify_record(transfer | {"branch": []}) == "transfer-branch"


@pytest.mark.parametrize(
    "record",
    [{}, {"votes": []}, {"context": "00"}, {"transfer": "00", "count": 0}, {"transfer": "00", "count": 1, "index": 0}],
)
def test_bk_verify_refuses_what_is_no_question(record: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        verify_record(record)


def test_bk_verify_as_a_command(answers: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "vote.json"
    path.write_text(json.dumps(answers["vote"]))
    result = CliRunner().invoke(commands, ["verify", "bk", str(path)])
    assert (result.exit_code, result.output) == (0, "ok\n")
    path.write_text(json.dumps(answers["vote"] | {"target": "0" * 64}))
    result = CliRunner().invoke(commands, ["verify", "bk", str(path)])
    assert (result.exit_code, result.output) == (1, "vote-high-hash\n")
    path.write_text("[]")
    assert CliRunner().invoke(commands, ["verify", "bk", str(path)]).exit_code == 2
