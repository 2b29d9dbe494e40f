"""The pool's side of a consensus-proof network in aux mode: one datum for all its chains, proof, status, income."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import pytest
from ppow_miner import AUX_NETWORK, CHAIN_A, NETWORK, SCRIPTS, ask, new_node, start

from chains.accounts.wallet import CallRefusedError
from chains.kind import AuxTemplate, BlockStatus, NodeState, SolvedHeader, SubmitAnswer, SubmitResult, TemplateError
from chains.mm2.commitment import Mm2Kind
from chains.mm2_proof.tree import DuplicateContextError
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.parallel.calls import READS
from chains.parallel.commitment import ParallelKind
from chains.parallel.core import ParallelCore
from chains.parallel.network_node import NetworkNode, PaidChain
from chains.parallel.node import ParallelNode
from chains.parallel.template import parse_offer, parse_status
from chains.primitives.fields import FieldError
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.target import meets
from chains.primitives.transaction import Transaction, TxIn, TxOut


class CoreRpc:
    """A node's calls without the wire; `spoil` changes answers, `asked` counts calls, `hold` keeps answers back."""

    def __init__(self, core: ParallelCore) -> None:
        self.core = core
        self.spoil: dict[str, Any] = {}
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None
        self.closed = False

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self.asked.append(method)
        if self.hold is not None:
            await self.hold.wait()
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


BOTH = {"ppa": ("a", SCRIPTS[0]), "ppb": ("b", SCRIPTS[1])}
"""The pool's chains: their names at the nodes, and what is paid."""


class World:
    """A node, and the pool's chains at it."""

    def __init__(
        self,
        chains: dict[str, tuple[str, bytes]] | None = None,
        network: Any = AUX_NETWORK,
        core: ParallelCore | None = None,
        maturity: int | None = None,
        **options: Any,
    ) -> None:
        self.core = new_node(network=network) if core is None else core
        if core is None:
            start(self.core)
        self.rpc = CoreRpc(self.core)
        paid = [
            PaidChain(chain, f"{chain}[0]", name, script, (SCRIPTS[4],), maturity)
            for chain, (name, script) in (BOTH if chains is None else chains).items()
        ]
        self.network = NetworkNode("net[0]", self.rpc, AUX_NETWORK.context, paid, **options)
        self.nodes = {chain: ParallelNode(chain, self.network) for chain in self.network.chains}

    async def templates(self) -> list[AuxTemplate]:
        return list((await self.network.template()).templates.values())

    async def mine(self) -> tuple[str, list[SubmitAnswer]]:
        """The displayed id that the pool knows the proof by, and the verdict each chain hears."""
        kind = ParallelKind()
        templates = await self.templates()
        committed = kind.commit(templates)
        assert committed.root is not None
        solved = solve(committed.root, templates[0].target)
        payloads = {one.chain: kind.assemble(solved, one, committed.slots[one.chain]) for one in templates}
        answers = await asyncio.gather(*(self.nodes[chain].submit(payloads[chain]) for chain in payloads))
        names = {displayed(kind.found_hash(one, sha256d(solved.header))) for one in templates}
        assert names == {payload["hash"] for payload in payloads.values()}
        return names.pop(), answers


def solve(root: bytes, target: int) -> SolvedHeader:
    output = TxOut(0, b"\x6a\x28" + root + bytes(8))
    coinbase = Transaction(2, (TxIn(bytes(32), 0xFFFFFFFF, b"\x02\x01\x02"),), (TxOut(5, b"\x51"), output)).serialize()
    for nonce in range(2**32):
        header = Header(1, b"\x07" * 32, sha256d(coinbase), 1_500_000_000, 0x1D00FFFF, nonce)
        if meets(header.hash, target):
            return SolvedHeader(header.serialize(), coinbase, ())
    raise AssertionError("no proof of work")


async def test_parallel_pool_has_one_datum_for_all_chains_and_each_is_paid() -> None:
    world = World()
    one, other = await world.templates()
    assert (one.chain, one.node, one.height, one.value_sat) == ("ppa", "ppa[0]", 1, 5000)
    assert (other.chain, other.node, other.height, other.value_sat) == ("ppb", "ppb[0]", 1, 700)
    shared = ("aux_hash", "context", "datum", "target", "previous_hash")
    assert [getattr(one, key) for key in shared] == [getattr(other, key) for key in shared]
    name, answers = await world.mine()
    assert answers == [SubmitAnswer(SubmitResult.ACCEPTED)] * 2
    assert world.rpc.asked.count("submitparalleldatum") == 1, "handed in once"
    assert displayed(world.core.tree.best.id) == name
    for node, amount in zip(world.nodes.values(), (5000, 700), strict=True):
        assert await node.block_status(name) == BlockStatus(True, 1, 1)
        assert await node.block_reward(name) == amount
    await world.mine()
    assert await world.nodes["ppa"].block_status(name) == BlockStatus(True, 2, 1)
    assert (await world.nodes["ppb"].template()).height == 3


async def test_parallel_pool_that_hands_a_proof_in_again_hears_that_it_is_there() -> None:
    world = World()
    kind = ParallelKind()
    one, other = await world.templates()
    committed = kind.commit([one, other])
    assert committed.root is not None
    payload = kind.assemble(solve(committed.root, one.target), one, committed.slots["ppa"])
    assert (await world.nodes["ppa"].submit(payload)).result is SubmitResult.ACCEPTED
    assert (await world.nodes["ppb"].submit(payload)).result is SubmitResult.DUPLICATE
    with pytest.raises(NodeUnavailableError, match="another proof than the one handed in"):
        await world.nodes["ppb"].submit({**payload, "hash": "11" * 32})


async def test_parallel_pool_is_paid_nothing_for_gaps_and_others_blocks() -> None:
    alone = World({"ppb": ("b", SCRIPTS[3])})
    name, _ = await alone.mine()
    world = World(core=alone.core)
    assert await world.nodes["ppa"].block_status(name) == BlockStatus(True, -1, 0)
    with pytest.raises(NodeUnavailableError, match="any more: gap"):
        await world.nodes["ppa"].block_reward(name)
    assert await world.nodes["ppb"].block_status(name) == BlockStatus(True, 1, 1)
    assert await world.nodes["ppb"].block_reward(name) == 0
    assert await world.nodes["ppb"].block_status("00" * 32) == BlockStatus(False)
    former = World({"ppb": ("b", SCRIPTS[4])}, core=alone.core)
    name, _ = await former.mine()
    assert await world.nodes["ppb"].block_reward(name) == 700, "an address that was ours"


async def test_parallel_pool_lets_nothing_mature_above_a_hidden_body(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    name, _ = await world.mine()
    await world.mine()
    view = await world.rpc.call("getchainview")
    world.rpc.spoil = {"getchainview": {**view, "chains": [{**view["chains"][0], "unresolved": 1}, view["chains"][1]]}}
    caplog.set_level(logging.INFO, "parapool.chain")
    assert (await world.nodes["ppa"].health()).state is NodeState.OK
    await world.nodes["ppa"].health()
    assert (await world.nodes["ppa"].block_status(name)).confirmations == 1
    assert (await world.nodes["ppb"].block_status(name)).confirmations == 2
    eager = ParallelNode("ppa", world.network, waits_for_bodies=False)
    assert (await eager.block_status(name)).confirmations == 2
    world.rpc.spoil = {}
    await world.nodes["ppb"].health()
    assert (await world.nodes["ppa"].block_status(name)).confirmations == 2
    told = [record.message.partition(" chain=")[0] for record in caplog.records]
    assert told == [
        "bodies of a chain are hidden, its blocks do not mature until they are known",
        "no body of a chain is missing any more",
    ]


async def test_parallel_pool_mines_the_chains_that_a_node_follows() -> None:
    world = World({"ppa": ("a", SCRIPTS[0]), "ppc": ("c", SCRIPTS[1])})
    assert (await world.network.health()).state is NodeState.OK
    assert (await world.nodes["ppa"].health()).state is NodeState.OK
    found = await world.nodes["ppc"].health()
    assert (found.state, found.detail) == (NodeState.WRONG_NETWORK, "the node does not follow c")
    assert [template.chain for template in await world.templates()] == ["ppa"]
    with pytest.raises(TemplateError, match="does not follow it"):
        await world.nodes["ppc"].template()
    _, answers = await world.mine()
    assert answers == [SubmitAnswer(SubmitResult.ACCEPTED)]
    by_context = World({"ppb": (CHAIN_A.context.hex(), SCRIPTS[1])})
    assert (await by_context.nodes["ppb"].template()).value_sat == 5000


async def test_parallel_pool_leaves_out_a_chain_whose_rewards_wait_longer_than_its_own_books() -> None:
    world = World(maturity=CHAIN_A.maturity_blocks)
    assert (await world.network.health()).state is NodeState.OK
    view = await world.rpc.call("getchainview")
    longer = {**view["chains"][0], "maturity_blocks": CHAIN_A.maturity_blocks + 1}
    world.rpc.spoil = {"getchainview": {**view, "chains": [longer, view["chains"][1]]}}
    found = await world.nodes["ppa"].health()
    words = f"after {CHAIN_A.maturity_blocks + 1} blocks, the pool calls them available after {CHAIN_A.maturity_blocks}"
    assert found.state is NodeState.WRONG_NETWORK and words in found.detail
    assert (await world.nodes["ppb"].health()).state is NodeState.OK
    assert [template.chain for template in await world.templates()] == ["ppb"]
    world.rpc.spoil = {"getchainview": {**view, "chains": [longer]}}
    found = await world.network.health()
    assert (found.state, found.detail.count("; ")) == (NodeState.WRONG_NETWORK, 1)
    assert words in found.detail and "does not follow b" in found.detail


async def test_parallel_pool_leaves_out_a_chain_that_has_not_begun() -> None:
    late = dataclasses.replace(CHAIN_A, start=b"\x01" * 32)
    core = new_node((late,), network=AUX_NETWORK)
    start(core)
    world = World({"ppa": ("a", SCRIPTS[0])}, core=core)
    assert (await world.nodes["ppa"].health()).state is NodeState.OK
    with pytest.raises(TemplateError, match="none of ppa has begun"):
        await world.nodes["ppa"].template()


async def test_parallel_pool_asks_once_for_all_its_chains() -> None:
    world = World()
    world.rpc.hold = asyncio.Event()
    asking = [asyncio.ensure_future(node.health()) for node in world.nodes.values()]
    gives_up = asyncio.ensure_future(world.network.health())
    await asyncio.sleep(0)
    gives_up.cancel()
    await asyncio.sleep(0)
    world.rpc.hold.set()
    assert [health.state for health in await asyncio.gather(*asking)] == [NodeState.OK] * 2
    assert world.rpc.asked == ["getchainview"]


async def test_parallel_node_is_closed_by_the_last_of_its_chains() -> None:
    world = World()
    world.rpc.hold = asyncio.Event()
    asking = asyncio.ensure_future(world.network.template())
    await asyncio.sleep(0)
    await world.nodes["ppa"].close()
    assert not world.rpc.closed
    await world.nodes["ppb"].close()
    assert world.rpc.closed
    with pytest.raises(NodeUnavailableError, match="not asked any more"):
        await asking


async def test_parallel_pool_names_what_is_wrong_with_a_node() -> None:
    root_mode = World(network=NETWORK)
    assert (await root_mode.network.health()).state is NodeState.WRONG_NETWORK
    with pytest.raises(TemplateError, match="refuses"):
        await root_mode.network.template()
    unknown = World({"ppc": ("c", SCRIPTS[0])})
    assert (await unknown.network.health()).detail == "the node does not follow c"
    elsewhere = World(genesis=b"\x01" * 32)
    assert "the node's genesis is" in (await elsewhere.nodes["ppa"].health()).detail
    assert (await World(genesis=AUX_NETWORK.genesis).network.health()).state is NodeState.OK
    world = World()
    node = world.nodes["ppa"]
    for method, call in (
        ("getchainview", node.health),
        ("submitparalleldatum", lambda: node.submit({"hash": "00" * 32, "datum": "", "proof": ""})),
        ("getparallelblockstatus", lambda: node.block_reward("00" * 32)),
    ):
        world.rpc.spoil = {method: {"nonsense": 1}}
        with pytest.raises(NodeUnavailableError, match=f"unusable {method}"):
            await call()
    world.rpc.spoil = {"getchainview": {**await World().rpc.call("getchainview"), "initialblockdownload": True}}
    assert (await node.health()).state is NodeState.SYNCING
    nothing = {"hash": "00" * 32, "datum": "00", "proof": "00"}
    assert await node.submit(nothing) == SubmitAnswer(SubmitResult.STALE, "stale")
    with pytest.raises(ValueError, match="at least one"):
        World({})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"datum": "00" * 108}, "a datum begins with PPA1"),
        ({"hash": "00" * 32}, "datum: it is not what hash"),
        ({"manifest": "00"}, "does not rebuild"),
        ({"target": "00" * 31 + "01"}, "is not the target of bits"),
        ({"height": 0}, "height: expected 1"),
        ({"chains": {}}, "chains: expected a list"),
        ({"chains": [{"context": "00" * 32, "root": "00" * 32}]}, "the manifest has another root of 0000"),
    ],
)
async def test_parallel_pool_refuses_a_template_that_cannot_be_mined(changes: dict[str, Any], reason: str) -> None:
    good = await World().rpc.call("createparalleldatum", {"a": SCRIPTS[0].hex()})
    parse_offer(good, AUX_NETWORK.context)
    with pytest.raises(TemplateError, match=reason):
        parse_offer({**good, **changes}, AUX_NETWORK.context)


async def test_parallel_chains_of_one_datum_share_a_leaf_and_others_do_not() -> None:
    kind = ParallelKind()
    assert kind.tree == Mm2Kind().tree
    assert kind.provable(b"anything")
    one, other = await World().templates()
    together, alone = kind.commit([one, other]), kind.commit([one])
    assert together.root == alone.root
    assert together.slots["ppa"] == together.slots["ppb"] == alone.slots["ppa"]
    for changed in (
        dataclasses.replace(other, datum=bytes(108), aux_hash=bytes(32)),
        dataclasses.replace(other, datum=None),
    ):
        with pytest.raises(DuplicateContextError, match="ppa and ppb have the same MM2 context"):
            kind.commit([one, changed])


def test_parallel_status_is_one_of_the_known_words() -> None:
    with pytest.raises(FieldError, match="state: expected one of"):
        parse_status({"state": "lost"})
