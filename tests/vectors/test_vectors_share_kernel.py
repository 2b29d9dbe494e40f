"""Every parent block of mm2.json, made by every share kernel from the parts of its coinbase."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.share_kernels import every_kernel

from chains.primitives.header import parse_header
from chains.primitives.merkle import coinbase_branch
from chains.primitives.share_kernel import MEETS_SHARE, target_bytes

__all__ = ["every_kernel"]

POSITIVE = json.loads((Path(__file__).parent / "mm2.json").read_text())["positive"]
unhex = bytes.fromhex


@pytest.mark.parametrize("vector", POSITIVE, ids=lambda vector: vector["name"].split()[0])
def test_vectors_share_kernel_makes_the_parent(every_kernel, vector):
    coinbase = unhex(vector["coinbase_stripped"])
    branch = b"".join(coinbase_branch([unhex(txid) for txid in vector["other_txids_natural_order"]]))
    header = parse_header(unhex(vector["parent_header"]))
    for at in (0, 41, len(coinbase) - 12):
        kernel = every_kernel(coinbase[:at], coinbase[at + 8 :], 8, branch, header.previous_hash, header.bits)
        rest = (coinbase[at : at + 4], coinbase[at + 4 : at + 8], header.version, header.time, header.nonce)
        assert kernel.header(*rest).hex() == vector["parent_header"]
        digest, met = kernel.judge(*rest, target_bytes(int(vector["target"], 16)), target_bytes(0))
        assert digest.hex() == vector["parent_hash_natural_order"]
        assert met == MEETS_SHARE, "the vector's block meets the vector's target"
