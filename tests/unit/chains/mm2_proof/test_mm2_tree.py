"""Contexts, trie shapes, roots and links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.mm2_proof.tree import (
    EMPTY_SIBLING,
    DuplicateContextError,
    MerkleLink,
    build_tree,
    context_of,
    fold,
    leaf_of,
    path_bits,
)
from chains.primitives.hashes import sha256d

hash32 = st.binary(min_size=32, max_size=32)


def test_mm2_tree_path_is_order_a() -> None:
    assert path_bits(b"\x80\x01" + bytes(30)) == "1" + "0" * 14 + "1" + "0" * 240
    assert path_bits(context_of("namecoin")).startswith("011110001011")


def test_mm2_tree_leaf_is_tagged_by_a_whole_block() -> None:
    assert leaf_of(b"\1" * 32) == sha256d(bytes(64) + b"\1" * 32)


def test_mm2_tree_of_one_is_its_leaf() -> None:
    context = context_of("alpha")
    tree = build_tree({context: b"\1" * 32})
    assert tree.root == leaf_of(b"\1" * 32)
    assert tree.links[context] == MerkleLink("", ())


def test_mm2_tree_contexts_with_eight_bits_in_common_have_eight_empty_siblings() -> None:
    """V3 of the protocol notes: "namecoin" and "x289"."""
    namecoin, other = context_of("namecoin"), context_of("x289")
    tree = build_tree({namecoin: b"\1" * 32, other: b"\2" * 32})
    assert tree.links[namecoin] == MerkleLink("011110001", (leaf_of(b"\2" * 32), *[EMPTY_SIBLING] * 8))
    assert tree.links[other].sides == "011110000"


def test_mm2_tree_contexts_that_differ_in_the_last_bit_only_are_256_deep() -> None:
    first, second = bytes(32), bytes(31) + b"\1"
    tree = build_tree({first: b"\1" * 32, second: b"\2" * 32})
    assert tree.links[first].sides == "0" * 256
    assert tree.links[second].sides == "0" * 255 + "1"
    for context, aux_hash in ((first, b"\1" * 32), (second, b"\2" * 32)):
        assert fold(leaf_of(aux_hash), tree.links[context]) == tree.root


@given(st.dictionaries(hash32, hash32, min_size=1, max_size=12))
def test_mm2_tree_every_link_leads_to_the_root(aux_hashes: dict[bytes, bytes]) -> None:
    tree = build_tree(aux_hashes)
    for context, aux_hash in aux_hashes.items():
        link = tree.links[context]
        assert path_bits(context).startswith(link.sides)
        assert len(link.sides) == len(link.branch)
        assert fold(leaf_of(aux_hash), link) == tree.root
        # minimal: one level less would be shared with another context
        if link.sides:
            assert sum(path_bits(other).startswith(link.sides[:-1]) for other in aux_hashes) >= 2


@given(st.dictionaries(hash32, hash32, min_size=1, max_size=6))
def test_mm2_tree_does_not_depend_on_the_order(aux_hashes: dict[bytes, bytes]) -> None:
    pairs = list(aux_hashes.items())
    assert build_tree(pairs) == build_tree(pairs[::-1])


def test_mm2_tree_refuses_equal_contexts_none_and_other_sizes() -> None:
    context = context_of("alpha")
    with pytest.raises(DuplicateContextError, match=context.hex()):
        build_tree([(context, b"\1" * 32), (context, b"\2" * 32)])
    with pytest.raises(DuplicateContextError):
        build_tree([(context, b"\1" * 32), (context, b"\1" * 32)])
    with pytest.raises(ValueError, match="at least one"):
        build_tree({})
    with pytest.raises(ValueError, match="32 bytes"):
        build_tree({context[:31]: b"\1" * 32})
