"""Leading a block of a chain of votes, once and for good: the block is on disk, then its promise, then it is signed.

Whatever happens between these steps, the same block is signed and handed in again, and no other one ever for its
leading vote: who has signed two has equivocated (docs/protocol/bk.md, section 4).

    FILE.signed/0000000042-5f0c….json   {"header": "…", "votes": ["…"], "body": "…"}   one for each slot, the newest
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from chains.bk.proposal import PURPOSE, Proposal, proposal_of
from chains.signer.signer import AlreadyPromisedError, Signer

log = logging.getLogger("parapool.blocks")

KEPT_BLOCKS = 32
"""An older one is no longer wanted by any node: votes for a block ten below the tip are dropped."""


class _Kept(msgspec.Struct):
    header: str
    votes: list[str]
    body: str


class SignedBlock(NamedTuple):
    """What goes to the nodes."""

    proposal: Proposal
    signature: bytes


class LedBlocks:
    """The folder. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()

    def keep(self, proposal: Proposal) -> None:
        """On disk when this returns; the oldest ones over the limit are dropped."""
        content = msgspec.json.encode(
            _Kept(proposal.header.serialize().hex(), list(proposal.votes), proposal.body.hex())
        )
        path = self._path(proposal.height, proposal.slot)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for old in self._paths()[:-KEPT_BLOCKS]:
            old.unlink()

    def get(self, height: int, slot: bytes) -> Proposal | None:
        """The one that was kept for a slot."""
        return self._read(self._path(height, slot))

    def all(self) -> list[Proposal]:
        """The lowest first."""
        return [proposal for path in self._paths() if (proposal := self._read(path)) is not None]

    def _path(self, height: int, slot: bytes) -> Path:
        return self._folder / f"{height:010d}-{hashlib.sha256(slot).hexdigest()[:32]}.json"

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _read(self, path: Path) -> Proposal | None:
        """None when it is not there, or damaged: its promise still keeps another one from being signed."""
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
            return proposal_of(bytes.fromhex(kept.header), tuple(kept.votes), bytes.fromhex(kept.body))
        except FileNotFoundError:
            return None
        except ValueError as error:  # of msgspec too
            log.warning("a block that was led cannot be read, it is not handed in again file=%s: %s", path, error)
            return None


class Leader:
    """A signer and what it signed. Its methods wait for the disk. Safe to be called from another thread."""

    def __init__(self, signer: Signer, kept: LedBlocks) -> None:
        self._signer = signer
        self._kept = kept

    def sign(self, proposal: Proposal) -> SignedBlock:
        """This block, or the one that was signed before for the same leading vote. Raises AlreadyPromisedError when
        that one is lost, PromisesError or OSError when the disk fails."""
        promised = self._signer.promised(PURPOSE, proposal.slot)
        if promised is None:
            self._kept.keep(proposal)
        elif promised != proposal.digest:
            kept = self._kept.get(proposal.height, proposal.slot)
            if kept is None or kept.digest != promised:
                raise AlreadyPromisedError(PURPOSE, proposal.slot, promised)
            proposal = kept
        return SignedBlock(proposal, self._signer.sign(PURPOSE, proposal.slot, proposal.digest))

    def signed(self) -> list[SignedBlock]:
        """The newest blocks that were signed, the lowest first. Raises PromisesError."""
        return [
            SignedBlock(kept, self._signer.sign(PURPOSE, kept.slot, kept.digest))
            for kept in self._kept.all()
            if self._signer.promised(PURPOSE, kept.slot) == kept.digest
        ]

    def close(self) -> None:
        self._signer.close()


OpenLeader = Callable[[], Leader]
"""Raises KeyFileError, PromisesError or OSError, also while another process holds the key."""
