"""Slots, tree heights, sparse trees, the tag, and which parent version bits must stand still."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.auxpow import commitment as commitment_module
from chains.auxpow.commitment import AuxPowKind, AuxPowSlot, sparse_tree, tag_of
from chains.auxpow.params import KNOWN_CHAIN_IDS
from chains.auxpow.proof import MAGIC, holds_magic_twice, version_chain_id
from chains.auxpow.slots import (
    MAX_HEIGHT,
    ROLLING_MASK,
    EqualChainIdsError,
    ParentVersionError,
    never_distinct,
    slot_of,
    smallest_height,
    version_bits_not_to_roll,
)
from chains.kind import AuxTemplate, Commitment
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch, merkle_root

chain_ids = st.integers(0, 0xFFFF)


def template(chain: str, chain_id: int | None, aux_hash: bytes = bytes(32)) -> AuxTemplate:
    return AuxTemplate(chain, aux_hash, 1, 1, bytes(32), 0, "node", chain_id)


@given(st.sets(chain_ids, min_size=2, max_size=2), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_auxpow_slots_collide_exactly_for_ids_equal_modulo_the_size(pair: set[int], height: int, nonce: int) -> None:
    first, second = pair
    same = slot_of(first, height, nonce) == slot_of(second, height, nonce)
    assert same == ((first - second) % 2**height == 0)


@given(st.sets(chain_ids, min_size=1, max_size=8))
def test_auxpow_height_is_the_smallest(ids: set[int]) -> None:
    height = smallest_height(sorted(ids))
    assert len({slot_of(i, height) for i in ids}) == len(ids)
    for smaller, nonce in itertools.product(range(height), range(3)):
        assert len({slot_of(i, smaller, nonce) for i in ids}) < len(ids)


def test_auxpow_height_for_all_known_chains_is_16_at_most() -> None:
    assert smallest_height(list(KNOWN_CHAIN_IDS)) <= 16


def test_auxpow_height_refuses_equal_ids_by_name() -> None:
    with pytest.raises(EqualChainIdsError, match="98") as caught:
        smallest_height([1, 98, 98])
    assert caught.value.chain_id == 98
    with pytest.raises(EqualChainIdsError, match="modulo"):
        smallest_height([1, 1 + 2**MAX_HEIGHT])


@given(st.integers(0, 2**33), st.integers(0, 2**33), st.integers(0, 2**32 - 1))
def test_auxpow_ids_that_are_never_distinct_share_a_slot_in_every_tree(first: int, second: int, nonce: int) -> None:
    for pair in ((first, second), (first, first + 2**MAX_HEIGHT), (first, first + 2 ** (MAX_HEIGHT - 1))):
        shared = [slot_of(pair[0], height, nonce) == slot_of(pair[1], height, nonce) for height in range(31)]
        assert never_distinct(*pair) == all(shared)


@given(st.dictionaries(st.integers(0, 31), st.binary(min_size=32, max_size=32), min_size=1, max_size=6))
def test_auxpow_sparse_tree_equals_the_full_one(leaves: dict[int, bytes]) -> None:
    root, branches = sparse_tree(leaves, 5)
    assert root == merkle_root([leaves.get(i, bytes(32)) for i in range(32)])
    for index, leaf in leaves.items():
        assert len(branches[index]) == 5
        assert fold_branch(leaf, branches[index], index) == root


def test_auxpow_sparse_tree_of_height_30_costs_nothing() -> None:
    leaves = {0: b"\1" * 32, 2**30 - 1: b"\2" * 32}
    root, branches = sparse_tree(leaves, 30)
    for index, leaf in leaves.items():
        assert fold_branch(leaf, branches[index], index) == root


def test_auxpow_tag_form() -> None:
    root = bytes(range(32))
    assert tag_of(root, 4, 7) == MAGIC + root[::-1] + bytes.fromhex("10000000" "07000000")


def test_auxpow_commit_one_chain_has_its_hash_as_root() -> None:
    aux_hash = sha256d(b"block")
    commitment = AuxPowKind().commit([template("regnmc", 1, aux_hash)])
    assert commitment.script_sig == b"\x2c" + MAGIC + aux_hash[::-1] + bytes.fromhex("0100000000000000")
    assert commitment.slots == {"regnmc": AuxPowSlot(0, ())}
    assert (commitment.outputs, commitment.root) == ((), None)


def test_auxpow_commit_nothing_commits_nothing() -> None:
    assert AuxPowKind().commit([]) == Commitment()


def test_auxpow_commit_refuses_equal_ids_naming_both_chains() -> None:
    with pytest.raises(EqualChainIdsError, match="regdoge and othercoin have the same chain id 98"):
        AuxPowKind().commit([template("regnmc", 1), template("regdoge", 98), template("othercoin", 98)])
    with pytest.raises(ValueError, match="regnmc has no chain id"):
        AuxPowKind().commit([template("regnmc", None)])


def test_auxpow_commit_takes_another_nonce_when_the_root_holds_the_magic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that holds fabe6d6d by chance (once in 150 million) would make every proof of the job invalid."""
    real, calls = sparse_tree, []

    def first_root_holds_magic(leaves: dict[int, bytes], height: int) -> tuple[bytes, dict[int, tuple[bytes, ...]]]:
        root, branches = real(leaves, height)
        calls.append(dict(leaves))
        return (bytes(10) + MAGIC[::-1] + bytes(18), branches) if len(calls) == 1 else (root, branches)

    monkeypatch.setattr(commitment_module, "sparse_tree", first_root_holds_magic)
    commitment = AuxPowKind().commit([template("a", 1, b"\1" * 32), template("b", 98, b"\2" * 32)])
    assert commitment.script_sig[-4:] == b"\1\0\0\0"
    assert {slot.nonce for slot in commitment.slots.values()} == {1}
    assert {c: s.index for c, s in commitment.slots.items()} == {"a": slot_of(1, 1, 1), "b": slot_of(98, 1, 1)}
    assert not holds_magic_twice(commitment.script_sig)


def test_auxpow_magic_twice_is_seen() -> None:
    tag = tag_of(bytes(32), 0)
    assert not holds_magic_twice(b"")
    assert not holds_magic_twice(b"\x03abc\x2c" + tag + b"\x08extra")
    assert holds_magic_twice(tag + b"\x08" + MAGIC + b"abcd")
    assert holds_magic_twice(MAGIC + tag)


def rolled_versions(version: int, mask: int) -> list[int]:
    """Every upper half that rolling reaches."""
    free = [bit for bit in range(16, 32) if mask >> bit & 1]
    combinations = itertools.product(*([0, 1 << bit] for bit in free))
    return [(version & ~mask & 0xFFFFFFFF) | (version & mask & 0xFFFF) | sum(bits) for bits in combinations]


@pytest.mark.parametrize("chain_id", [8228, 0x2001, 0x3FFF, 0x3000])
def test_auxpow_version_rolling_never_hits_a_strict_id_once_a_bit_is_taken_out(chain_id: int) -> None:
    version = 0x20000000
    assert any(version_chain_id(v) == chain_id for v in rolled_versions(version, ROLLING_MASK))
    taken = version_bits_not_to_roll([chain_id], version)
    assert taken.bit_count() == 1
    assert taken & ROLLING_MASK == taken
    assert not any(version_chain_id(v) == chain_id for v in rolled_versions(version, ROLLING_MASK & ~taken))


def test_auxpow_version_rolling_takes_bit_18_out_for_fractal() -> None:
    """Either of bits 18 and 21 will do: 0x2024xxxx needs both."""
    assert version_bits_not_to_roll([8228], 0x20000000) == 1 << 18
    assert version_bits_not_to_roll([8228, 0x2004], 0x20000000) == 1 << 18


def test_auxpow_version_rolling_needs_nothing_for_ids_out_of_reach() -> None:
    assert version_bits_not_to_roll([1, 16, 98, 1829, 0x4000], 0x20000000) == 0
    assert version_bits_not_to_roll([8228], 0x20000000, mask=0x0000E000) == 0
    assert version_bits_not_to_roll([], 0x20000000) == 0


def test_auxpow_version_that_carries_an_id_itself_is_an_error() -> None:
    with pytest.raises(ParentVersionError, match="20000000 carries the chain id 8192"):
        version_bits_not_to_roll([0x2000], 0x20000000)
    with pytest.raises(ParentVersionError):
        version_bits_not_to_roll([1], 0x00010004)


@given(st.sets(st.integers(0x2001, 0x3FFF), max_size=4))
def test_auxpow_version_rolling_of_several_ids(ids: set[int]) -> None:
    taken = version_bits_not_to_roll(sorted(ids), 0x20000000)
    reached = {version_chain_id(v) for v in rolled_versions(0x20000000, ROLLING_MASK & ~taken)}
    assert not ids & reached


@pytest.mark.parametrize(
    ("version", "chain_id"),
    [(0x00010101, 1), (0x20242000, 0x2024), (0xFFFFFFFF, 0), (0xFFFF0000, -1), (0x7FFFFFFF, 0x7FFF), (4, 0)],
)
def test_auxpow_version_chain_id_divides_as_cpp_does(version: int, chain_id: int) -> None:
    assert version_chain_id(version) == chain_id
