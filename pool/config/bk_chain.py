"""The section of a chain of kind bk; its rules that look at files are in pool/config/bk_checks.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from chains.kind import Network
from pool.config.common_chain import FAMILY_NAMES, CommonChain
from pool.config.values import ContextName, FilePath, PlainText

LEADERS = "leaders"
"""Folder in `data_dir` of the keys that were made here."""


class BkChain(CommonChain):
    """A chain of B_k (docs/protocol/bk.md): every share that meets its target is a vote, k votes are a block, and each
    vote of ours earns its part of the block that has it."""

    kind: Literal["bk"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("bk", description=f"Whose address prefixes: {FAMILY_NAMES}.")
    context_name: ContextName = Field(
        description="The network's `name`, whose double SHA-256 is its context, its place in the tree."
    )
    leader_key_file: FilePath | None = Field(
        None,
        description="File of the key that leads blocks, made with mode 0600 when it is missing; beside it, in "
        "`FILE.promises` and `FILE.signed`, is what was signed with it. It spends no coins and must not be a wallet's. "
        "Default: `data_dir/leaders/NAME.key`.",
    )

    @property
    def chain_network(self) -> Network:
        """A network of votes has a maturity of its own, which the file says by `maturity`, one more than it."""
        of_family = super().chain_network
        return of_family if self.maturity is None else replace(of_family, maturity=self.maturity - 1)

    def leader_key_in(self, data_dir: Path, name: str) -> Path:
        """The key's file."""
        return self.leader_key_file or data_dir / LEADERS / f"{name}.key"
