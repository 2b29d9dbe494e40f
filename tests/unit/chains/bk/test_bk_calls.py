"""A B_k node's calls as a pool makes them, with real MM2 proofs: template, vote, proposal, block, income, payment."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from support.bk_called import KEY, NOW_MS, SECRET, CalledNode, stranger

from chains.accounts.wallet import CallRefusedError
from chains.bk.calls import CALLS
from chains.bk.content import root_of
from chains.calls.errors import CallError
from chains.calls.table import Access
from chains.peers.core import Answer, Asked, Broadcast, Tell, Write
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.merkle import fold_branch
from chains.votes.header import BlockHeader
from chains.votes.vote import VoteDatum


def test_bk_calls_from_template_to_income() -> None:
    node = CalledNode()
    first = node.call("getvotetemplate", KEY, node.script)
    assert first["previousblockhash"] == displayed(node.core.genesis) and first["votes"] == 0
    assert bytes.fromhex(first["datum"]) == VoteDatum(
        node.core.genesis, bytes.fromhex(KEY), bytes.fromhex(node.script)
    ).serialize(node.core.chain.rules)
    votes = [node.vote()]
    assert node.call("getproposal", KEY) is None
    assert node.call("waitforproposal", KEY) == [None, False]
    votes += [node.vote(), node.vote()]
    assert node.call("getvotetemplate", KEY, node.script)["datum"] == first["datum"], "votes change no template"
    assert node.call("getvotestatus", displayed(votes[0]))["state"] == "waiting"
    assert node.call("waitforproposal", KEY)[1]
    block = node.lead()
    second = node.call("waitfortemplate", KEY, node.script, first["previousblockhash"])
    assert second[1] and second[0]["previousblockhash"] == block
    told = [node.call("getvotestatus", displayed(vote)) for vote in votes]
    assert {one["state"] for one in told} == {"included"} and {one["block"] for one in told} == {block}
    assert sorted(one["index"] for one in told) == [0, 1, 2]
    assert sorted(one["amount"] for one in told) == [333, 333, 334]
    leader = next(one for one in told if one["leader"])
    assert leader["amount"] == 334 and leader["confirmations"] == 1
    shown = node.call("getblock", block)
    assert [vote["amount"] for vote in shown["votes"]] == [334, 333, 333]
    assert shown["votes"][0]["address"] == node.address and shown["confirmations"] == 1
    assert node.call("getblockcount") == 1 and node.call("getbestblockhash") == block
    assert node.call("getblockhash", 1) == block
    assert node.call("getblockchaininfo")["issued"] == 1000
    assert node.call("getbalance", node.address)["immature"] == 1000


def test_bk_calls_late_vote_is_valid_and_never_paid() -> None:
    node = CalledNode()
    old = node.call("getvotetemplate", KEY, node.script)
    node.block()
    proof, vote = node.mined(bytes.fromhex(old["datum"]), int(old["target"], 16))
    assert node.call("submitvote", old["datum"], proof) == "inconclusive"
    assert node.call("submitvote", old["datum"], proof) == "duplicate"
    assert node.call("getvotestatus", displayed(vote))["state"] == "late"
    assert node.call("getvotestatus", "00" * 32)["state"] == "unknown"


def test_bk_calls_bad_votes_and_blocks_are_told_why() -> None:
    node = CalledNode(first_difficulty=1 << 40)
    template = node.call("getvotetemplate", KEY, node.script)
    datum = bytes.fromhex(template["datum"])
    proof, _ = node.mined(datum, 2**250)
    assert node.call("submitvote", template["datum"], proof) == "vote-high-hash"
    assert node.call("submitvote", template["datum"], proof[:-2]) == "vote-proof-malformed-proof"
    other = VoteDatum(b"\x01" * 32, bytes.fromhex(KEY), b"").serialize(node.core.chain.rules)
    assert node.call("submitvote", other.hex(), node.mined(other, 2**250)[0]) == "vote-unknown-block"
    assert node.call("submitblock", node.core.chain.rules.genesis.serialize().hex(), "00" * 64, []) == "duplicate"
    header = BlockHeader(node.core.genesis, 1, bytes(32), bytes(32)).serialize().hex()
    assert node.call("submitblock", header, "00" * 64, []) == "block-vote-count"
    for parameters, code in ((("00", "00" * 64, []), -22), ((header, "00", []), -22), ((header, "00" * 64, ["x"]), -8)):
        with pytest.raises(CallError) as caught:
            node.call("submitblock", *parameters)
        assert caught.value.code == code
    for name, given in (("getvotetemplate", (KEY, "00" * 81)), ("getvotetemplate", ("ff" * 32, "")),
                        ("getblock", ("11" * 32,)), ("getblockhash", (7,)), ("getvoteproof", ("11" * 32,)),
                        ("gettransferproof", ("11" * 32,))):  # fmt: skip
        with pytest.raises(CallError):
            node.call(name, *given)


def test_bk_calls_proposal_without_a_vote_that_it_names_is_refused() -> None:
    node = CalledNode()
    for _ in range(3):
        node.vote()
    proposal = node.call("getproposal", KEY)
    other = CalledNode()
    signature = PrivateKey(SECRET).sign_schnorr(bytes.fromhex(proposal["digest"]), bytes(32)).hex()
    answer = other.call("submitblock", proposal["header"], signature, proposal["votes"], proposal["body"])
    assert answer == "block-vote-missing"
    assert other.core.chain.height == 0


def test_bk_calls_payment_is_kept_mined_and_proven() -> None:
    node = CalledNode()
    for _ in range(3):
        node.block()
    receiver = stranger(node)
    unsigned = node.call("createtransfer", node.public_key, node.address, [{"address": receiver, "amount": 400}])
    signed = node.call("signtransfer", unsigned["hex"])
    assert signed["id"] == unsigned["id"] and signed["signed"]
    sent = node.call("sendtransfer", signed["hex"])
    assert sent == signed["id"]
    written = next(place for place, effect in enumerate(node.effects) if isinstance(effect, Write))
    answered = next(place for place, effect in enumerate(node.effects) if isinstance(effect, Answer))
    assert written < answered and any(isinstance(effect, Broadcast) for effect in node.effects)
    assert node.call("sendtransfer", signed["hex"]) == sent, "sending again does no harm"
    node.start()
    assert node.call("gettransfer", sent)["state"] == "waiting", "kept through a crash"
    votes = node.block()
    where = {"height": 4, "block": node.call("getblockhash", 4), "confirmations": 1}
    assert node.call("gettransfer", sent) == {"id": sent, "state": "confirmed", **where}
    assert node.call("getbalance", receiver)["spendable"] == 400
    proof = node.call("gettransferproof", sent)
    branch = [bytes.fromhex(sibling) for sibling in proof["branch"]]
    root = fold_branch(sha256d(bytes.fromhex(proof["transfer"])), branch, proof["index"])
    assert sha256d(proof["count"].to_bytes(4, "little") + root).hex() == proof["header"][-64:]
    assert proof["header"][-64:] == root_of([bytes.fromhex(proof["transfer"])]).hex()
    amounts = [node.call("getvotestatus", displayed(vote))["amount"] for vote in votes]
    assert sum(amounts) == 1000 + unsigned["fee"], "the leader has the fees"
    assert node.call("getblock", node.call("getbestblockhash"))["fees"] == unsigned["fee"]
    paid = [line["amount"] for line in node.call("listtransfers", node.address) if line["id"] == sent]
    assert paid == [-400 - unsigned["fee"]]


def test_bk_calls_payments_that_cannot_be_made_are_refused() -> None:
    node = CalledNode()
    node.block()
    with pytest.raises(CallRefusedError):
        node.call("sendtransfer", "00")
    unsigned = node.call(
        "createtransfer", node.public_key, node.address, [{"address": stranger(node), "amount": 5000}]
    )
    signed = node.call("signtransfer", unsigned["hex"])
    with pytest.raises(CallError) as caught:
        node.call("sendtransfer", signed["hex"])
    assert (caught.value.code, caught.value.message) == (-26, "insufficient-balance")


def test_bk_calls_chain_of_one_vote_per_block_works() -> None:
    node = CalledNode(k=1)
    for _ in range(3):
        (vote,) = node.block()
        assert node.call("getvotestatus", displayed(vote))["amount"] == 1000
    assert node.call("getchainview")["blocks"] == 3
    assert [len(height["blocks"]) for height in node.call("getchainview")["heights"]] == [1, 1, 1, 1]


def test_bk_calls_who_may_only_read_cannot_sign_or_send() -> None:
    writing = {call.name for call in CALLS if call.access is Access.WRITE}
    assert writing == {"submitvote", "submitblock", "sendtransfer", "signtransfer"}
    node = CalledNode()
    with pytest.raises(CallError) as caught:
        node.carry_out(node.core.on(NOW_MS, Asked("nonsense", 1, ())))
    assert caught.value.code == -32601


def test_bk_calls_topics_are_told_when_they_change() -> None:
    node = CalledNode()
    node.vote()
    assert [effect.topic for effect in node.effects if isinstance(effect, Tell)] == ["proposal"]
    node.vote()
    node.vote()
    node.lead()
    proof = node.call("getvoteproof", node.call("getblock", node.call("getbestblockhash"))["votes"][0]["vote"])
    assert proof["context"] == node.parameters.context.hex()
