"""The configuration's chains: a section for each kind.

Like the rest of the shape (pool/config/models.py) it is printed as the reference page.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from chains.auxpow.params import DIALECTS, Dialect
from pool.config.bk_chain import BkChain
from pool.config.common_chain import FAMILY_NAMES, CommonChain
from pool.config.common_chain import NodeSection as NodeSection
from pool.config.common_chain import PplnsSection as PplnsSection
from pool.config.common_chain import PpsSection as PpsSection
from pool.config.common_chain import network_name_of as network_name_of
from pool.config.parallel_chain import ParallelChain
from pool.config.values import DIALECT_KEYS, ContextName, DialectName, PlainText


class BitcoinChain(CommonChain):
    """A chain with `getblocktemplate`: the parent."""

    kind: Literal["bitcoin"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("bitcoin", description=f"Whose address prefixes and proof of work: {FAMILY_NAMES}.")
    longpoll: bool = Field(True, description="Let the node say when its template changes.")


class AuxpowChain(CommonChain):
    """A merged-mined chain with `createauxblock` and `submitauxblock`, or `getauxblock` (MM1, AuxPoW)."""

    kind: Literal["auxpow"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("namecoin", description=f"Whose address prefixes and proof of work: {FAMILY_NAMES}.")
    dialect: DialectName = Field(
        "namecoin",
        description="The words of the node's RPC: `namecoin`, `dogecoin`, or a mapping of those that differ from "
        "Namecoin's: " + ", ".join(f"`{name}`" for name in DIALECT_KEYS) + ".",
    )
    chain_id: int | None = Field(
        None, ge=0, le=0x7FFF, description="The chain id the node must report. Two chains cannot share one."
    )

    def rpc_dialect(self) -> Dialect:
        """The dialect by its name, or Namecoin's with the words that the mapping replaces."""
        if isinstance(self.dialect, str):
            return DIALECTS[self.dialect]
        words: dict[str, Any] = dict(self.dialect)
        return Dialect(**words)


class Mm2Chain(CommonChain):
    """A chain of Merged Mining 2 (docs/protocol/mm2.md)."""

    kind: Literal["mm2"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("devnet", description=f"Whose address prefixes: {FAMILY_NAMES}.")
    context_name: ContextName = Field(
        description="The chain's name whose double SHA-256 is its context, its place in the tree."
    )


AuxSection = AuxpowChain | Mm2Chain | BkChain | ParallelChain
ChainSection = Annotated[BitcoinChain | AuxSection, Field(discriminator="kind")]
CHAIN_KINDS: dict[str, type[BitcoinChain | AuxSection]] = {
    "bitcoin": BitcoinChain,
    "auxpow": AuxpowChain,
    "mm2": Mm2Chain,
    "bk": BkChain,
    "parallel": ParallelChain,
}
KINDS_EXPECTED = "bitcoin, auxpow, mm2, bk or parallel"
AUX_KINDS_EXPECTED = "auxpow, mm2, bk or parallel"
