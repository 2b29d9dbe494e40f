"""One maker of jobs, many front ends: its jobs as messages, and messages as the same jobs again.

What travels is what a job is made of, not its bytes: each front end builds the job with the code that a pool of one
process uses, and as everything that goes in is the same, so is the job. A miner who moves from one front end to another
finds his job there under its id. A newcomer first gets the last jobs of the present tip, so that what miners still work
on is known to a front end that was started a moment ago.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2s
from types import MappingProxyType
from typing import NamedTuple

from chains.kind import ParentTemplate
from pool.jobs.job import NTIME_FORWARD_S, ROLLING_MASK, Job, build_job
from pool.jobs.job_table import JobTable
from pool.jobs.pay_rate import PayRate
from pool.jobs.template_set import Reduction, TemplateSet, reduce
from pool.services.front_end_messages import (
    JobNews,
    ParentNews,
    aux_news,
    aux_template,
    frame_of,
    number_bytes,
    parent_news,
    parent_template,
)
from pool.services.job_broadcast import JobSettings

JOBS_KEPT = 16
"""Jobs that a newcomer hears of: eight minutes of refreshes, half a minute where auxiliary chains never rest."""


class _Sent(NamedTuple):
    parent: ParentTemplate
    job: JobNews


class JobFeed:
    """The maker's side. `publish` gives the frames of a job to send to all; `present` those for a newcomer."""

    def __init__(self) -> None:
        self._parent: ParentTemplate | None = None
        self._recent: deque[_Sent] = deque(maxlen=JOBS_KEPT)

    def publish(self, job: Job, parent: ParentTemplate, uncapped: frozenset[str]) -> bytes:
        """`parent` is the template as its node gave it, which the job may have reduced."""
        frames = b""
        if parent is not self._parent:
            frames = frame_of(parent_news(parent, _wtxids(self._parent)))
            if self._parent is not None and self._parent.previous_hash != parent.previous_hash:
                self._recent.clear()
            self._parent = parent
        news = job_news(job, parent, uncapped)
        self._recent.append(_Sent(parent, news))
        return frames + frame_of(news)

    @property
    def is_empty(self) -> bool:
        return not self._recent

    def present(self) -> Iterator[bytes]:
        """Ends with the parent template that the next `publish` builds on."""
        before: ParentTemplate | None = None
        for parent, job in self._recent:
            if parent is not before:
                yield frame_of(parent_news(parent, _wtxids(before)))
                before = parent
            yield frame_of(job)


def job_news(job: Job, parent: ParentTemplate, uncapped: frozenset[str]) -> JobNews:
    return JobNews(
        sequence=job.sequence,
        job_id=job.job_id,
        clean=next(iter(job.layouts.values())).offer.clean,
        empty=bool(parent.transactions) and not job.templates.parent.transactions,
        aux=[aux_news(template) for template in job.templates.aux.values()],
        uncapped=sorted(uncapped),
        fixed_version_bits=ROLLING_MASK & ~job.version_mask,
        template_age_s=job.maximum_time - NTIME_FORWARD_S - parent.current_time,
        pay_rates={
            chain: (rate.subsidy, rate.fees, number_bytes(rate.work)) for chain, rate in job.pay_rates.items()
        },
        coinbases=_coinbases(job),
    )


class FollowedJobs:
    """A front end's side: takes the messages in order and gives jobs that were not there yet."""

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self.parent: ParentTemplate | None = None

    def take_parent(self, news: ParentNews) -> None:
        """Raises KeyError when a template before it was missed."""
        before, self.parent = self.parent, None  # nothing is built on it when this one cannot be read
        self.parent = parent_template(news, before)

    def take_job(self, news: JobNews, settings: JobSettings) -> Job | None:
        """The job, on its tip; None for one that is known. Raises ValueError when it cannot be made, or would not be
        the same: its maker pays another address, has another tag, or other chains."""
        if self._table.get(news.job_id) is not None:
            return None
        if self.parent is None:
            raise ValueError("a job came before its template")
        aux = {template.chain: template for template in map(aux_template, news.aux)}
        templates = TemplateSet(self.parent, MappingProxyType(aux))
        if news.empty:
            reduced = reduce(templates, Reduction.EMPTY)
            if reduced is None:
                raise ValueError("an empty job of a template that cannot be emptied")
            templates = reduced
        tip = self._table.tip
        if tip is None or tip.previous_hash != templates.parent.previous_hash:
            tip = self._table.move_tip(templates.parent.previous_hash)
        job = build_job(
            news.sequence,
            news.job_id,
            templates,
            tip,
            kinds=settings.kinds,
            payout_script=settings.payout_script,
            tag=settings.tag,
            clean=news.clean,
            uncapped=frozenset(news.uncapped),
            difficulty_of=settings.difficulty_of,
            fixed_version_bits=news.fixed_version_bits,
            extranonce2_sizes=tuple(dict.fromkeys((*settings.extranonce2_sizes, *news.coinbases))),  # to compare
            template_age_s=news.template_age_s,
        )
        made = _coinbases(job)
        if any(made[size] != digest for size, digest in news.coinbases.items()):
            raise ValueError("its maker's configuration is another one (pool.tag, addresses or chains)")
        job.pay_rates = {
            chain: PayRate(subsidy, fees, int.from_bytes(work, "big"))
            for chain, (subsidy, fees, work) in news.pay_rates.items()
        }
        return job


def _coinbases(job: Job) -> dict[int, bytes]:
    """By size of extranonce2, what tells two coinbases apart."""
    return {
        size: blake2s(layout.coinb1 + layout.coinb2, digest_size=16).digest() for size, layout in job.layouts.items()
    }


def _wtxids(template: ParentTemplate | None) -> frozenset[bytes]:
    return frozenset() if template is None else frozenset(t.wtxid for t in template.transactions)
