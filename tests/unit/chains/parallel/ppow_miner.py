"""Mining and paying on a node's core, for the tests of the consensus-proof network."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from coincurve import PrivateKey
from support.consensus_mining import solved

from chains.parallel.body import Body, root_of
from chains.parallel.calls import READS
from chains.parallel.core import ParallelCore
from chains.parallel.manifest import Manifest, manifest_of
from chains.parallel.parameters import ChainParameters, Mode, NetworkParameters
from chains.peers.core import Answer, Asked, Effect, Refuse, Started, Write
from chains.primitives.address import pay_to_pubkey_hash

NETWORK = NetworkParameters("test", first_bits=0x207FFFFF, half_life_s=None)
AUX_NETWORK = NetworkParameters("test", Mode.AUX, first_bits=0x207FFFFF, half_life_s=None)
CHAIN_A = ChainParameters("a", "parallel a", subsidy=5000, maturity_blocks=2, hrp="pa", fee_rate=0)
CHAIN_B = ChainParameters("b", "parallel b", subsidy=700, maturity_blocks=2, hrp="pb", fee_rate=0)
BOTH = (CHAIN_A, CHAIN_B)
NOW_MS = 1_700_000_000_000

SECRETS = [bytes(31) + bytes((number,)) for number in range(1, 6)]
KEYS = [PrivateKey(secret).public_key.format() for secret in SECRETS]
SCRIPTS = [pay_to_pubkey_hash(key) for key in KEYS]


def new_node(
    chains: Iterable[ChainParameters] = BOTH, network: NetworkParameters = NETWORK, seed: int = 1
) -> ParallelCore:
    """A node that is not started yet; its wallet holds all test keys."""
    return ParallelCore(network, tuple(chains), random.Random(seed), dict(zip(SCRIPTS, SECRETS, strict=True)))


class Disk:
    """What a node wrote, for starting another with it."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {}

    def take(self, effects: Iterable[Effect]) -> list[Effect]:
        effects = list(effects)
        for effect in effects:
            if isinstance(effect, Write):
                for table, key, value in effect.puts:
                    self.tables.setdefault(table, {})[key] = value
                for table, key in effect.deletes:
                    self.tables.get(table, {}).pop(key, None)
        return effects

    def started(self) -> Started:
        return Started({table: list(rows.items()) for table, rows in self.tables.items()})


def start(node: ParallelCore, disk: Disk | None = None) -> list[Effect]:
    return list(node.on(NOW_MS, disk.started() if disk is not None else Started({})))


def read(node: ParallelCore, call: str, *parameters: Any) -> Any:
    return READS[call](node, *parameters)


def ask(node: ParallelCore, call: str, *parameters: Any, now_ms: int | None = None, disk: Disk | None = None) -> Any:
    """The answer of a call that writes; a refusal is a (code, reason)."""
    effects = list(node.on(node.now_ms + 1000 if now_ms is None else now_ms, Asked(call, 1, parameters)))
    if disk is not None:
        disk.take(effects)
    for effect in effects:
        if isinstance(effect, Answer):
            return effect.value
        if isinstance(effect, Refuse):
            return effect.code, effect.reason
    raise AssertionError("a call that is never answered")


def template(node: ParallelCore, who: Mapping[str, int]) -> dict[str, Any]:
    """A template that pays test account number `who` on each chain named."""
    answer: dict[str, Any] = read(node, "getconsensustemplate", {name: SCRIPTS[at].hex() for name, at in who.items()})
    return answer


def mine(node: ParallelCore, who: Mapping[str, int], salt: int = 0, disk: Disk | None = None) -> dict[str, Any]:
    """One proof, with a body for each chain named."""
    proof, bodies = solved(template(node, who), salt)
    answer: dict[str, Any] = ask(node, "submitconsensusproof", proof.hex(), bodies, disk=disk)
    return answer


def manifest_for(bodies: Mapping[bytes, Body]) -> Manifest:
    return manifest_of({context: root_of(body) for context, body in bodies.items()})


def states(node: ParallelCore) -> dict[str, tuple[object, ...]]:
    """Everything that a node believes of each chain, as values that compare."""
    return {
        chain.parameters.name: (chain.state.tip, *chain.accounts.snapshot()) for chain in node.chains.values()
    }
