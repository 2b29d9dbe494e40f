"""A root has one body: what is no body, and what the merkle tree would otherwise let pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.mm2_proof.tree import build_tree
from chains.parallel.body import (
    MAX_BODY_SIZE,
    BlockCoinbase,
    branch_of,
    form_problem,
    read_block_coinbase,
    read_body,
    read_body_of,
    root_of,
    serialize_body,
)
from chains.parallel.manifest import (
    MAX_ENTRIES,
    Manifest,
    ManifestOrderError,
    chain_datum,
    manifest_of,
    read_manifest,
)
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import MalformedError, Reader, compact_size

TRANSACTIONS = st.lists(st.binary(min_size=1, max_size=70).filter(lambda one: len(one) != 64), min_size=1, max_size=9)


@given(TRANSACTIONS.filter(lambda body: len(set(body)) == len(body)))
def test_parallel_body_round_trips_and_proves_each_transaction(body: list[bytes]) -> None:
    assert read_body_of(root_of(body), serialize_body(body)) == tuple(body)
    for index, one in enumerate(body):
        assert fold_branch(sha256d(one), branch_of(body, index), index) == root_of(body)


@given(TRANSACTIONS.filter(lambda body: len(set(body)) == len(body) and len(body) > 1))
def test_parallel_body_with_its_end_repeated_has_the_same_root_and_is_none(body: list[bytes]) -> None:
    size = len(body) & -len(body)  # the last 2^n transactions that a row repeats
    repeated = [*body, *body[-size:]]
    if root_of(repeated) == root_of(body):
        assert form_problem(repeated) == "body-repeats"


def test_parallel_body_of_two_hashes_is_ambiguous() -> None:
    body = [b"one", b"two"]
    inner = sha256d(body[0]) + sha256d(body[1])
    assert root_of([inner]) == root_of(body)
    assert form_problem([inner]) == "body-ambiguous"
    assert form_problem(body) is None


def test_parallel_coinbase_never_has_the_size_of_two_hashes() -> None:
    assert len(BlockCoinbase(bytes(32), 1, b"\x51" * 22).serialize()) == 63
    for size in (0, 23, 81):
        with pytest.raises(ValueError, match="a reward script"):
            BlockCoinbase(bytes(32), 1, b"\x51" * size).serialize()


@pytest.mark.parametrize(
    "wire",
    [b"", b"\x00", b"\x01\x05ab", serialize_body([b"ab"]) + b"\x00", b"\x01\xfe" + bytes(MAX_BODY_SIZE)],
    ids=["nothing", "empty", "short", "long", "large"],
)
def test_parallel_bytes_that_are_no_body_are_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedError):
        read_body(wire)
    with pytest.raises(MalformedError, match="another root"):
        read_body_of(bytes(32), serialize_body([b"ab"]))


SHORT = [b"", b"PPC2" + bytes(38), b"PPC1" + bytes(36) + b"\x00", b"PPC1" + bytes(36) + b"\x02a"]


@pytest.mark.parametrize("data", SHORT)
def test_parallel_bytes_that_are_no_coinbase_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_block_coinbase(data)


@given(st.dictionaries(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), max_size=12))
def test_parallel_manifest_rebuilds_its_commitment_and_no_other_does(roots: dict[bytes, bytes]) -> None:
    manifest = manifest_of(roots)
    again = read_manifest(Reader(manifest.serialize()))
    assert again == manifest
    assert again.commitment() == manifest.commitment()
    for context in roots:
        assert manifest.get(context) == roots[context]
        without = manifest_of({name: root for name, root in roots.items() if name != context})
        assert without.commitment() != manifest.commitment(), "an absent chain shows"
        changed = manifest_of({**roots, context: sha256d(roots[context])})
        assert changed.commitment() != manifest.commitment()


CLOSE = st.builds(lambda at, byte: bytes(at) + bytes((byte,)) + bytes(31 - at), st.integers(0, 31), st.integers(0, 255))


@given(st.dictionaries(st.binary(min_size=32, max_size=32) | CLOSE, st.binary(min_size=32, max_size=32), min_size=1))
def test_parallel_commitment_is_the_root_of_the_mm2_tree(roots: dict[bytes, bytes]) -> None:
    leaves = {context: sha256d(chain_datum(context, root)) for context, root in roots.items()}
    assert manifest_of(roots).commitment() == build_tree(leaves).root


def test_parallel_manifest_has_an_order_and_a_limit() -> None:
    one, two = (b"\x01" * 32, bytes(32)), (b"\x02" * 32, bytes(32))
    for wrong in ((two, one), (one, one)):
        with pytest.raises(ManifestOrderError):
            read_manifest(Reader(Manifest(wrong).serialize()))
    with pytest.raises(MalformedError, match="limit is 256"):
        read_manifest(Reader(compact_size(MAX_ENTRIES + 1) + bytes(64 * (MAX_ENTRIES + 1))))
    assert manifest_of({}).commitment() == bytes(32)
