"""One proof of work for five reference nodes, made with the pool's own code and judged by theirs."""

from __future__ import annotations

from dataclasses import replace

from reference_client import ADDRESS, LEGACY_ADDRESS, StartNode

from chains.auxpow import template as auxpow_template
from chains.auxpow.commitment import AuxPowKind
from chains.auxpow.params import DOGECOIN, NAMECOIN
from chains.bitcoin.block import BitcoinKind, header_bytes
from chains.bitcoin.coinbase import build_coinbase
from chains.bitcoin.template import parse_template
from chains.kind import SolvedHeader
from chains.mm2 import template as mm2_template
from chains.mm2.commitment import Mm2Kind
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.target import meets
from chains.reference.wallet import script

SEGWIT = {"rules": ["segwit"]}
HARDER_BITS = 0x1F7FFFFF  # one hash in 512: a wrong proof, whose hash is chance, does not pass by luck


async def test_reference_five_chains_take_one_proof_of_work(start_node: StartNode) -> None:
    parent = await start_node(name="regbtc")
    namecoin = await start_node("auxpow", name="regnmc")
    dogecoin = await start_node("auxpow", name="regdoge", chain_id=98, dialect="dogecoin")
    children = {
        name: await start_node("mm2", name=name, context_name=name, bits=HARDER_BITS) for name in ("alpha", "beta")
    }
    await parent.mine(12)
    await parent("sendtoaddress", ADDRESS, 1)

    parent_template = parse_template(
        await parent("getblocktemplate", SEGWIT), chain="regbtc", node="n", template_rules=["segwit"]
    )
    mm1 = [
        auxpow_template.parse_template(
            await namecoin("createauxblock", ADDRESS), chain="regnmc", node="n", dialect=NAMECOIN
        ),
        auxpow_template.parse_template(
            await dogecoin("createauxblock", LEGACY_ADDRESS), chain="regdoge", node="n", dialect=DOGECOIN
        ),
    ]
    mm2 = [
        mm2_template.parse_template(
            await node("createmm2block", ADDRESS), chain=name, node="n", context=context_of(name)
        )
        for name, node in children.items()
    ]
    tag, tree = AuxPowKind().commit(mm1), Mm2Kind().commit(mm2)
    assert tree.root is not None
    coinbase = build_coinbase(
        parent_template, [("mm1", tag.script_sig)], script("seed", 0), root=tree.root
    ).stripped(b"extranon")

    proposal = BitcoinKind().proposal(coinbase, parent_template)["block"]
    assert await parent("getblocktemplate", SEGWIT | {"mode": "proposal", "data": proposal}) is None
    nonce = next(n for n in range(10_000) if meets(sha256d(header_bytes(parent_template, coinbase, nonce=n)), 2**245))
    solved = SolvedHeader(
        header_bytes(parent_template, coinbase, nonce=nonce), coinbase, parent_template.merkle_branch
    )

    block = BitcoinKind().assemble(solved, parent_template)["block"]
    assert await parent("submitblock", block) is None
    assert await parent("getbestblockhash") == displayed(sha256d(solved.header))
    for node, template in zip((namecoin, dogecoin), mm1, strict=True):
        payload = AuxPowKind().assemble(solved, template, tag.slots[template.chain])
        assert await node("submitauxblock", payload["hash"], payload["auxpow"]) is True
        assert await node("getbestblockhash") == payload["hash"]
    payloads = {t.chain: Mm2Kind().assemble(solved, t, tree.slots[t.chain]) for t in mm2}
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        node, aux_hash = children[name], payloads[name]["hash"]
        assert await node("submitmm2block", aux_hash, payloads[other]["proof"]) == "high-hash"
        assert await node("submitmm2block", aux_hash, payloads[name]["proof"]) is None
        assert await node("getbestblockhash") == aux_hash

    # One more header of the same coinbase whose hash is too high convinces nobody.
    high = next(n for n in range(100) if not meets(sha256d(header_bytes(parent_template, coinbase, nonce=n)), 2**255))
    unsolved = replace(solved, header=header_bytes(parent_template, coinbase, nonce=high))
    refused = BitcoinKind().assemble(unsolved, parent_template)["block"]
    assert await parent("submitblock", refused) == "high-hash"
