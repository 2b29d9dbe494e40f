"""The pool's side of a consensus-proof network in aux mode: template, commitment, proof, status, income."""

from __future__ import annotations

from typing import Any

import pytest
from ppow_miner import AUX_NETWORK, CHAIN_A, NETWORK, SCRIPTS, ask, new_node, start

from chains.accounts.wallet import CallRefusedError
from chains.kind import BlockStatus, NodeState, SolvedHeader, SubmitAnswer, SubmitResult, TemplateError
from chains.mm2.commitment import Mm2Kind
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.parallel.calls import READS
from chains.parallel.commitment import ParallelKind
from chains.parallel.core import ParallelCore
from chains.parallel.node import ParallelNode
from chains.parallel.template import parse_status, parse_template
from chains.primitives.fields import FieldError
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.target import meets
from chains.primitives.transaction import Transaction, TxIn, TxOut


class CoreRpc:
    """A node's calls without the wire; `spoil` changes answers."""

    def __init__(self, core: ParallelCore) -> None:
        self.core = core
        self.spoil: dict[str, Any] = {}
        self.closed = False

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        if method in self.spoil:
            return self.spoil[method]
        if method in READS:
            try:
                return READS[method](self.core, *params)
            except CallRefusedError as refused:
                raise RpcError(refused.code, refused.reason) from refused
        answer = ask(self.core, method, *params)
        if isinstance(answer, tuple):
            raise RpcError(*answer)
        return answer

    async def close(self) -> None:
        self.closed = True


def world(scripts: dict[str, bytes] | None = None, network: Any = AUX_NETWORK) -> tuple[CoreRpc, ParallelNode]:
    core = new_node(network=network)
    start(core)
    rpc = CoreRpc(core)
    paid = {"a": SCRIPTS[0], "b": SCRIPTS[1]} if scripts is None else scripts
    return rpc, ParallelNode("parallel", "parallel[0]", rpc, paid, AUX_NETWORK.context)


def solve(root: bytes, target: int) -> SolvedHeader:
    output = TxOut(0, b"\x6a\x28" + root + bytes(8))
    coinbase = Transaction(2, (TxIn(bytes(32), 0xFFFFFFFF, b"\x02\x01\x02"),), (TxOut(5, b"\x51"), output)).serialize()
    for nonce in range(2**32):
        header = Header(1, b"\x07" * 32, sha256d(coinbase), 1_500_000_000, 0x1D00FFFF, nonce)
        if meets(header.hash, target):
            return SolvedHeader(header.serialize(), coinbase, ())
    raise AssertionError("no proof of work")


async def mine(node: ParallelNode) -> tuple[str, SubmitAnswer]:
    """The displayed id that the pool knows the proof by, and the node's verdict."""
    kind = ParallelKind()
    template = await node.template()
    committed = kind.commit([template])
    assert committed.root is not None
    solved = solve(committed.root, template.target)
    answer = await node.submit(kind.assemble(solved, template, committed.slots["parallel"]))
    return displayed(kind.found_hash(template, sha256d(solved.header))), answer


async def test_parallel_pool_mines_a_datum_and_is_told_what_each_chain_paid() -> None:
    rpc, node = world()
    assert (await node.health()).state is NodeState.OK
    name, answer = await mine(node)
    assert answer == SubmitAnswer(SubmitResult.ACCEPTED)
    assert displayed(rpc.core.tree.best.id) == name
    income = await node.income(name)
    assert {chain: (view.state, view.amount) for chain, view in income.items()} == {
        "a": ("block", 5000),
        "b": ("block", 700),
    }
    assert await node.block_status(name) == BlockStatus(True, 1, 1)
    assert await node.block_reward(name) == 5000
    again, _ = await mine(node)
    assert await node.block_status(name) == BlockStatus(True, 2, 1)
    assert again != name
    await node.close()
    assert rpc.closed


async def test_parallel_pool_is_paid_nothing_for_gaps_and_others_blocks() -> None:
    rpc, node = world()
    name, _ = await mine(ParallelNode("parallel", "n", rpc, {"b": SCRIPTS[3]}, AUX_NETWORK.context))
    income = await node.income(name)
    assert {chain: (view.state, view.amount) for chain, view in income.items()} == {"a": ("gap", 0), "b": ("block", 0)}
    assert await node.block_status(name) == BlockStatus(True, -1, 0)
    assert await node.block_reward(name) == 0
    assert await node.block_status("00" * 32) == BlockStatus(False)


async def test_parallel_pool_names_what_is_wrong_with_a_node() -> None:
    _, root_mode = world(network=NETWORK)
    assert (await root_mode.health()).state is NodeState.WRONG_NETWORK
    with pytest.raises(TemplateError, match="refuses"):
        await root_mode.template()
    _, unknown = world({"c": SCRIPTS[0]})
    assert (await unknown.health()).detail == "the node does not follow c"
    with pytest.raises(TemplateError, match="does not follow"):
        await unknown.template()
    rpc, node = world()
    for method, call in (
        ("getchainview", node.health),
        ("submitparalleldatum", lambda: node.submit({"hash": "00" * 32, "proof": ""})),
        ("getparallelblockstatus", lambda: node.block_reward("00" * 32)),
    ):
        rpc.spoil = {method: {"nonsense": 1}}
        with pytest.raises(NodeUnavailableError, match=f"unusable {method}"):
            await call()
    rpc.spoil = {}
    assert await node.submit({"hash": "00" * 32, "proof": ""}) == SubmitAnswer(SubmitResult.STALE, "stale")
    with pytest.raises(ValueError, match="at least one"):
        world({})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"datum": "00" * 108}, "a datum begins with PPA1"),
        ({"hash": "00" * 32}, "datum: it is not what hash"),
        ({"manifest": "00"}, "does not rebuild"),
        ({"target": "00" * 31 + "01"}, "is not the target of bits"),
        ({"height": 0}, "height: expected 1"),
        ({"coinbasevalue": "5"}, "coinbasevalue: expected an integer"),
    ],
)
async def test_parallel_pool_refuses_a_template_that_cannot_be_mined(changes: dict[str, Any], reason: str) -> None:
    rpc, _ = world()
    good = await rpc.call("createparalleldatum", {"a": SCRIPTS[0].hex()})
    parse_template(good, chain="x", node="n", context=AUX_NETWORK.context)
    with pytest.raises(TemplateError, match=reason):
        parse_template({**good, **changes}, chain="x", node="n", context=AUX_NETWORK.context)


def test_parallel_kind_shares_the_trie_with_other_kinds() -> None:
    kind = ParallelKind()
    assert kind.tree == Mm2Kind().tree
    assert kind.provable(b"anything")
    assert CHAIN_A.context != AUX_NETWORK.context
    with pytest.raises(FieldError, match="state: expected one of"):
        parse_status({"state": "lost"})
