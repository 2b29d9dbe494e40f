"""Where MM1 chains sit in their shared merkle tree, and what their ids mean for the parent's version.

A chain's slot follows from its id, the tree's height and a nonce (getExpectedIndex of Namecoin's src/auxpow.cpp). The
multiplier is odd, so two ids share a slot exactly when they are equal modulo 2^height, whatever the nonce.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_HEIGHT = 30  # chain merkle branch limit of every MM1 chain
_WORD = 0xFFFFFFFF

# BIP320: the parent's version bits that miners may roll.
ROLLING_MASK = 0x1FFFE000
# A parent whose version has the aux-proof flag is refused (Namecoin validation.cpp, CheckProofOfWork).
AUXPOW_VERSION_BIT = 0x100
CHAIN_ID_SHIFT = 16


class EqualChainIdsError(ValueError):
    """Two chains whose ids can never share a tree."""

    def __init__(self, message: str, chain_id: int) -> None:
        super().__init__(message)
        self.chain_id = chain_id


class ParentVersionError(ValueError):
    """A parent version that carries an auxiliary chain's own id with every choice of rolled bits."""


def slot_of(chain_id: int, height: int, nonce: int = 0) -> int:
    """The index of a chain's leaf in a tree of `2^height` leaves."""
    r = (nonce * 1103515245 + 12345) & _WORD
    r = (r + chain_id) & _WORD
    r = (r * 1103515245 + 12345) & _WORD
    return r % (1 << height)


def never_distinct(first: int, second: int) -> bool:
    """Whether two ids share their slot in every tree: equal modulo the size of the highest one."""
    return (first - second) % (1 << MAX_HEIGHT) == 0


def smallest_height(chain_ids: Sequence[int]) -> int:
    """The smallest tree in which all ids have a slot of their own. Raises EqualChainIdsError naming the id."""
    seen: set[int] = set()
    for chain_id in chain_ids:
        if chain_id in seen:
            raise EqualChainIdsError(f"equal chain ids can never share a tree: {chain_id}", chain_id)
        seen.add(chain_id)
    for height in range(MAX_HEIGHT + 1):
        if len({chain_id % (1 << height) for chain_id in seen}) == len(seen):
            return height
    raise EqualChainIdsError(f"chain ids equal modulo 2^{MAX_HEIGHT} can never share a tree: {sorted(seen)}", min(seen))


def version_bits_not_to_roll(chain_ids: Iterable[int], version: int, mask: int = ROLLING_MASK) -> int:
    """The bits of `mask` to take out so that no rolled parent version carries one of these chains' ids.

    `version` is the job's version, whose bits outside the remaining mask every miner keeps. Ids 0x2000 to 0x3fff can be
    hit under BIP320 (Fractal is 0x2024: bit 18, which the base version has clear and the id set, is taken out). Only
    chains that are strict about their id belong here. Raises ParentVersionError when `version` itself carries an id.
    """
    taken = 0
    for chain_id in chain_ids:
        differing = ((chain_id << CHAIN_ID_SHIFT) ^ version) & _WORD & ~((1 << CHAIN_ID_SHIFT) - 1)
        if not differing:
            raise ParentVersionError(f"the parent version {version & _WORD:08x} carries the chain id {chain_id}")
        if not differing & ~(mask & ~taken):
            taken |= differing & -differing
    return taken
