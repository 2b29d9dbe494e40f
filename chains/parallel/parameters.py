"""What a network of consensus proofs and the chains under it are told: constants that all their nodes share.

A chain joins by being listed and leaves by not being listed; nobody registers it. Two networks, or two chains, that
differ in any constant that a rule reads have different ids, so their nodes do not talk and their transfers do not mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chains.accounts.transfer import MAX_AMOUNT, tagged_hash
from chains.accounts.wallet import address_format
from chains.mm2_proof.tree import context_of
from chains.primitives.address import AddressFormat
from chains.primitives.asert import asert_target
from chains.primitives.hashes import POW_HASHES
from chains.primitives.target import bits_to_target, target_to_bits

DIFFICULTY_1_BITS = 0x1D00FFFF


class Mode(StrEnum):
    """Whether proofs are their own parent chain, or merge-mined under another."""

    ROOT = "root"
    AUX = "aux"


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """A network. `first_bits` are those of the first proof; `half_life_s` None keeps them for ever (devnets), otherwise
    the target doubles for each half-life that the proofs are behind one per `interval_s`. `pow_name` is the parent's
    proof of work in aux mode. `genesis` is a hash that nobody mined; the name's own unless given.
    """

    name: str
    mode: Mode = Mode.ROOT
    first_bits: int = DIFFICULTY_1_BITS
    easiest_bits: int = 0x207FFFFF
    interval_s: int = 60
    half_life_s: int | None = 3600
    pow_name: str = "sha256d"
    genesis_hash: bytes | None = None

    def __post_init__(self) -> None:
        if self.pow_name not in POW_HASHES:
            raise ValueError(f"pow_name: expected one of {', '.join(POW_HASHES)}")
        if self.mode is Mode.ROOT and self.pow_name != "sha256d":
            raise ValueError("pow_name: a network with proofs of work of its own hashes them with sha256d")
        if self.interval_s < 1 or (self.half_life_s is not None and self.half_life_s < 1):
            raise ValueError("interval and half-life are at least one second")
        if bits_to_target(self.first_bits) > self.easiest_target:
            raise ValueError("the first target is easier than the easiest")

    @property
    def easiest_target(self) -> int:
        return bits_to_target(self.easiest_bits)

    @property
    def context(self) -> bytes:
        """In aux mode, the network's MM2 context."""
        return context_of(f"parallel:{self.name}")

    @property
    def genesis(self) -> bytes:
        """What the first proof names as the one before it."""
        return self.genesis_hash or tagged_hash(b"parapool/parallel/genesis", self.name.encode())

    @property
    def id(self) -> bytes:
        """Which network a hello names: every constant that a rule reads is in it."""
        numbers = (self.first_bits, self.easiest_bits, self.interval_s, self.half_life_s or 0)
        words = f"{self.mode} {self.pow_name} " + " ".join(str(number) for number in numbers)
        return tagged_hash(b"parapool/parallel/network", self.genesis + words.encode())

    def next_bits(self, height: int, time_s: int, anchor_time_s: int) -> int:
        """The bits of the child of a proof with this height and time; `anchor_time_s` is the time of its ancestor at
        height 1, or its own. The anchor is the first proof, not genesis: a network is founded long after its constants
        were written down, and would otherwise make up for those years at the easiest target."""
        if self.half_life_s is None or height < 1:
            return self.first_bits
        behind_s = time_s - anchor_time_s - self.interval_s * (height - 1)
        target = asert_target(bits_to_target(self.first_bits), behind_s, self.half_life_s, self.easiest_target)
        return target_to_bits(target)


@dataclass(frozen=True, slots=True)
class ChainParameters:
    """A chain under consensus proofs. `context_name` is hashed to its context unless that is given; `subsidy` is in
    smallest units and halves every `halving_blocks` blocks (0: never); `start` is the proof after which it begins,
    the network's genesis when None; `fee_rate` (per 1000 bytes) is what its followers ask before they relay.
    """

    name: str
    context_name: str
    subsidy: int
    maturity_blocks: int = 100
    halving_blocks: int = 0
    hrp: str = "ppow"
    start: bytes | None = None
    fee_rate: int = 1000
    context_bytes: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.subsidy <= MAX_AMOUNT or self.halving_blocks < 0 or self.maturity_blocks < 1:
            raise ValueError("subsidy and halving are not negative, and rewards mature after at least one block")
        if not self.hrp.isascii() or not self.hrp.isalnum() or self.hrp != self.hrp.lower() or len(self.hrp) > 20:
            raise ValueError("hrp: expected 1 to 20 lower-case letters and digits")

    @property
    def context(self) -> bytes:
        return self.context_bytes or context_of(self.context_name)

    @property
    def addresses(self) -> AddressFormat:
        return address_format(self.hrp)

    def id_on(self, network: NetworkParameters) -> bytes:
        """The 32 bytes that every signing hash of this chain contains."""
        numbers = f"{self.subsidy} {self.halving_blocks} {self.maturity_blocks} "
        rules = numbers.encode() + (self.start or network.genesis)
        return tagged_hash(b"parapool/parallel/chain", network.genesis + self.context + rules)

    def subsidy_at(self, height: int) -> int:
        """New coins of the block at a height, counted from 1."""
        halvings = (height - 1) // self.halving_blocks if self.halving_blocks else 0
        return self.subsidy >> min(halvings, 63)
