"""Parents for MM2 tests: a coinbase of any form, mined to a light target."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.mm2_proof.tree import Tree, build_tree
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import coinbase_branch, fold_branch
from chains.primitives.target import meets

TARGET = 2**240 - 1  # found after 65,536 hashes, and inputs are fixed, so no wrong proof passes by chance
NONCE = bytes.fromhex("deadbeef00000001")
HEAD = bytes.fromhex("0100000001" + "00" * 32 + "ffffffff")


@dataclass(frozen=True)
class Parent:
    header: bytes
    coinbase: bytes
    branch: tuple[bytes, ...]
    tree: Tree


def coinbase_head(script_sig: bytes, output_count: int, outputs: bytes = b"") -> bytes:
    """A stripped coinbase up to its last output's value."""
    start = HEAD + bytes((len(script_sig),)) + script_sig + b"\xff" * 4
    return start + bytes((output_count,)) + outputs + bytes(8)


def coinbase_of(root: bytes, script_sig: bytes = b"\x03\xa0\x86\x01", *, lock_time: int = 0) -> bytes:
    """A stripped coinbase whose one output is MM2's."""
    return coinbase_head(script_sig, 1) + b"\x2a\x6a\x28" + root + NONCE + struct.pack("<I", lock_time)


def mine(coinbase: bytes, tree: Tree, others: Sequence[bytes] = (), target: int = TARGET) -> Parent:
    branch = coinbase_branch(list(others))
    root = fold_branch(sha256d(coinbase), branch)
    start = struct.pack("<I", 0x20000000) + bytes(32) + root + struct.pack("<II", 1_700_000_000, 0x1E0FFFFF)
    for nonce in range(2**32):
        header = start + struct.pack("<I", nonce)
        if meets(sha256d(header), target):
            return Parent(header, coinbase, branch, tree)
    raise AssertionError("no nonce")


def parent_of(aux_hashes: Mapping[bytes, bytes], others: Sequence[bytes] = ()) -> Parent:
    tree = build_tree(aux_hashes)
    return mine(coinbase_of(tree.root), tree, others)
