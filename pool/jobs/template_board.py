"""The newest usable template of every chain, and when each was last sent to miners."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from types import MappingProxyType

from chains.auxpow.slots import never_distinct
from chains.kind import AuxTemplate, ParentTemplate, TemplateTransaction
from chains.mm2_proof.commitment import is_one_leaf
from pool.jobs.template_set import TemplateSet


class TemplateBoard:
    """What template watchers post and jobs are made from. A chain without a template is not in the tree."""

    def __init__(self, aux_chains: tuple[str, ...]) -> None:
        self.parent: ParentTemplate | None = None
        self._aux: dict[str, AuxTemplate | None] = dict.fromkeys(aux_chains)
        self._transactions: dict[bytes, TemplateTransaction] = {}

    def post_parent(self, template: ParentTemplate) -> bool:
        """Keep the parent's template; True when its previous hash is new."""
        moved = self.parent is None or self.parent.previous_hash != template.previous_hash
        self.parent = self._sharing_transactions(template)
        return moved

    def _sharing_transactions(self, template: ParentTemplate) -> ParentTemplate:
        """The template with the transactions it has in common with the one before as the same objects: jobs are kept
        by the thousand, and each template brings its megabytes anew."""
        known = self._transactions
        shared = tuple(known.get(transaction.wtxid, transaction) for transaction in template.transactions)
        self._transactions = {transaction.wtxid: transaction for transaction in shared}
        return replace(template, transactions=shared) if shared else template

    def post_aux(self, chain: str, template: AuxTemplate | None) -> bool:
        """Keep a chain's template, or take the chain out of the tree with None; True when that changes jobs."""
        before = self._aux[chain]
        self._aux[chain] = template
        if before is None or template is None:
            return before is not template
        return before.aux_hash != template.aux_hash

    def arrange(self, aux_chains: tuple[str, ...]) -> None:
        """These chains from now on, in this order; those that were there keep their templates, unless one pays a chain
        too that is no longer there."""
        gone = [template for name, template in self._aux.items() if name not in aux_chains and template is not None]
        kept = {name: self._aux.get(name) for name in aux_chains}
        self._aux = {
            name: None if template is not None and any(is_one_leaf(template, other) for other in gone) else template
            for name, template in kept.items()
        }

    def clash(self, chain: str, template: AuxTemplate, besides: Container[str] = ()) -> str | None:
        """The other live chain that this template can share no tree with: MM1 ids that have one slot in every tree, or
        equal MM2 contexts over different data. Chains `besides` are about to get other templates."""
        for name, other in self._aux.items():
            if name != chain and name not in besides and other is not None and _clash(template, other):
                return name
        return None

    def aux(self, chain: str) -> AuxTemplate | None:
        return self._aux[chain]

    def snapshot(self) -> TemplateSet | None:
        """The templates for a new job, or None while the parent has none. Chains are in configured order."""
        if self.parent is None:
            return None
        live = {name: template for name, template in self._aux.items() if template is not None}
        return TemplateSet(self.parent, MappingProxyType(live))


def _clash(one: AuxTemplate, other: AuxTemplate) -> bool:
    if one.chain_id is not None and other.chain_id is not None:
        return never_distinct(one.chain_id, other.chain_id)
    return one.context is not None and one.context == other.context and not is_one_leaf(one, other)
