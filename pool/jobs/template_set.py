"""The templates that one job is made of: the parent's and the newest of every live auxiliary chain, frozen together.

Coinbase value and transaction list belong to one immutable parent template, so a job can never carry the fees of
another one (Antpool lost block 584,802 that way).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from chains.kind import AuxTemplate, ParentTemplate


@dataclass(frozen=True, slots=True, eq=False)
class TemplateSet:
    """A parent template and the auxiliary templates mined along with it, by chain name."""

    parent: ParentTemplate
    aux: Mapping[str, AuxTemplate]

    def chains(self) -> tuple[str, ...]:
        """Every chain that a job of these templates works for, the parent first."""
        return (self.parent.chain, *self.aux)


class Reduction(Enum):
    """How much of a template set is mined: each next step leaves out what a parent's new rule might refuse."""

    NOTHING = "everything"
    WITHOUT_MM2 = "without MM2 chains"
    WITHOUT_AUX = "without auxiliary chains"
    EMPTY = "without auxiliary chains and transactions"


def reduce(templates: TemplateSet, reduction: Reduction) -> TemplateSet | None:
    """The template set after a reduction; None when it leaves nothing out that the steps before it did not."""
    if reduction is Reduction.NOTHING:
        return templates
    if reduction is Reduction.WITHOUT_MM2:
        kept = {name: template for name, template in templates.aux.items() if template.context is None}
        return TemplateSet(templates.parent, MappingProxyType(kept)) if 0 < len(kept) < len(templates.aux) else None
    if reduction is Reduction.WITHOUT_AUX:
        return TemplateSet(templates.parent, MappingProxyType({})) if templates.aux else None
    parent = templates.parent
    if not parent.transactions or parent.extension:  # an extension block's HogEx transaction may not be left out
        return None
    empty = replace(
        parent,
        transactions=(),
        merkle_branch=(),
        value_sat=parent.value_sat - sum(t.fee_sat for t in parent.transactions),
        witness_commitment=None,
    )
    return TemplateSet(empty, MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides whether a parent accepts our block form: checked by a block proposal before it is mined."""

    mm1: bool
    mm2: bool
    transactions: bool
    witness: bool
    extension: bool
    rules: tuple[str, ...]


def shape_of(templates: TemplateSet) -> Shape:
    parent = templates.parent
    return Shape(
        mm1=any(t.chain_id is not None for t in templates.aux.values()),
        mm2=any(t.context is not None for t in templates.aux.values()),
        transactions=bool(parent.transactions),
        witness=parent.witness_commitment is not None,
        extension=bool(parent.extension),
        rules=parent.rules,
    )
