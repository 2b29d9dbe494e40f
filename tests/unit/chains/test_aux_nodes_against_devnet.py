"""Our MM1 and MM2 nodes talk to the reference nodes: template, commitment, proof of work, submission, reward."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chains.auxpow.commitment import AuxPowKind
from chains.auxpow.devnet import AuxpowDevnet
from chains.auxpow.node import AuxPowNode
from chains.auxpow.params import DIALECTS
from chains.families import network
from chains.kind import AuxTemplate, BlockStatus, NodeState, SolvedHeader, SubmitResult, TemplateError
from chains.mm2.commitment import Mm2Kind
from chains.mm2.devnet import Mm2Devnet
from chains.mm2.node import Mm2Node
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.hashes import POW_HASHES, sha256d
from chains.primitives.merkle import coinbase_branch, fold_branch
from chains.primitives.target import meets
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut
from chains.reference.errors import RpcError as ReferenceError
from chains.reference.rpc import Dispatcher
from chains.reference.settings import NodeSettings, SettingsError

REGTEST = network("devnet", "regtest")
OTHERS = (sha256d(b"other"),)
POW = tuple(POW_HASHES.items())


class InProcess:
    """The RPC client's interface over a reference node in this process; `without` names methods it lacks."""

    def __init__(self, devnet: Any, without: Sequence[str] = ()) -> None:
        self._dispatcher = Dispatcher(devnet.node, devnet.methods())
        self._without = without

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        if method in self._without:
            raise RpcError(-32601, "Method not found")
        try:
            return await self._dispatcher.answer({"method": method, "params": list(params)})
        except ReferenceError as error:
            raise RpcError(error.code, error.message) from error

    async def close(self) -> None:
        return None


def settings(tmp_path: Path, kind: str, name: str, **more: Any) -> NodeSettings:
    return NodeSettings(kind, name, 0, "u", "p", tmp_path / name, seed="1", **more)


def clock() -> int:
    return 1_750_000_000


def solved(
    target: int, script_sig: bytes = b"", root: bytes = bytes(32), *, good: bool = True, pow_hash: str = "sha256d"
) -> SolvedHeader:
    """A parent over both kinds of commitment whose hash meets the target (or, not `good`, misses it). Any other
    proof-of-work hash than the one named does the opposite, so that nobody can take one for the other."""
    outputs = (TxOut(5000, b"\x51"), TxOut(0, b"\x6a\x28" + root + b"abcdefgh"))
    coinbase = Transaction(2, (TxIn(NULL_HASH, NULL_INDEX, b"\x02\x10\x27" + script_sig),), outputs)
    branch = coinbase_branch(OTHERS)
    start = struct.pack("<I", 0x20000000) + bytes(32) + fold_branch(coinbase.txid, branch) + bytes(8)
    headers = (start + struct.pack("<I", nonce) for nonce in range(2**32))
    header = next(h for h in headers if all(meets(f(h), target) == (good == (n == pow_hash)) for n, f in POW))
    return SolvedHeader(header, coinbase.serialize(), branch)


def auxpow_proof(template: AuxTemplate, *, good: bool = True, pow_hash: str = "sha256d") -> dict[str, str]:
    kind = AuxPowKind()
    commitment = kind.commit([template])
    parent = solved(template.target, commitment.script_sig, good=good, pow_hash=pow_hash)
    return kind.assemble(parent, template, commitment.slots[template.chain])


def mm2_proof(template: AuxTemplate, *, good: bool = True, pow_hash: str = "sha256d") -> dict[str, str]:
    kind = Mm2Kind()
    commitment = kind.commit([template])
    assert commitment.root is not None
    parent = solved(template.target, root=commitment.root, good=good, pow_hash=pow_hash)
    return kind.assemble(parent, template, commitment.slots["alpha"])


@pytest.mark.parametrize(("dialect", "chain_id"), [("namecoin", 1), ("dogecoin", 98)])
@pytest.mark.parametrize("without", [(), ("createauxblock", "submitauxblock"), ("getrawtransaction",)], ids=str)
async def test_auxpow_node_mines_on_a_devnet(
    tmp_path: Path, dialect: str, chain_id: int, without: Sequence[str]
) -> None:
    options = settings(tmp_path, "auxpow", "child", dialect=dialect, chain_id=chain_id)
    devnet = AuxpowDevnet(options, clock, lambda: None)
    rpc = InProcess(devnet, without)
    node = AuxPowNode("child", "child-0", rpc, devnet.node.new_address(), REGTEST, DIALECTS[dialect])
    assert (await node.health()).state is NodeState.OK
    template = await node.template()
    assert (template.chain_id, template.height) == (chain_id, 1)
    refused = await node.submit(auxpow_proof(template, good=False))
    assert refused.result is SubmitResult.REJECTED
    payload = auxpow_proof(template)
    assert (await node.submit(payload)).result is SubmitResult.ACCEPTED
    assert await node.block_status(payload["hash"]) == BlockStatus(True, 1, 1)
    assert await node.block_reward(payload["hash"]) == template.value_sat
    assert (await node.template()).previous_hash == template.aux_hash
    assert (await node.submit(payload)).result is SubmitResult.STALE
    assert await node.block_status("00" * 32) == BlockStatus(False)
    assert (await node.submit({"hash": payload["hash"], "auxpow": "zz"})).result in (
        SubmitResult.STALE,
        SubmitResult.REJECTED,
    )
    devnet.node.close()


@pytest.mark.parametrize("without", [(), ("getrawtransaction",)], ids=str)
async def test_mm2_node_mines_on_a_devnet(tmp_path: Path, without: Sequence[str]) -> None:
    devnet = Mm2Devnet(settings(tmp_path, "mm2", "alpha", context_name="alpha"), clock, lambda: None)
    rpc = InProcess(devnet, without)
    node = Mm2Node("alpha", "alpha-0", rpc, devnet.node.new_address(), REGTEST, "alpha")
    assert (await node.health()).state is NodeState.OK
    template = await node.template()
    refused = await node.submit(mm2_proof(template, good=False))
    assert (refused.result, refused.reason) == (SubmitResult.REJECTED, "high-hash")
    undecodable = await node.submit({"hash": mm2_proof(template)["hash"], "proof": "00"})
    assert (undecodable.result, undecodable.reason) == (SubmitResult.REJECTED, "Proof decode failed")
    payload = mm2_proof(template)
    assert (await node.submit(payload)).result is SubmitResult.ACCEPTED
    assert await node.block_status(payload["hash"]) == BlockStatus(True, 1, 1)
    assert await node.block_reward(payload["hash"]) == template.value_sat
    assert (await node.submit(payload)).result is SubmitResult.DUPLICATE
    unknown = await node.submit({"hash": "00" * 32, "proof": payload["proof"]})
    assert (unknown.result, unknown.reason) == (SubmitResult.STALE, "block hash unknown")
    assert (await node.template()).previous_hash == template.aux_hash
    devnet.node.close()


@pytest.mark.parametrize(("own", "other"), [("sha256d", "scrypt"), ("scrypt", "sha256d")])
async def test_aux_nodes_take_the_proof_of_work_of_their_parent_and_no_other(
    tmp_path: Path, own: str, other: str
) -> None:
    child = AuxpowDevnet(settings(tmp_path, "auxpow", "child", pow_hash=own), clock, lambda: None)
    alpha = Mm2Devnet(settings(tmp_path, "mm2", "alpha", context_name="alpha", pow_hash=own), clock, lambda: None)
    auxpow_node = AuxPowNode("child", "child-0", InProcess(child), child.node.new_address(), REGTEST)
    mm2_node = Mm2Node("alpha", "alpha-0", InProcess(alpha), alpha.node.new_address(), REGTEST, "alpha")
    auxpow_template, mm2_template = await auxpow_node.template(), await mm2_node.template()
    refused = await auxpow_node.submit(auxpow_proof(auxpow_template, pow_hash=other))
    assert refused.result is SubmitResult.REJECTED
    assert child.node.last_refusal == "high-hash"
    refused = await mm2_node.submit(mm2_proof(mm2_template, pow_hash=other))
    assert (refused.result, refused.reason) == (SubmitResult.REJECTED, "high-hash")
    payload = auxpow_proof(auxpow_template, pow_hash=own)
    assert (await auxpow_node.submit(payload)).result is SubmitResult.ACCEPTED
    assert await auxpow_node.block_status(payload["hash"]) == BlockStatus(True, 1, 1)
    assert (await mm2_node.submit(mm2_proof(mm2_template, pow_hash=own))).result is SubmitResult.ACCEPTED
    for devnet in (child, alpha):
        devnet.node.generate(2, devnet.node.wallet.script(0))  # its own blocks are proven in the same way
        assert devnet.node.chain.tip.height == 3
        devnet.node.close()


def test_devnet_settings_refuse_an_unknown_proof_of_work(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="proof of work 'x11': expected one of sha256d, scrypt"):
        settings(tmp_path, "auxpow", "child", pow_hash="x11")


async def test_aux_nodes_see_a_syncing_devnet_and_a_stranger(tmp_path: Path) -> None:
    child = AuxpowDevnet(settings(tmp_path, "auxpow", "child"), clock, lambda: None)
    alpha = Mm2Devnet(settings(tmp_path, "mm2", "alpha", context_name="alpha"), clock, lambda: None)
    address = child.node.new_address()
    nodes: list[Any] = [
        AuxPowNode("child", "child-0", InProcess(child), address, REGTEST),
        Mm2Node("alpha", "alpha-0", InProcess(alpha), address, REGTEST, "alpha"),
    ]
    stranger = Mm2Node("beta", "beta-0", InProcess(alpha), address, REGTEST, "beta")
    assert (await stranger.health()).state is NodeState.WRONG_NETWORK
    with pytest.raises(TemplateError, match="context: expected"):
        await stranger.template()
    for devnet, node in zip((child, alpha), nodes, strict=True):
        devnet.node.faults.syncing = True
        assert (await node.health()).state is NodeState.SYNCING
        with pytest.raises(NodeUnavailableError, match="downloading"):
            await node.template()
        with pytest.raises(NodeUnavailableError):  # a found block waits for the node
            await node.submit({"hash": "00" * 32, "auxpow": "00", "proof": "00"})
        devnet.node.close()
