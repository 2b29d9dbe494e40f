"""A B_k node as the pool speaks to it: the real calls of a real core answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from coincurve import PrivateKey
from support.bk_called import KEY, SECRET, CalledNode
from support.mm2_parents import coinbase_of, mine

from chains.bk.commitment import BkKind
from chains.bk.node import BkNode
from chains.bk.template import parse_template
from chains.calls.errors import CallError
from chains.families import network
from chains.kind import AuxTemplate, Network, NodeState, SolvedHeader, SubmitResult, TemplateError
from chains.mm2_proof.tree import build_tree, context_of
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed, sha256d

DEVNET = network("devnet", "regtest")
SCRIPT = b"\x00\x14" + b"\x07" * 20
OTHER = b"\x00\x14" + b"\x08" * 20


class Rpc:
    """Calls a core as JSON-RPC does; `change` may spoil an answer, as a node of another version could."""

    def __init__(self, node: CalledNode) -> None:
        self.node = node
        self.change: Mapping[str, Any] = {}

    async def call(self, method: str, *parameters: Any, timeout_s: float | None = None) -> Any:
        try:
            answer = self.node.call(method, *parameters)
        except CallError as error:
            raise RpcError(error.code, str(error)) from error
        if method == "waitforproposal":
            answer = answer[0]
        return {**answer, **self.change} if isinstance(answer, dict) else answer

    async def close(self) -> None:
        pass


def address(script: bytes) -> str:
    text = script_to_address(script, DEVNET.addresses)
    assert text is not None
    return text


class Side:
    """A node, the pool's edge of it, and the kind between them."""

    def __init__(self, *former: bytes, name: str = "bk-calls") -> None:
        self.node = CalledNode()
        self.rpc = Rpc(self.node)
        self.edge = self.edge_of(SCRIPT, *former, name=name)
        self.found = 0

    def edge_of(self, script: bytes, *former: bytes, name: str = "bk-calls") -> BkNode:
        net: Network = DEVNET
        texts = [address(one) for one in former]
        return BkNode("votes", "votes[0]", self.rpc, address(script), net, name, bytes.fromhex(KEY), texts)

    def solve(self, template: AuxTemplate) -> SolvedHeader:
        """A parent of several chains whose header meets the template's target."""
        self.found += 1
        assert template.context is not None
        tree = build_tree({template.context: template.aux_hash, sha256d(b"other"): bytes(32)})
        head = b"\x02" + self.found.to_bytes(2, "little")
        parent = mine(coinbase_of(tree.root, head), tree, [b"\x01" * 32], template.target)
        self.slot = tree.links[template.context]
        return SolvedHeader(parent.header, parent.coinbase, tuple(parent.branch))

    async def vote(self, edge: BkNode | None = None) -> tuple[str, SubmitResult]:
        """(displayed hash, result) of a vote for the present template."""
        template = await (edge or self.edge).template()
        solved = self.solve(template)
        payload = BkKind().assemble(solved, template, self.slot)
        assert payload["hash"] == displayed(BkKind().found_hash(template, sha256d(solved.header)))
        return payload["hash"], (await self.edge.submit(payload)).result

    async def lead(self) -> str:
        proposal = await self.edge.proposal(1)
        assert proposal is not None
        signature = PrivateKey(SECRET).sign_schnorr(proposal.digest, bytes(32))
        assert (await self.edge.submit_block(proposal, signature)).result is SubmitResult.ACCEPTED
        assert (await self.edge.submit_block(proposal, signature)).result is SubmitResult.DUPLICATE
        return proposal.hash_hex


async def test_bk_pool_votes_leads_and_is_paid_for_each_vote() -> None:
    side = Side()
    template = await side.edge.template()
    assert (template.height, template.value_sat, template.context) == (1, 333, context_of("bk-calls"))
    votes = [await side.vote() for _ in range(3)]
    assert {result for _, result in votes} == {SubmitResult.ACCEPTED} and len({one for one, _ in votes}) == 3
    block = await side.lead()
    income = await side.edge.income(block)
    assert sorted(one.vote_hex for one in income) == sorted(one for one, _ in votes)
    assert [(one.index, one.amount) for one in income] == [(0, 334), (1, 333), (2, 333)]
    assert await side.edge.block_reward(block) == 1000
    status = await side.edge.block_status(block)
    assert (status.found, status.confirmations, status.height) == (True, 1, 1)
    assert (await side.edge.template()).previous_hash == bytes.fromhex(block)[::-1]
    assert await side.edge.proposal(1) is None


async def test_bk_pool_counts_only_what_pays_its_own_addresses_the_former_ones_too() -> None:
    side = Side(OTHER)
    stranger = side.edge_of(b"\x00\x14" + b"\x09" * 20)
    former = side.edge_of(OTHER)
    for edge in (side.edge, former, stranger):
        assert (await side.vote(edge))[1] is SubmitResult.ACCEPTED
    income = await side.edge.income(await side.lead())
    assert {one.script for one in income} == {SCRIPT, OTHER} and len(income) == 2


async def test_bk_pool_is_told_of_a_vote_twice_of_bad_ones_and_of_unknown_blocks() -> None:
    side = Side()
    template = await side.edge.template()
    solved = side.solve(template)
    payload = BkKind().assemble(solved, template, side.slot)
    assert (await side.edge.submit(payload)).result is SubmitResult.ACCEPTED
    assert (await side.edge.submit(payload)).result is SubmitResult.DUPLICATE
    for wrong in ({"datum": payload["datum"] + "00"}, {"proof": payload["proof"][:-2]}, {"datum": "00"}):
        assert (await side.edge.submit({**payload, **wrong})).result is SubmitResult.REJECTED
    assert not (await side.edge.block_status("11" * 32)).found
    with pytest.raises(NodeUnavailableError, match="not known any more"):
        await side.edge.income("11" * 32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"context": "00" * 32}, "context: expected"),
        ({"datum": "00"}, "datum: "),
        ({"target": "00" * 32}, "target: expected more than 0"),
        ({"previousblockhash": "11" * 32}, "its block is"),
        ({"amount": 1.5}, "amount: expected an integer"),
        ({"height": None}, "height: expected an integer"),
    ],
)
async def test_bk_pool_refuses_a_template_that_is_none_of_its_own(change: Mapping[str, Any], says: str) -> None:
    side = Side()
    side.rpc.change = change
    with pytest.raises(TemplateError, match=says):
        await side.edge.template()


async def test_bk_pool_refuses_votes_for_another_key_or_script() -> None:
    side = Side()
    answer = side.node.call("getvotetemplate", KEY, SCRIPT.hex())
    names = {"chain": "votes", "node": "n", "context": context_of("bk-calls")}
    with pytest.raises(TemplateError, match="its leader key is"):
        parse_template(answer, **names, leader_key=bytes(32), script=SCRIPT)
    with pytest.raises(TemplateError, match="its script is"):
        parse_template(answer, **names, leader_key=bytes.fromhex(KEY), script=OTHER)


async def test_bk_pool_knows_another_networks_node() -> None:
    assert (await Side().edge.health()).state is NodeState.OK
    assert (await Side(name="another").edge.health()).state is NodeState.WRONG_NETWORK


@pytest.mark.parametrize("change", [{"votes": None}, {"height": "1"}, {"confirmations": 2.0}])
async def test_bk_pool_takes_an_unreadable_block_for_an_outage(change: Mapping[str, Any]) -> None:
    side = Side()
    for _ in range(3):
        await side.vote()
    block = await side.lead()
    side.rpc.change = change
    with pytest.raises(NodeUnavailableError, match="unusable getblock answer"):
        await side.edge.income(block)
