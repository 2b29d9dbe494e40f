"""The rows of a merkle tree in C and in Python, and the branch made of them."""

from __future__ import annotations

import hashlib

import pytest

from chains.primitives import _share_kernel
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import coinbase_branch, fold_branch, merkle_root
from chains.primitives.share_kernel import python_hash_pairs

BOTH = pytest.mark.parametrize("pairs", [python_hash_pairs, _share_kernel.hash_pairs])


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "little")).digest()


@BOTH
@pytest.mark.parametrize("implementation", ["portable", "best"])
def test_hash_pairs_hashes_each_pair_twice(pairs, implementation):
    _share_kernel.use(implementation)
    try:
        hashes = [digest(number) for number in range(14)]
        assert pairs(b"".join(hashes)) == b"".join(sha256d(hashes[i] + hashes[i + 1]) for i in range(0, 14, 2))
        assert pairs(b"") == b""
    finally:
        _share_kernel.use("best")


@BOTH
@pytest.mark.parametrize("wrong", [b"x", bytes(32), bytes(96), "text", None])
def test_hash_pairs_takes_whole_pairs_only(pairs, wrong):
    with pytest.raises((ValueError, TypeError)):
        pairs(wrong)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 31, 32, 33, 1000])
def test_merkle_coinbase_branch_folds_into_the_root(count):
    others = [digest(number) for number in range(1, count + 1)]
    coinbase = digest(0)
    assert fold_branch(coinbase, coinbase_branch(others)) == merkle_root([coinbase, *others])
