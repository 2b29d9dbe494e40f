"""Whose key leads a chain's blocks: the files of the configuration, opened for the service that signs."""

from __future__ import annotations

from pathlib import Path

from chains.signer.signer import Signer
from pool.blocks.led_blocks import Leader, LedBlocks, OpenLeader
from pool.config.configuration import BkChain
from pool.leader_keys import leader_files


def leader_of(chain: BkChain, data_dir: Path, name: str) -> OpenLeader:
    """Opens them; pool/leader_keys.py made those that were missing."""
    files = leader_files(chain, data_dir, name)

    def open_leader() -> Leader:
        kept = LedBlocks(files.signed)
        return Leader(Signer(files.key, files.promises), kept)

    return open_leader
