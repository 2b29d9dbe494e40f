"""Which scheme a share counts under: by the chain, by the port it came in at, and by what its job promised.

A port's schemes are named by its realm (a connection has it from its port). Where every chain is PPLNS a share's record
is the chains' bare names and nothing is looked up. A chain whose reserve is low makes no promise in new jobs, so their
shares count for PPLNS; shares of older jobs are paid what those promised. The words are in pool/shares/scheme.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from chains.primitives.target import work_of
from chains.subsidies import Subsidy
from pool.accounting.mean_fees import MeanFees
from pool.accounting.reserve import ReserveGuard
from pool.jobs.job import Job
from pool.jobs.pay_rate import PayRate
from pool.jobs.template_set import TemplateSet
from pool.shares.scheme import PER_SHARE, Counted, Rate, Scheme, word_of

WORDS_PER_JOB = 64
"""Sets of words kept per job: one per realm, and one more whenever a chain's template is over."""


class OfferedTemplate(Protocol):
    """What a template says of its block's value."""

    @property
    def chain(self) -> str: ...
    @property
    def height(self) -> int: ...
    @property
    def target(self) -> int: ...
    @property
    def value_sat(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BoughtChain:
    """A chain whose shares the operator buys at some port."""

    subsidy: Subsidy
    fee_ppm: int
    guard: ReserveGuard
    fees: MeanFees = field(default_factory=MeanFees)


class SchemeBoard:
    """`realms` gives each realm's scheme by chain; a realm that is not in it is PPLNS throughout."""

    __slots__ = ("_clock", "_realms", "bought")

    def __init__(
        self,
        realms: Mapping[str, Mapping[str, Scheme]] | None = None,
        bought: Mapping[str, BoughtChain] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bought = dict(bought or {})
        self._realms = {
            realm: dict(schemes)
            for realm, schemes in (realms or {}).items()
            if any(scheme != "pplns" for scheme in schemes.values())
        }
        self._clock = clock

    def adopt(self, newer: SchemeBoard) -> None:
        """Other schemes and terms from now on, for new jobs and for the shares that come. What is known of reserves and
        fees stays known."""
        for name, chain in newer.bought.items():
            before = self.bought.get(name)
            if before is not None:
                if before.guard.reserve is not None:
                    chain.guard.update(before.guard.reserve)
                newer.bought[name] = replace(chain, fees=before.fees)
        self.bought.clear()
        self.bought.update(newer.bought)
        self._realms = newer._realms

    def saw(self, template: OfferedTemplate) -> None:
        """A chain's template as its node gave it: what FPPS takes its mean fees from."""
        chain = self.bought.get(template.chain)
        if chain is not None and template.height > 0:
            chain.fees.offered(template.height, template.value_sat - chain.subsidy.at(template.height))

    def pay_rates(self, templates: TemplateSet) -> Mapping[str, PayRate]:
        """What a job of these templates promises, by chain. A chain whose reserve is low, or whose height is not known,
        promises nothing.
        """
        if not self.bought:
            return {}
        rates = {}
        offered: list[OfferedTemplate] = [templates.parent, *templates.aux.values()]
        for template in offered:
            chain = self.bought.get(template.chain)
            if chain is None or chain.guard.suspended or template.height <= 0:
                continue
            subsidy = chain.subsidy.at(template.height)
            if template.value_sat:
                # A block that pays less than its schedule says is bought for what it pays.
                subsidy = min(subsidy, template.value_sat)
            rates[template.chain] = PayRate(subsidy, chain.fees.promised(self._clock()), work_of(template.target))
        return rates

    def words(self, realm: str, job: Job, chains: tuple[str, ...]) -> tuple[str, ...]:
        """How a share of this job, sent in this realm, counts for these chains: the words of its record."""
        schemes = self._realms.get(realm)
        if schemes is None:
            return chains
        known = job.words.get((realm, chains))
        if known is None:
            if len(job.words) >= WORDS_PER_JOB:
                job.words.clear()
            known = tuple(word_of(self._counted(schemes, job, chain)) for chain in chains)
            job.words[realm, chains] = known
        return known

    def scheme(self, realm: str, job: Job, chain: str) -> Scheme:
        """The scheme of a chain in this realm, as this job has it: who owns a block solved with it."""
        schemes = self._realms.get(realm)
        return "pplns" if schemes is None else self._counted(schemes, job, chain).scheme

    def realms_buying(self, chain: str) -> set[str]:
        """The realms whose shares of a chain are bought."""
        return {realm for realm, schemes in self._realms.items() if schemes.get(chain) in PER_SHARE}

    def _counted(self, schemes: Mapping[str, Scheme], job: Job, chain: str) -> Counted:
        scheme = schemes.get(chain, "pplns")
        if scheme not in PER_SHARE:
            return Counted(chain, scheme)
        rate = job.pay_rates.get(chain)
        if rate is None:
            return Counted(chain, "pplns")
        reward = rate.subsidy + (rate.fees if scheme == "fpps" else 0)
        return Counted(chain, scheme, Rate(reward, rate.work, self.bought[chain].fee_ppm))
