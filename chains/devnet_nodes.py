"""Kind name → the reference node of that kind, written out by hand."""

from __future__ import annotations

from chains.auxpow.devnet import AuxpowDevnet
from chains.bitcoin.devnet import BitcoinDevnet
from chains.mm2.devnet import Mm2Devnet
from chains.reference.settings import OpenDevnet

DEVNET_NODES: dict[str, OpenDevnet] = {"bitcoin": BitcoinDevnet, "auxpow": AuxpowDevnet, "mm2": Mm2Devnet}
