"""What all auxiliary kinds together put into the parent's coinbase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chains.kind import AuxKind, AuxTemplate
from pool.jobs.template_set import TemplateSet

# Without MM2 chains the last output still has its form, over a root that commits to nothing: one layout for every job.
NO_ROOT = bytes(32)


@dataclass(frozen=True, slots=True)
class Commitments:
    """Joined commitments: scriptSig pieces, extra output scripts, the last output's root, and each chain's slot."""

    script_sig: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    root: bytes
    slots: Mapping[str, Any]


def commit(templates: TemplateSet, kinds: Mapping[str, AuxKind]) -> Commitments:
    """Let every tree's kind commit to its chains; `kinds` gives the kind of each auxiliary chain by chain name."""
    members: dict[str, tuple[AuxKind, list[AuxTemplate]]] = {}
    for chain, template in templates.aux.items():
        kind = kinds[chain]
        members.setdefault(kind.tree, (kind, []))[1].append(template)
    script_sig: list[bytes] = []
    outputs: list[bytes] = []
    slots: dict[str, Any] = {}
    root = NO_ROOT
    for kind, its_templates in members.values():
        commitment = kind.commit(its_templates)
        if commitment.script_sig:
            script_sig.append(commitment.script_sig)
        outputs.extend(commitment.outputs)
        if commitment.root is not None:
            root = commitment.root
        slots.update(commitment.slots)
    return Commitments(tuple(script_sig), tuple(outputs), root, slots)
