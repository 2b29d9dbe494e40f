"""What a node offers to miners: a body for each chain wanted, their manifest, and what is left to do around R."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chains.accounts.wallet import INVALID_PARAMETER, CallRefusedError, script_of
from chains.parallel.body import Body
from chains.parallel.following import BodyTemplate, FollowedChain
from chains.parallel.manifest import MAX_ENTRIES, Manifest, manifest_of
from chains.parallel.parameters import Mode
from chains.parallel.proof import MAX_COINBASE_SIZE, AuxDatum, root_coinbase
from chains.primitives.hashes import displayed
from chains.primitives.target import bits_to_target

if TYPE_CHECKING:
    from chains.parallel.core import ParallelCore

HEADER_VERSION = 0x20000000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An aux-mode datum that was handed out, with what belongs to it."""

    datum: AuxDatum
    manifest: Manifest
    bodies: Mapping[bytes, Body]


def chain_named(node: ParallelCore, name: str) -> FollowedChain:
    """A followed chain by its name or the hex of its context. Raises CallRefusedError."""
    for chain in node.chains.values():
        if name in (chain.parameters.name, chain.context.hex()):
            return chain
    raise CallRefusedError(INVALID_PARAMETER, f"this node does not follow a chain {str(name)[:70]!r}")


def bodies_for(node: ParallelCore, scripts: Mapping[str, str]) -> dict[bytes, BodyTemplate]:
    """By context, a body for each chain that a script is given for: an address, or the hex of a script. A chain that
    has not begun at the tip yet is left out. Raises CallRefusedError."""
    if not isinstance(scripts, Mapping) or len(scripts) > MAX_ENTRIES:
        raise CallRefusedError(INVALID_PARAMETER, f"scripts: expected at most {MAX_ENTRIES} scripts by chain")
    made: dict[bytes, BodyTemplate] = {}
    for name, text in scripts.items():
        chain = chain_named(node, name)
        if chain.context in made:
            raise CallRefusedError(INVALID_PARAMETER, f"scripts: {name!r} twice")
        if chain.is_started(node.tree.best):
            made[chain.context] = _template(chain, str(text))
    return made


def _template(chain: FollowedChain, text: str) -> BodyTemplate:
    try:
        script = bytes.fromhex(text)
    except ValueError:
        script = script_of(chain, text)
    try:
        return chain.template(script)
    except ValueError as error:
        raise CallRefusedError(INVALID_PARAMETER, f"{chain.parameters.name}: {error}") from error


def time_now_s(node: ParallelCore) -> int:
    """The time that a proof on the tip should carry now."""
    return max(node.now_ms // 1000, node.tree.least_time_s(node.tree.best))


def describe(node: ParallelCore, made: Mapping[bytes, BodyTemplate]) -> dict[str, Any]:
    """The part that both modes' templates share: place, target, R, manifest, bodies. Hashes that end in `hash` and ids
    are displayed hex, contexts, roots, R and everything raw natural."""
    best = node.tree.best
    bits = node.tree.next_bits(best)
    manifest = manifest_of({context: one.root for context, one in made.items()})
    return {
        "mode": str(node.parameters.mode),
        "height": best.height + 1,
        "previousblockhash": displayed(best.id),
        "bits": f"{bits:08x}",
        "target": f"{bits_to_target(bits):064x}",
        "commitment": manifest.commitment().hex(),
        "manifest": manifest.serialize().hex(),
        "chains": [
            {
                "chain": node.chains[context].parameters.name,
                "context": context.hex(),
                "height": one.height,
                "previousblockhash": displayed(one.previous),
                "root": one.root.hex(),
                "amount": one.amount,
                "transactions": [transaction.hex() for transaction in one.body],
            }
            for context, one in sorted(made.items())
        ],
    }


def root_template(node: ParallelCore, scripts: Mapping[str, str]) -> dict[str, Any]:
    """What `getconsensustemplate` answers. `coinbase` ends in 8 zero bytes of nonce and the lock time: whatever a miner
    puts into those 8 bytes, and into further outputs before the last, the proof holds."""
    if node.parameters.mode is not Mode.ROOT:
        raise CallRefusedError(INVALID_PARAMETER, "this network is merge-mined: ask createparalleldatum")
    answer = describe(node, bodies_for(node, scripts))
    coinbase = root_coinbase(answer["height"], bytes.fromhex(answer["commitment"]), node.tag)
    return {
        **answer,
        "longpollid": answer["previousblockhash"] + answer["commitment"],
        "version": HEADER_VERSION,
        "curtime": time_now_s(node),
        "mintime": node.tree.least_time_s(node.tree.best),
        "coinbase": coinbase.hex(),
        "coinbase_limit": MAX_COINBASE_SIZE,
    }
