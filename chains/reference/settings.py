"""How a reference node is started: what `python -m chains.reference.run` and `pool devnet node` fill in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from chains.primitives.hashes import POW_HASHES
from chains.reference.node import ReferenceNode
from chains.reference.rules import (
    COIN_SAT,
    LEAST_EXPECTED_HASHES,
    REGTEST_BITS,
    START_EXPECTED_HASHES,
    Rules,
    retargeting_bits,
    target_of_work,
)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One node. `port` 0 lets the system choose. With `block_interval_s` the chain retargets from `start_hashes`
    expected hashes and never below `least_hashes`; without, every block has `bits`. `trickle_s` is the pause between
    small payments of the wallet to itself (0: none). `pow_hash` (sha256d, scrypt) is the proof of work of a bitcoin
    chain's headers, and of the parent's headers in the proofs of the other kinds. `chain_id` and `dialect` (namecoin,
    dogecoin) belong to the kind auxpow, `context_name` to mm2."""

    kind: str
    name: str
    port: int
    user: str
    password: str
    data_dir: Path
    seed: str
    block_interval_s: int | None = None
    bits: int = REGTEST_BITS
    start_hashes: int = START_EXPECTED_HASHES
    least_hashes: int = LEAST_EXPECTED_HASHES
    maturity: int = 10
    subsidy_sat: int = 50 * COIN_SAT
    trickle_s: float = 0
    pow_hash: str = "sha256d"
    chain_id: int = 1
    dialect: str = "namecoin"
    context_name: str = ""
    longpoll_s: int = 60

    def __post_init__(self) -> None:
        if self.pow_hash not in POW_HASHES:
            raise SettingsError(f"proof of work {self.pow_hash!r}: expected one of {', '.join(POW_HASHES)}")

    def rules(self, *, version: int = 0x20000000, witness: bool = True, old_wallet: bool = False) -> Rules:
        retargets = self.block_interval_s is not None
        return Rules(
            name=self.name,
            seed=self.seed,
            subsidy_sat=self.subsidy_sat,
            maturity=self.maturity,
            witness=witness,
            start_bits=retargeting_bits(self.start_hashes) if retargets else self.bits,
            block_interval_s=self.block_interval_s,
            max_target=target_of_work(self.least_hashes) if retargets else 2**255 - 1,
            version=version,
            old_wallet=old_wallet,
        )


class Change(Protocol):
    """Waits for the next change of tip or mempool, at most so many seconds."""

    async def __call__(self, timeout_s: float) -> None: ...


class DevnetNode(Protocol):
    """What a kind's devnet module gives the server: its node, and the RPC methods only this kind has."""

    node: ReferenceNode

    def methods(self) -> Mapping[str, Callable[..., Any]]: ...


class OpenDevnet(Protocol):
    """A kind's devnet class, called to open a node from its settings. Raises SettingsError and StoreError."""

    def __call__(self, settings: NodeSettings, clock: Callable[[], int], change: Change) -> DevnetNode: ...


class SettingsError(ValueError):
    """Settings that do not fit the kind; the message is for the operator."""
