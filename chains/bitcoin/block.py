"""From a solved header to the block that is submitted, and from a template to the block that is proposed."""

from __future__ import annotations

import struct

from chains.bitcoin.coinbase import with_witness
from chains.kind import ParentTemplate, SolvedHeader
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import compact_size


def block_bytes(header: bytes, stripped_coinbase: bytes, template: ParentTemplate) -> bytes:
    """A whole block: header, transactions in the template's order, extension (Litecoin's MWEB)."""
    segwit = template.witness_commitment is not None
    coinbase = with_witness(stripped_coinbase) if segwit else stripped_coinbase
    transactions = (transaction.data for transaction in template.transactions)
    count = compact_size(1 + len(template.transactions))
    return b"".join((header, count, coinbase, *transactions, template.extension))


def header_bytes(
    template: ParentTemplate, stripped_coinbase: bytes, *, nonce: int = 0, time: int | None = None
) -> bytes:
    """The 80-byte header over a coinbase, at the template's time if none is given."""
    root = fold_branch(sha256d(stripped_coinbase), template.merkle_branch)
    time = template.current_time if time is None else time
    front = struct.pack("<I", template.version) + template.previous_hash + root
    return front + struct.pack("<III", time, template.bits, nonce)


class BitcoinKind:
    """Parent chains with getblocktemplate."""

    name = "bitcoin"

    def assemble(self, solved: SolvedHeader, template: ParentTemplate) -> dict[str, str]:
        """The payload of `submit`: the block, as hex."""
        return {"block": block_bytes(solved.header, solved.coinbase, template).hex()}

    def proposal(self, stripped_coinbase: bytes, template: ParentTemplate) -> dict[str, str]:
        """The payload of `propose` (BIP23): the block that a miner would find, but for its proof of work. One answer
        holds for all miners of a job, because only nonces differ."""
        return {"block": block_bytes(header_bytes(template, stripped_coinbase), stripped_coinbase, template).hex()}
