"""Kind name to kind and node, written out by hand: the one place that a new kind is entered."""

from __future__ import annotations

from chains.auxpow.commitment import AuxPowKind
from chains.bitcoin.block import BitcoinKind
from chains.bk.commitment import BkKind
from chains.kind import AuxKind, ParentKind
from chains.mm2.commitment import Mm2Kind
from chains.parallel.commitment import ParallelKind

PARENT_KINDS: dict[str, ParentKind] = {"bitcoin": BitcoinKind()}
AUX_KINDS: dict[str, AuxKind] = {"auxpow": AuxPowKind(), "mm2": Mm2Kind(), "bk": BkKind(), "parallel": ParallelKind()}
