"""Blocks made by hand from a template: right ones, and each kind of wrong one that a node refuses."""

from __future__ import annotations

import itertools
from dataclasses import replace

from node_daemons import PAYOUT_SCRIPT

from chains.bitcoin.block import BitcoinKind, block_bytes, header_bytes
from chains.bitcoin.coinbase import build_coinbase
from chains.kind import ParentTemplate, SolvedHeader
from chains.primitives.hashes import POW_HASHES, displayed, sha256d
from chains.primitives.script import push
from chains.primitives.target import meets
from chains.primitives.transaction import Transaction, parse_transaction

KIND = BitcoinKind()
ROOT = bytes(range(100, 132))
MM1_TAG = push(bytes.fromhex("fabe6d6d") + bytes(range(32)) + bytes.fromhex("0100000000000000"))
NONCE = bytes.fromhex("00000001deadbeef")
TAG = push(b"/parapool/")
_nonces = itertools.count(1)


def coinbase_for(template: ParentTemplate, *, nonce: bytes | None = None) -> bytes:
    """A stripped coinbase with every kind of commitment, another one at each call."""
    parts = [("merged mining", MM1_TAG), ("tag", TAG)]
    coinbase = build_coinbase(template, parts, PAYOUT_SCRIPT, [bytes.fromhex("6a0152")], ROOT)
    return coinbase.stripped(nonce if nonce is not None else next(_nonces).to_bytes(8, "big"))


def changed(coinbase: bytes, **changes: object) -> bytes:
    """A stripped coinbase with some fields of its transaction replaced."""
    transaction: Transaction = replace(parse_transaction(coinbase), **changes)  # type: ignore[arg-type]
    return transaction.serialize(witness=False)


def wrong_height(template: ParentTemplate) -> bytes:
    """A stripped coinbase that claims the next height."""
    return coinbase_for(replace(template, height=template.height + 1))


def solve(template: ParentTemplate, coinbase: bytes, pow_hash: str, *, proof_of_work: bool = True) -> SolvedHeader:
    """A header over the coinbase whose hash meets the template's target, or does not."""
    for nonce in range(2**20):
        header = header_bytes(template, coinbase, nonce=nonce)
        if meets(POW_HASHES[pow_hash](header), template.target) == proof_of_work:
            return SolvedHeader(header, coinbase, template.merkle_branch)
    raise AssertionError("no proof of work in a million tries: is this regtest?")


def block_payload(template: ParentTemplate, coinbase: bytes, pow_hash: str) -> tuple[dict[str, str], str]:
    """A solved block as `submit` takes it, and its hash as displayed."""
    solved = solve(template, coinbase, pow_hash)
    return KIND.assemble(solved, template), displayed(sha256d(solved.header))


def without_witness(template: ParentTemplate, solved: SolvedHeader) -> dict[str, str]:
    """The block as one would send it who forgot the coinbase's witness."""
    block = block_bytes(solved.header, solved.coinbase, replace(template, witness_commitment=None))
    return {"block": block.hex()}
