"""A miner's view of work: a notify as it came over the wire, and the header that a nonce makes of it.

Written from the protocol's side (docs/protocol/stratum-v1.md) and sharing nothing with the pool's job building, so that
every accepted share of the bundled miner is an independent check of the pool's own bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from chains.primitives.hashes import sha256d
from chains.primitives.header import Header
from chains.primitives.merkle import fold_branch
from chains.primitives.target import bits_to_target, difficulty_to_target

MAX_BRANCH = 32  # levels of a merkle tree that any block could have


class WorkError(ValueError):
    """A notify that is none; the message says which parameter."""


@dataclass(frozen=True, slots=True)
class Job:
    """One mining.notify with the terms it came under. Hashes natural, `version`, `bits` and `time` numbers;
    `difficulty`, `extranonce1` and `version_mask` are those of the connection when the job arrived."""

    job_id: str
    previous_hash: bytes
    coinb1: bytes
    coinb2: bytes
    branch: tuple[bytes, ...]
    version: int
    bits: int
    time: int
    clean: bool
    difficulty: float
    extranonce1: bytes
    extranonce2_size: int
    version_mask: int = 0

    def share_target(self, algorithm: str = "sha256d") -> int:
        """The target that a share must meet; at most this is a share."""
        return difficulty_to_target(Fraction(self.difficulty), algorithm)

    def block_target(self) -> int:
        """The parent chain's target."""
        return bits_to_target(self.bits)


def parse_notify(
    params: Any, *, difficulty: float, extranonce1: bytes, extranonce2_size: int, version_mask: int = 0
) -> Job:
    """The job of a mining.notify's parameters. Raises WorkError."""
    if not isinstance(params, list) or len(params) < 9:
        raise WorkError("mining.notify has nine parameters")
    job_id, previous, coinb1, coinb2, branch, version, bits, time, clean = params[:9]
    if not isinstance(job_id, str):
        raise WorkError("job id: expected text")
    if not isinstance(branch, list) or len(branch) > MAX_BRANCH:
        raise WorkError(f"branch: expected a list of at most {MAX_BRANCH} hashes")
    if not isinstance(clean, bool):
        raise WorkError("clean_jobs: expected true or false")
    return Job(
        job_id=job_id,
        previous_hash=_swapped_words(_hex(previous, "prevhash", 32)),
        coinb1=_hex(coinb1, "coinb1"),
        coinb2=_hex(coinb2, "coinb2"),
        branch=tuple(_hex(sibling, "branch", 32) for sibling in branch),
        version=int.from_bytes(_hex(version, "version", 4), "big"),
        bits=int.from_bytes(_hex(bits, "nbits", 4), "big"),
        time=int.from_bytes(_hex(time, "ntime", 4), "big"),
        clean=clean,
        difficulty=difficulty,
        extranonce1=extranonce1,
        extranonce2_size=extranonce2_size,
        version_mask=version_mask,
    )


def header_for(
    job: Job, extranonce1: bytes, extranonce2: bytes, ntime: int, nonce: int, version_bits: int | None = None
) -> bytes:
    """The 80-byte header of a choice of extranonce2, time, nonce and rolled version bits (BIP310)."""
    coinbase_txid = sha256d(job.coinb1 + extranonce1 + extranonce2 + job.coinb2)
    root = fold_branch(coinbase_txid, job.branch)
    version = job.version
    if version_bits is not None:
        version = (job.version & ~job.version_mask) | (version_bits & job.version_mask)
    return Header(version, job.previous_hash, root, ntime, job.bits, nonce).serialize()


def spread_bits(number: int, mask: int) -> int:
    """The low bits of a number laid out over the set bits of a mask: counts through the versions a miner may roll."""
    spread = 0
    for position in range(32):
        if mask >> position & 1:
            spread |= (number & 1) << position
            number >>= 1
    return spread


def _hex(value: Any, name: str, size: int | None = None) -> bytes:
    try:
        data = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise WorkError(f"{name}: expected hex digits") from None
    if (size is not None and len(data) != size) or len(data) * 2 != len(value):
        raise WorkError(f"{name}: expected {size} bytes of hex digits")
    return data


def _swapped_words(data: bytes) -> bytes:
    """Stratum's prevhash has the natural bytes with each 4-byte word reversed."""
    return b"".join(data[place : place + 4][::-1] for place in range(0, len(data), 4))
