"""The calls of a consensus-proof node as a table, and what they tell."""

from __future__ import annotations

from typing import Any

import pytest
from ppow_miner import CHAIN_A, CHAIN_B, SCRIPTS, ask, mine, new_node, read, start, template

from chains.accounts.transfer import read_transfer
from chains.accounts.wallet import CallRefusedError
from chains.calls.table import Access, CallTable
from chains.parallel.core import ParallelCore
from chains.parallel.parameters import NetworkParameters
from chains.parallel.proof import read_proof
from chains.parallel.table import CALLS, wait_for_consensus_template
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.merkle import fold_branch


def started() -> ParallelCore:
    node = new_node()
    start(node)
    return node


def test_parallel_calls_make_a_table_in_which_every_call_has_words() -> None:
    table = CallTable(CALLS)
    assert all(len(call.doc) > 20 for call in table)
    assert table.find("getparallelblockstatus").usage() == "getparallelblockstatus chain_name id_hex"
    writing = {call.name for call in table if call.access is Access.WRITE}
    assert {"signtransfer", "sendtransfer", "submitconsensusproof"} <= writing, "signing needs credentials"
    assert table.find("submitconsensusproof").values(["00"]) == ("00", None)


def test_parallel_waiting_for_a_template_ends_with_a_new_tip_or_body() -> None:
    node = started()
    offer = template(node, {"a": 0})
    scripts = {"a": SCRIPTS[0].hex()}
    assert not wait_for_consensus_template(node, scripts, offer["longpollid"]).is_news
    mine(node, {})
    assert wait_for_consensus_template(node, scripts, offer["longpollid"]).is_news


def test_parallel_template_names_chains_by_name_or_context_and_scripts_by_address() -> None:
    node = started()
    address = read(node, "listaccounts", "a")[0]["address"]
    by_name = read(node, "getconsensustemplate", {"a": address})
    assert by_name == read(node, "getconsensustemplate", {CHAIN_A.context.hex(): SCRIPTS[0].hex()})
    assert by_name["coinbase"].endswith("00" * 12)
    for scripts, reason in (
        ({"c": address}, "does not follow"),
        ({"a": "nonsense"}, "Invalid address"),
        ({"a": "51" * 23}, "a reward script"),
        ({"a": address, CHAIN_A.context.hex(): address}, "twice"),
    ):
        with pytest.raises(CallRefusedError, match=reason):
            read(node, "getconsensustemplate", scripts)


def test_parallel_view_blocks_and_proofs_are_told() -> None:
    node = started()
    first = mine(node, {"a": 0, "b": 1})
    mine(node, {"a": 2})
    view = read(node, "getchainview")
    assert (view["height"], view["proofs"], view["held"], view["peers"]) == (2, 2, 0, 0)
    chain_b = view["chains"][1]
    assert (chain_b["chain"], chain_b["height"], chain_b["issued"], chain_b["unresolved"]) == ("b", 1, 700, 0)
    assert [one["state"] for one in chain_b["recent"]] == ["block", "gap"]
    name = read(node, "getblockhash", "b", 1)
    block = read(node, "getblock", "b", name)
    assert (block["state"], block["proof"], len(block["transactions"])) == ("block", first["id"], 1)
    assert displayed(sha256d(bytes.fromhex(block["header"]))) == name
    found = read(node, "getconsensusproof", first["id"])
    assert (found["height"], found["confirmations"], len(found["chains"])) == (1, 2, 2)
    assert read_proof(bytes.fromhex(found["hex"]), node.parameters).id == node.tree.path[1]
    for call, parameters in (
        ("getblockhash", ("b", 2)),
        ("getblock", ("b", "00" * 32)),
        ("getblock", ("b", "zz")),
        ("getconsensusproof", ("00" * 32,)),
        ("gettransferproof", ("b", "00" * 32)),
    ):
        with pytest.raises(CallRefusedError):
            read(node, call, *parameters)
    assert read(node, "getparallelblockstatus", "b", "00" * 32)["state"] == "unknown"


def payment(node: ParallelCore, amount: int) -> dict[str, Any]:
    accounts = read(node, "listaccounts", "a")
    outputs = [{"address": accounts[1]["address"], "amount": amount}]
    made = read(node, "createtransfer", "a", accounts[0]["public_key"], accounts[0]["address"], outputs, 5)
    signed: dict[str, Any] = ask(node, "signtransfer", "a", made["hex"])
    return signed


def test_parallel_transfer_proof_leads_from_the_transaction_to_the_manifest() -> None:
    node = started()
    for _ in range(4):
        mine(node, {"a": 0})
    signed = payment(node, 10)
    ask(node, "sendtransfer", "a", signed["hex"])
    mine(node, {"a": 0, "b": 0})
    proof = read(node, "gettransferproof", "a", signed["id"])
    transaction = bytes.fromhex(proof["transaction"])
    assert read_transfer(transaction).serialize().hex() == signed["hex"]
    branch = [bytes.fromhex(sibling) for sibling in proof["branch"]]
    root = fold_branch(sha256d(transaction), branch, proof["index"])
    manifest = read_proof(bytes.fromhex(proof["proof"]), node.parameters).manifest
    assert manifest.get(CHAIN_A.context) == root == bytes.fromhex(proof["root"])


def test_parallel_transfer_of_one_chain_is_none_on_another() -> None:
    node = started()
    for _ in range(4):
        mine(node, {"a": 0, "b": 0})
    signed = payment(node, 10)
    assert ask(node, "sendtransfer", "b", signed["hex"]) == (-26, "bad-signature")
    elsewhere = new_node(network=NetworkParameters("another", first_bits=0x207FFFFF, half_life_s=None))
    start(elsewhere)
    for _ in range(4):
        mine(elsewhere, {"a": 0})
    assert ask(elsewhere, "sendtransfer", "a", signed["hex"]) == (-26, "bad-signature")
    assert CHAIN_A.id_on(node.parameters) != CHAIN_B.id_on(node.parameters)


def test_parallel_wallet_signs_for_its_own_accounts_only() -> None:
    node = new_node()
    start(node)
    made = payment(node, 10)
    node.wallet.clear()
    assert ask(node, "signtransfer", "a", made["hex"][: -2 * 64])[0] == -4
