"""Kind name to kind and verifier, written out by hand: the one place that a new kind is entered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chains.auxpow import verify as auxpow
from chains.auxpow.commitment import AuxPowKind
from chains.bitcoin.block import BitcoinKind
from chains.bk import verify as bk
from chains.bk.commitment import BkKind
from chains.kind import AuxKind, ParentKind
from chains.mm2 import verify as mm2
from chains.mm2.commitment import Mm2Kind
from chains.parallel import verify as parallel
from chains.parallel.commitment import ParallelKind

PARENT_KINDS: dict[str, ParentKind] = {"bitcoin": BitcoinKind()}
AUX_KINDS: dict[str, AuxKind] = {"auxpow": AuxPowKind(), "mm2": Mm2Kind(), "bk": BkKind(), "parallel": ParallelKind()}

# What a third party can judge with no node: the JSON object of a proof to `ok` or the first reason against it. Each
# raises FieldError for an object that is no question.
VERIFIERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "mm2": mm2.verify_record,
    "auxpow": auxpow.verify_record,
    "bk": bk.verify_record,
    "parallel": parallel.verify_record,
}
