"""Which version bits miners may not roll for the sake of some MM1 child (chains/auxpow/README.md)."""

from __future__ import annotations

import logging

from chains.auxpow.slots import ParentVersionError, version_bits_not_to_roll
from pool.jobs.job import ROLLING_MASK
from pool.jobs.template_set import TemplateSet

log = logging.getLogger("parapool.jobs")


class FixedVersionBits:
    """Called for each job. A strict chain refuses a proof whose parent version carries its own chain id, so enough bits
    are taken out of rolling that no rolled version can. `strict` names those chains."""

    def __init__(self, strict: frozenset[str]) -> None:
        self.strict = strict
        self._refusing = ""

    def __call__(self, templates: TemplateSet) -> int:
        """The bits for these templates. A chain whose id the parent's version carries as it is cannot be helped, and
        must not cost the others their bits."""
        version = templates.parent.version
        helped: list[int] = []
        refusing = ""
        for name, template in templates.aux.items():
            if name not in self.strict or template.chain_id is None:
                continue
            try:
                version_bits_not_to_roll([template.chain_id], version, ROLLING_MASK)
            except ParentVersionError as error:
                refusing = f"alarm: {error}; {name} will refuse our proofs"
            else:
                helped.append(template.chain_id)
        if refusing and refusing != self._refusing:
            log.error("%s", refusing)
        self._refusing = refusing
        return version_bits_not_to_roll(helped, version, ROLLING_MASK)
