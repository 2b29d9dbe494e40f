"""The mm2 kind and its node, against the contract of docs/protocol/mm2.md."""

from __future__ import annotations

from typing import Any

import pytest
from support.mm2_parents import TARGET, coinbase_of, mine

from chains.families import network
from chains.kind import (
    AuxNode,
    AuxTemplate,
    BlockStatus,
    Commitment,
    NodeState,
    SolvedHeader,
    SubmitResult,
    TemplateError,
)
from chains.mm2.commitment import Mm2Kind
from chains.mm2.node import Mm2Node
from chains.mm2_proof.proof import verify_wire
from chains.mm2_proof.tree import DuplicateContextError, MerkleLink, build_tree, context_of, leaf_of
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import AddressError, address_to_script, script_to_address
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut

REGTEST = network("devnet", "regtest")
_address = script_to_address(b"\x00\x14" + bytes(range(20)), REGTEST.addresses)
assert _address is not None
ADDRESS = _address
ALPHA = context_of("alpha")
AUX_HASH = sha256d(b"alpha block")
BLOCK = displayed(AUX_HASH)
TEMPLATE = {
    "hash": BLOCK,
    "context": ALPHA.hex(),
    "previousblockhash": "11" * 32,
    "coinbasevalue": 5_000_000_000,
    "bits": "207fffff",
    "target": "7fffff" + "0" * 58,
    "height": 7,
}
INFO = {
    "chain": "regtest",
    "context_name": "alpha",
    "context": ALPHA.hex(),
    "blocks": 6,
    "headers": 6,
    "bestblockhash": "11" * 32,
    "initialblockdownload": False,
}


class Answers:
    """An RPC client with prepared answers by method."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []
        self.closed = False

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self.calls.append((method, *params))
        result = self.answers.get(method, RpcError(-32601, "Method not found"))
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        self.closed = True


def node_of(rpc: Answers, context_name: str = "alpha") -> Mm2Node:
    return Mm2Node("alpha", "alpha-0", rpc, ADDRESS, REGTEST, context_name)


def template_of(chain: str, context_name: str | None = None) -> AuxTemplate:
    context = context_of(context_name or chain)
    return AuxTemplate(chain, sha256d(chain.encode()), TARGET, 1, bytes(32), 0, "n", context=context)


# The kind


def test_mm2_kind_commits_and_proves_every_chain() -> None:
    templates = [template_of(name) for name in ("alpha", "beta", "gamma")]
    kind = Mm2Kind()
    commitment = kind.commit(templates)
    assert commitment.root is not None
    assert (commitment.script_sig, commitment.outputs) == (b"", ())
    tree = build_tree({t.context: t.aux_hash for t in templates if t.context is not None})
    assert commitment.root == tree.root
    parent = mine(coinbase_of(commitment.root), tree, (sha256d(b"t"),))
    solved = SolvedHeader(parent.header, parent.coinbase, parent.branch)
    for template in templates:
        payload = kind.assemble(solved, template, commitment.slots[template.chain])
        assert payload["hash"] == displayed(template.aux_hash)
        assert template.context is not None
        wire = bytes.fromhex(payload["proof"])
        assert verify_wire(wire, template.aux_hash, template.context, TARGET) == "ok"


def test_mm2_kind_commits_one_chain_as_its_leaf_and_none_as_nothing() -> None:
    template = template_of("alpha")
    commitment = Mm2Kind().commit([template])
    assert commitment == Commitment(root=leaf_of(template.aux_hash), slots={"alpha": MerkleLink("", ())})
    assert Mm2Kind().commit([]) == Commitment()


def test_mm2_kind_refuses_equal_contexts_naming_both_chains() -> None:
    with pytest.raises(DuplicateContextError, match="chains alpha and copy have the same MM2 context"):
        Mm2Kind().commit([template_of("alpha"), template_of("beta"), template_of("copy", "alpha")])
    naked = AuxTemplate("alpha", AUX_HASH, 1, 1, bytes(32), 0, "n")
    with pytest.raises(ValueError, match="alpha has no context"):
        Mm2Kind().commit([naked])


# Templates


async def test_mm2_template() -> None:
    rpc = Answers(createmm2block=TEMPLATE)
    template = await node_of(rpc).template()
    assert rpc.calls == [("createmm2block", ADDRESS)]
    assert template == AuxTemplate(
        "alpha", AUX_HASH, 0x7FFFFF << 232, 7, b"\x11" * 32, 5_000_000_000, "alpha-0", None, ALPHA
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hash": BLOCK[2:]}, "hash: expected 64 hex digits"),
        ({"hash": None}, "hash: expected 64 hex digits, got null"),
        ({"context": context_of("beta").hex()}, "context: expected"),
        ({"context": ALPHA[::-1].hex()}, "context: expected"),
        ({"context": "alpha"}, "context: expected 64 hex digits"),
        ({"previousblockhash": 1}, "previousblockhash: expected 64 hex digits, got an integer"),
        ({"coinbasevalue": 50.0}, "coinbasevalue: expected an integer"),
        ({"coinbasevalue": -1}, "coinbasevalue: expected 0 to"),
        ({"coinbasevalue": True}, "coinbasevalue: expected an integer, got a boolean"),
        ({"bits": 545259519}, "bits: expected 8 hex digits"),
        ({"bits": "1f7fffff"}, "target: .* is not the target of bits 1f7fffff"),
        ({"bits": "207fffff", "target": "0" * 58 + "ffff7f"}, "is not the target of bits"),
        ({"height": "7"}, "height: expected an integer"),
    ],
)
async def test_mm2_template_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        await node_of(Answers(createmm2block=TEMPLATE | change)).template()


@pytest.mark.parametrize("field", sorted(TEMPLATE))
async def test_mm2_template_needs_every_field(field: str) -> None:
    record = {key: value for key, value in TEMPLATE.items() if key != field}
    with pytest.raises(TemplateError, match=f"{field}: missing"):
        await node_of(Answers(createmm2block=record)).template()


@pytest.mark.parametrize("garbage", [None, [], "x", 5, True])
async def test_mm2_template_refuses_garbage(garbage: Any) -> None:
    with pytest.raises(TemplateError, match="unusable createmm2block answer"):
        await node_of(Answers(createmm2block=garbage)).template()


async def test_mm2_template_errors() -> None:
    with pytest.raises(TemplateError, match="refuses the payout address: Invalid address"):
        await node_of(Answers(createmm2block=RpcError(-5, "Invalid address"))).template()
    for error in (RpcError(-10, "downloading blocks"), RpcError(-32601, "Method not found"), NodeUnavailableError("x")):
        with pytest.raises(NodeUnavailableError):
            await node_of(Answers(createmm2block=error)).template()


def test_mm2_node_wants_an_address_of_its_network() -> None:
    with pytest.raises(AddressError):
        Mm2Node("alpha", "alpha-0", Answers(), "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", REGTEST, "alpha")


# Health


async def test_mm2_health() -> None:
    health = await node_of(Answers(getmm2chaininfo=INFO)).health()
    assert (health.state, health.height) == (NodeState.OK, 6)
    syncing = Answers(getmm2chaininfo=INFO | {"initialblockdownload": True})
    assert (await node_of(syncing).health()).state is NodeState.SYNCING
    other = await node_of(Answers(getmm2chaininfo=INFO), "beta").health()
    assert other.state is NodeState.WRONG_NETWORK
    assert ALPHA.hex() in other.detail
    main = await node_of(Answers(getmm2chaininfo=INFO | {"chain": "main"})).health()
    assert main.state is NodeState.WRONG_NETWORK and "'main'" in main.detail
    assert isinstance(node_of(syncing), AuxNode)


@pytest.mark.parametrize(
    "garbage",
    [None, [], {}, INFO | {"context": "00"}, INFO | {"blocks": "6"}, INFO | {"initialblockdownload": 0},
     INFO | {"context_name": None}, RpcError(-32601, "Method not found"), RpcError(-28, "Loading")],
)  # fmt: skip
async def test_mm2_health_of_garbage_is_an_outage(garbage: Any) -> None:
    with pytest.raises(NodeUnavailableError):
        await node_of(Answers(getmm2chaininfo=garbage)).health()


# Submissions and what became of them


@pytest.mark.parametrize(
    ("given", "result", "reason"),
    [
        (None, SubmitResult.ACCEPTED, ""),
        ("duplicate", SubmitResult.DUPLICATE, "duplicate"),
        ("inconclusive", SubmitResult.INCONCLUSIVE, "inconclusive"),
        ("high-hash", SubmitResult.REJECTED, "high-hash"),
        ("side-bits-not-prefix", SubmitResult.REJECTED, "side-bits-not-prefix"),
        (RpcError(-8, "block hash unknown"), SubmitResult.STALE, "block hash unknown"),
        (RpcError(-22, "Proof decode failed"), SubmitResult.REJECTED, "Proof decode failed"),
    ],
)
async def test_mm2_submit(given: Any, result: SubmitResult, reason: str) -> None:
    rpc = Answers(submitmm2block=given)
    answered = await node_of(rpc).submit({"hash": BLOCK, "proof": "00"})
    assert (answered.result, answered.reason) == (result, reason)
    assert rpc.calls == [("submitmm2block", BLOCK, "00")]


@pytest.mark.parametrize(
    "outage",
    [RpcError(-10, "downloading"), RpcError(-32601, "no"), RpcError(-32603, "x"), NodeUnavailableError("x"), True,
     False, 0, {}],
)  # fmt: skip
async def test_mm2_submit_without_a_verdict_is_an_outage(outage: Any) -> None:
    with pytest.raises(NodeUnavailableError):
        await node_of(Answers(submitmm2block=outage)).submit({"hash": BLOCK, "proof": "00"})


async def test_mm2_block_status() -> None:
    found = Answers(getblockheader={"confirmations": 3, "height": 9}, getblockhash=BLOCK)
    assert await node_of(found).block_status(BLOCK) == BlockStatus(True, 3, 9)
    beside = Answers(getblockheader={"confirmations": 3, "height": 9}, getblockhash="11" * 32)
    assert await node_of(beside).block_status(BLOCK) == BlockStatus(True, -1, 9)
    missing = Answers(getblockheader=RpcError(-5, "Block not found"))
    assert await node_of(missing).block_status(BLOCK) == BlockStatus(False)


async def test_mm2_block_reward_is_what_our_outputs_get() -> None:
    ours = address_to_script(ADDRESS, REGTEST.addresses)
    outputs = (TxOut(3, ours), TxOut(100, b"\x51"), TxOut(4, ours))
    coinbase = Transaction(2, (TxIn(NULL_HASH, NULL_INDEX, b"\x57\x00", witness=(bytes(32),)),), outputs)
    txid_hex = displayed(coinbase.txid)
    rpc = Answers(getblock={"tx": [txid_hex]}, getrawtransaction=coinbase.serialize().hex())
    assert await node_of(rpc).block_reward(BLOCK) == 7
    assert rpc.calls == [("getblock", BLOCK), ("getrawtransaction", txid_hex, 0, BLOCK)]
    spend = Transaction(2, (TxIn(b"\1" * 32, 0, b""),), outputs)
    for raw, txid in ((spend, displayed(spend.txid)), (coinbase, "00" * 32)):
        wrong = Answers(getblock={"tx": [txid]}, getrawtransaction=raw.serialize().hex())
        with pytest.raises(NodeUnavailableError, match="another transaction"):
            await node_of(wrong).block_reward(BLOCK)
    with pytest.raises(NodeUnavailableError, match="unusable coinbase"):
        await node_of(Answers(getblock={"tx": [txid_hex]})).block_reward(BLOCK)


async def test_mm2_node_closes_its_client() -> None:
    rpc = Answers()
    await node_of(rpc).close()
    assert rpc.closed
