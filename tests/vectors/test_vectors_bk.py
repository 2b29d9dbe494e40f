"""Every entry of bk.json: bytes, ids, signatures, proposals, preference, and each of its negatives by its reason."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from chains.primitives.serialize import Reader
from chains.votes.attempt import propose, selection
from chains.votes.block import SignedBlock, sign
from chains.votes.content import BuiltContent
from chains.votes.graph import VoteGraph
from chains.votes.header import BlockHeader, genesis_header, read_header, votes_root
from chains.votes.rules import VoteRules
from chains.votes.target import block_time
from chains.votes.validity import block_problem, form_problem, place_problem, vote_problem
from chains.votes.vote import Vote, VoteDatum, VoteError, make_vote, read_vote

VECTORS = json.loads((Path(__file__).parent / "bk.json").read_text())
unhex = bytes.fromhex
KEYS = VECTORS["keys"]
TARGET = int(VECTORS["vote_target"], 16)
GENESIS = read_header(Reader(unhex(VECTORS["genesis_header"])))
TAG = "bk/block"
RULES = VoteRules(
    magic=b"BKV1", context=unhex(VECTORS["context"]), signing_tag=TAG, k=VECTORS["k"], interval_s=600,
    genesis=GENESIS, first_target=TARGET, half_life_s=18_000,
)  # fmt: skip
VOTES = [read_vote(unhex(vote["wire"]), RULES) for vote in VECTORS["votes_in_order_seen"]]
BY_ID = {vote.id: vote for vote in VOTES}


def block_of(name: str) -> SignedBlock:
    vector = VECTORS["blocks"][name]
    header = read_header(Reader(unhex(vector["header"])))
    return SignedBlock(header, unhex(vector["sig"]), tuple(map(unhex, vector["votes"])))


def problem(block: SignedBlock, votes: dict[bytes, Vote] = BY_ID, target: int = TARGET) -> str | None:
    return (
        form_problem(block, RULES)
        or place_problem(block, GENESIS.id, 0, target)
        or block_problem(block, votes, RULES)
    )


def signed_by(name: str, votes: tuple[bytes, ...], tx_root: bytes | None = None) -> SignedBlock:
    root = block_of("A").header.tx_root if tx_root is None else tx_root
    header = BlockHeader(GENESIS.id, 1, votes_root(votes), root)
    return SignedBlock(header, sign(header, TAG, unhex(KEYS[name]["secret"])), votes)


def test_bk_vector_genesis() -> None:
    assert GENESIS.id.hex() == VECTORS["genesis_id"]
    assert genesis_header(GENESIS.tx_root) == GENESIS
    assert GENESIS.serialize().hex() == VECTORS["genesis_header"]


@pytest.mark.parametrize("number", range(len(VOTES)))
def test_bk_vector_vote(number: int) -> None:
    vector, vote = VECTORS["votes_in_order_seen"][number], VOTES[number]
    assert vote.id.hex() == vector["vote_id_natural_order"]
    assert vote.size == int(vector["size"], 16)
    assert vote.time_s == vector["ntime"]
    assert vote.datum.serialize(RULES).hex() == vector["datum"]
    assert vote.serialize().hex() == vector["wire"]
    assert vote_problem(vote, TARGET) is None
    assert {vote.datum.leader_key.hex(): vote.datum.script.hex()}.items() <= {
        key["xonly"]: key["script"] for key in KEYS.values()
    }.items()


@pytest.mark.parametrize("name", ["A", "B"])
def test_bk_vector_block(name: str) -> None:
    vector, block = VECTORS["blocks"][name], block_of(name)
    assert block.header.id.hex() == vector["id"]
    assert problem(block) is None
    assert block_time([BY_ID[vote].time_s for vote in block.votes], 0) == vector["block_time"]
    assert block.header.votes_root == votes_root(block.votes)


def test_bk_vector_proposals_of_both_leaders() -> None:
    """A proposes with the first four votes, B once its smaller second vote has come; each with what it has seen."""
    for name, seen in (("A", VOTES[:4]), ("B", VOTES)):
        graph = VoteGraph(RULES)
        for vote in seen:
            graph.add_vote(vote)
        votes = selection(graph, graph.genesis, unhex(KEYS[name]["xonly"]))
        assert votes is not None
        vector = block_of(name)
        assert tuple(vote.id for vote in votes) == vector.votes
        assert propose(graph.genesis, votes, BuiltContent(vector.header.tx_root, b"")) == vector.header


def test_bk_vector_preference_whatever_comes_first() -> None:
    for order in itertools.permutations("AB"):
        graph = VoteGraph(RULES)
        for name in order:
            graph.add_block(block_of(name), BY_ID, b"")
        assert graph.best.id == block_of(VECTORS["preferred_block_of"]).header.id
        assert selection(graph, graph.genesis, unhex(KEYS["B"]["xonly"])) is None, "A leads with a smaller vote"


def vote_for_another_block() -> Vote:
    """A vote of the vectors whose datum says that it is for another block: valid in form, as a proof that was read."""
    vote = VOTES[0]
    datum = VoteDatum(block_of("A").header.id, vote.datum.leader_key, vote.datum.script)
    return Vote(datum, datum.serialize(RULES), vote.proof, vote.id, vote.size, vote.time_s)


def test_bk_vector_negatives() -> None:
    """In the order of the vectors."""
    a = block_of("A")
    leader = a.votes[0]
    found: dict[str, str | None] = {
        "one vote k times": problem(signed_by("A", (leader,) * 4)),
        "swapped": problem(signed_by("A", (a.votes[0], a.votes[2], a.votes[1], a.votes[3]))),
        "k-1 votes": problem(signed_by("A", a.votes[:3])),
        "signed by another voter": problem(signed_by("B", a.votes)),
        "target": vote_problem(max(VOTES, key=lambda vote: vote.size), max(vote.size for vote in VOTES) - 1),
        "vote for another block": problem(a, BY_ID | {VOTES[0].id: vote_for_another_block()}),
        "transactions swapped after signing": problem(
            SignedBlock(BlockHeader(GENESIS.id, 1, a.header.votes_root, bytes(32)), a.signature, a.votes)
        ),
    }
    relabelled = VoteDatum(GENESIS.id, unhex(KEYS["B"]["xonly"]), VOTES[0].datum.script)
    found["datum relabelled"] = vote_problem(make_vote(relabelled.serialize(RULES), VOTES[0].proof, RULES), TARGET)
    assert found == VECTORS["negative"]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"", "vote-malformed"),
        (unhex(VECTORS["votes_in_order_seen"][0]["wire"])[:-1], "vote-proof-malformed-proof"),
        (unhex(VECTORS["votes_in_order_seen"][0]["wire"]) + b"\x00", "vote-proof-malformed-proof"),
        (unhex(VECTORS["votes_in_order_seen"][0]["wire"]).replace(b"BKV1", b"BKV2"), "vote-context"),
        (unhex(VECTORS["votes_in_order_seen"][0]["wire"]).replace(RULES.context, bytes(32)), "vote-context"),
        (
            unhex(VECTORS["votes_in_order_seen"][0]["wire"]).replace(unhex(KEYS["A"]["xonly"]), b"\xff" * 32),
            "vote-leader-key",
        ),
    ],
)
def test_bk_vote_that_cannot_be_read(wire: bytes, reason: str) -> None:
    with pytest.raises(VoteError) as caught:
        read_vote(wire, RULES)
    assert caught.value.reason == reason
