"""Mining consensus proofs of root mode from what a node offers, at a target that every second hash meets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.parallel.manifest import Manifest, read_manifest
from chains.parallel.proof import root_coinbase, root_wire
from chains.primitives.hashes import from_displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.serialize import Reader
from chains.primitives.target import bits_to_target, meets


def solve(
    previous: bytes, height: int, manifest: Manifest, time_s: int, bits: int = 0x207FFFFF, salt: int = 0
) -> bytes:
    """The wire form of a proof; another salt, another proof."""
    coinbase = root_coinbase(height, manifest.commitment(), b"/test/", salt.to_bytes(8, "little"))
    for nonce in range(2**32):
        header = Header(1, previous, sha256d(coinbase), time_s, bits, nonce)
        if meets(header.hash, bits_to_target(bits)):
            return root_wire(header, coinbase, manifest)
    raise AssertionError("no proof of work")


def solved(offer: Mapping[str, Any], salt: int = 0) -> tuple[bytes, dict[str, list[str]]]:
    """A template's proof, with its bodies by context."""
    manifest = read_manifest(Reader(bytes.fromhex(offer["manifest"])))
    previous = from_displayed(offer["previousblockhash"])
    proof = solve(previous, offer["height"], manifest, offer["curtime"], int(offer["bits"], 16), salt)
    return proof, {one["context"]: one["transactions"] for one in offer["chains"]}
