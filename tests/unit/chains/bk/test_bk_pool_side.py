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
from chains.kind import (
    AuxTemplate,
    BlockStatus,
    Inclusion,
    Network,
    NodeState,
    SolvedHeader,
    SubmitResult,
    TemplateError,
)
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
    income = await side.edge.income_at(1)
    assert income is not None and (income.hash_hex, income.height) == (block, 1)
    assert sorted(one.hash_hex for one in income.votes) == sorted(one for one, _ in votes)
    assert [(one.event_index, one.amount) for one in income.votes] == [(0, 334), (1, 333), (2, 333)]
    for vote in income.votes:
        place = Inclusion(block, vote.event_index, vote.amount)
        assert await side.edge.block_status(vote.hash_hex) == BlockStatus(True, 1, 1, place)
        assert await side.edge.block_reward(vote.hash_hex) == vote.amount
    assert await side.edge.income_at(2) is None
    assert (await side.edge.template()).previous_hash == bytes.fromhex(block)[::-1]
    assert await side.edge.proposal(1) is None


async def test_bk_pool_counts_only_what_pays_its_own_addresses_the_former_ones_too() -> None:
    side = Side(OTHER)
    stranger = side.edge_of(b"\x00\x14" + b"\x09" * 20)
    former = side.edge_of(OTHER)
    for edge in (side.edge, former, stranger):
        assert (await side.vote(edge))[1] is SubmitResult.ACCEPTED
    await side.lead()
    income, theirs = await side.edge.income_at(1), await stranger.income_at(1)
    assert income is not None and theirs is not None and (len(income.votes), len(theirs.votes)) == (2, 1)
    for vote, pays in [(vote.hash_hex, True) for vote in income.votes] + [(theirs.votes[0].hash_hex, False)]:
        place = (await side.edge.block_status(vote)).inclusion
        assert place is not None and (place.amount > 0) is pays
        assert (await side.edge.block_reward(vote) > 0) is pays


async def test_bk_pool_sees_a_vote_wait_and_come_too_late() -> None:
    side = Side()
    votes = [(await side.vote())[0] for _ in range(4)]
    for vote in votes:
        assert await side.edge.block_status(vote) == BlockStatus(True, 0, 1)
    with pytest.raises(NodeUnavailableError, match="in no block any more"):
        await side.edge.block_reward(votes[0])
    await side.lead()
    income = await side.edge.income_at(1)
    assert income is not None and len(income.votes) == 3
    (late,) = set(votes) - {vote.hash_hex for vote in income.votes}
    assert await side.edge.block_status(late) == BlockStatus(True, -1, 1)


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


async def test_bk_pool_refuses_a_node_whose_rewards_wait_longer_than_its_own_books() -> None:
    side = Side()
    side.rpc.change = {"maturity_blocks": DEVNET.maturity}
    assert (await side.edge.health()).state is NodeState.OK
    side.rpc.change = {"maturity_blocks": DEVNET.maturity + 1}
    found = await side.edge.health()
    assert found.state is NodeState.WRONG_NETWORK
    assert found.detail == (
        f"its chain's rewards can be spent after {DEVNET.maturity + 1} blocks, the pool calls them available after "
        f"{DEVNET.maturity}"
    )
    side.rpc.change = {"maturity_blocks": 0}
    with pytest.raises(NodeUnavailableError, match="maturity_blocks"):
        await side.edge.health()


@pytest.mark.parametrize("change", [{"votes": None}, {"height": "1"}, {"height": 2}, {"confirmations": -1}])
async def test_bk_pool_takes_an_unusable_block_for_an_outage(change: Mapping[str, Any]) -> None:
    side = Side()
    for _ in range(3):
        await side.vote()
    await side.lead()
    side.rpc.change = change
    with pytest.raises(NodeUnavailableError, match="getblock"):
        await side.edge.income_at(1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"state": "lost"}, "state: expected included, waiting, late or unknown"),
        ({"vote": "11" * 32}, "vote: expected"),
        ({"block": None}, "block: "),
        ({"confirmations": 0}, "confirmations: "),
        ({"amount": 1.5}, "amount: expected an integer"),
        ({"index": -1}, "index: "),
        ({"script": None}, "script: "),
    ],
)
async def test_bk_pool_takes_an_unreadable_vote_status_for_an_outage(change: Mapping[str, Any], says: str) -> None:
    side = Side()
    votes = [(await side.vote())[0] for _ in range(3)]
    await side.lead()
    side.rpc.change = change
    with pytest.raises(NodeUnavailableError, match=says):
        await side.edge.block_status(votes[0])
