"""The section of a chain of kind parallel; what chains of one network share is in pool/config/parallel_checks.py."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from chains.accounts.wallet import address_format
from chains.kind import Network
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import from_displayed
from pool.config.common_chain import FAMILY_NAMES, CommonChain
from pool.config.values import ContextName, PlainText

CONTEXT_PREFIX = "parallel:"
"""What a network's name has before it when its context is made (docs/protocol/parallel.md, section 4)."""

DEFAULT_HRP = "ppow"
_HRP = re.compile(r"[a-z0-9]{1,20}")
_HASH = re.compile(r"[0-9a-f]{64}")


def is_hrp(text: object) -> bool:
    """Whether a chain's addresses can begin with this."""
    return isinstance(text, str) and _HRP.fullmatch(text) is not None


def _check_hrp(text: str) -> str:
    if not is_hrp(text):
        raise ValueError("expected 1 to 20 lower-case letters and digits")
    return text


def _check_genesis(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise ValueError("expected a hash of 64 lower-case hex digits, as getchainview shows it")
    return text


class ParallelChain(CommonChain):
    """A chain under consensus proofs (docs/protocol/parallel.md). Chains of one `network_name` are mined by one datum
    and share their nodes: each proof pays all of them."""

    kind: Literal["parallel"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("parallel", description=f"Whose networks there are: {FAMILY_NAMES}.")
    network_name: ContextName = Field(
        description="The consensus-proof network's `name`, which makes its context, its place in the tree. Chains with "
        "the same one have the same `nodes`, `genesis`, `poll_interval_s` and `away_s`."
    )
    chain_name: PlainText = Field(
        description="What the network's nodes call the chain, or its context in hex. Nodes that do not follow it are "
        "not used for it."
    )
    genesis: Annotated[str, AfterValidator(_check_genesis)] | None = Field(
        None, description="The network's genesis, displayed. Nodes with another one are not used."
    )
    hrp: Annotated[str, AfterValidator(_check_hrp)] = Field(
        DEFAULT_HRP, description="What the chain's bech32 addresses begin with."
    )
    maturity_blocks: int = Field(
        100, ge=1, le=100_000, description="The chain's own: blocks from which a reward may be spent."
    )
    waits_for_bodies: bool = Field(
        True,
        description="Whether nothing matures while the node misses bodies below the chain's tip. Somebody hides them, "
        "and can undo what stands above them by showing them.",
    )

    @property
    def chain_network(self) -> Network:
        of_family = super().chain_network
        return replace(of_family, addresses=address_format(self.hrp), maturity=self.maturity_blocks)

    @property
    def context(self) -> bytes:
        """The network's place in the MM2 tree."""
        return context_of(CONTEXT_PREFIX + self.network_name)

    @property
    def genesis_hash(self) -> bytes | None:
        """In natural order."""
        return None if self.genesis is None else from_displayed(self.genesis)
