"""The vectors of docs/protocol/peers.md, byte for byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from coincurve import PublicKeyXOnly

from chains.peers.bodies import offer_of
from chains.peers.frames import FrameReader, frame
from chains.peers.hello import Role, check_proof, decode_hello, node_key_of, proof_digest

VECTORS = json.loads((Path(__file__).parent / "peers.json").read_text())


def test_vectors_peers_frame() -> None:
    vector = VECTORS["frame"]
    wire = bytes.fromhex(vector["frame"])
    assert frame(vector["type"], bytes.fromhex(vector["payload"])) == wire
    reader = FrameReader()
    reader.feed(wire)
    assert reader.next() == (vector["type"], bytes.fromhex(vector["payload"]))


def test_vectors_peers_hello_and_proof() -> None:
    vector = {name: bytes.fromhex(text) for name, text in VECTORS["hello"].items()}
    dialler, listener = vector["dialler_hello"], vector["listener_hello"]
    for secret, wire in (("dialler_secret", dialler), ("listener_secret", listener)):
        hello = decode_hello(wire)
        assert hello.encode() == wire and hello.node_key == node_key_of(vector[secret])
    assert proof_digest(Role.DIALLED, dialler, listener) == vector["dialler_digest"]
    assert proof_digest(Role.LISTENED, listener, dialler) == vector["listener_digest"]
    check_proof(decode_hello(dialler).node_key, vector["dialler_proof"], Role.DIALLED, dialler, listener)


def test_vectors_peers_digest_as_the_page_spells_it() -> None:
    """By hashlib alone: the tagged hash over role and both hellos' hashes."""
    vector = {name: bytes.fromhex(text) for name, text in VECTORS["hello"].items()}
    tag = hashlib.sha256(b"parapool/peer-hello").digest()
    hashes = [hashlib.sha256(vector[name]).digest() for name in ("dialler_hello", "listener_hello")]
    digest = hashlib.sha256(tag + tag + b"\x01" + hashes[0] + hashes[1]).digest()
    assert digest == vector["dialler_digest"]
    assert PublicKeyXOnly.from_secret(vector["dialler_secret"]).verify(vector["dialler_proof"], digest)


def test_vectors_peers_body() -> None:
    vector = VECTORS["body"]
    offer = offer_of("vote", bytes(i * 7 % 256 for i in range(150_000)))
    assert bytes((vector["message_number"],)) + offer.encode() == bytes.fromhex(vector["offer"])
    assert offer.body.hex() == vector["id"]
