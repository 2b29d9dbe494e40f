"""The key that a chain of votes knows its leader by: made when it is missing, held by one signer.

Votes only name its public half. The secret leads blocks (pool/services/block_leading.py) and spends no coin; it, its
promises and what was signed belong together and are never copied (chains/signer).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from coincurve import PublicKeyXOnly

from chains.signer.keys import KeyFileError, read_key
from chains.signer.promises import PromisesError
from chains.signer.signer import create_signer
from pool.config.configuration import BkChain, Config

NOBODY = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""A point whose secret nobody knows (BIP341, H): what a process that asks for no votes names before there is a key."""


class LeaderFiles(NamedTuple):
    """The key, its promises, and the blocks that were signed with it and may have to be handed in again."""

    key: Path
    promises: Path
    signed: Path


def leader_files(chain: BkChain, data_dir: Path, name: str) -> LeaderFiles:
    key = chain.leader_key_in(data_dir, name)
    return LeaderFiles(key, key.with_name(f"{key.name}.promises"), key.with_name(f"{key.name}.signed"))


def public_leader_key(key: Path) -> bytes:
    """BIP340, x-only; NOBODY while there is none. Raises KeyFileError."""
    return PublicKeyXOnly.from_secret(read_key(key)).format() if key.exists() else NOBODY


def make_leaders(config: Config) -> None:
    """A key for every chain of votes that has none yet. Raises OSError."""
    for name, chain in config.aux_chains.items():
        if not isinstance(chain, BkChain):
            continue
        files = leader_files(chain, config.pool.data_dir, name)
        if not (files.key.exists() or files.promises.exists()):
            files.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                create_signer(files.key, files.promises).close()
            except (KeyFileError, PromisesError) as error:
                raise OSError(str(error)) from error
