"""A job that travels as what it is made of is the same job at the other end."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from support.job_factory import KINDS, SCRIPT, JobFactory, aux_template, parent_template

from chains.bitcoin.block import BitcoinKind
from chains.kind import TemplateTransaction
from pool.jobs.job_table import JobTable
from pool.jobs.pay_rate import PayRate
from pool.jobs.template_set import Reduction, TemplateSet, reduce
from pool.services.front_end_messages import Frames, JobNews, ParentNews, from_mother
from pool.services.job_broadcast import JobSettings
from pool.services.job_feed import FollowedJobs, JobFeed

SETTINGS = JobSettings(
    parent_kind=BitcoinKind(), kinds=KINDS, notify={}, payout_script=SCRIPT, tag=b"/test/",
    difficulty_of=lambda target: 1.0, propose=None,
)  # fmt: skip


def transactions(*numbers: int) -> tuple[TemplateTransaction, ...]:
    return tuple(
        TemplateTransaction(bytes([n]) * 300, bytes([n]) * 32, bytes([n + 100]) * 32, fee_sat=n) for n in numbers
    )


class Follower:
    def __init__(self) -> None:
        self.table = JobTable()
        self.jobs = FollowedJobs(self.table)
        self.made: list = []
        self.settings = SETTINGS

    def hear(self, frames: bytes) -> None:
        for payload in Frames().feed(frames):
            message = from_mother(payload)
            if isinstance(message, ParentNews):
                self.jobs.take_parent(message)
            else:
                assert isinstance(message, JobNews)
                job = self.jobs.take_job(message, self.settings)
                if job is not None:
                    self.table.add(job, 0.0)
                    self.made.append(job)


def same(one, other) -> bool:
    keys = ("sequence", "job_id", "version", "version_mask", "maximum_time", "targets", "pay_rates", "merkle_branch")
    layouts = [(layout.coinb1, layout.coinb2, layout.offer) for layout in one.layouts.values()]
    others = [(layout.coinb1, layout.coinb2, layout.offer) for layout in other.layouts.values()]
    return layouts == others and all(getattr(one, key) == getattr(other, key) for key in keys)


def test_job_feed_the_same_job_comes_out() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    parent = parent_template(transactions=transactions(1, 2, 3))
    aux = [aux_template(name, number) for number, name in enumerate(KINDS, 1)]
    for options in ({"clean": True}, {"template_age_s": 17}, {"fixed_version_bits": 0x00FF0000}):
        job = maker.make(parent, *aux, uncapped=frozenset({"beta"}), **options)
        job.pay_rates = {"regbtc": PayRate(5, 6, 2**200)}
        follower.hear(feed.publish(job, parent, frozenset({"beta"})))
        assert same(job, follower.made[-1])
    made = follower.made[-1]
    assert made.templates.parent.transactions == parent.transactions
    assert made.templates.aux == {template.chain: template for template in aux}
    assert len(follower.made) == 3 and follower.table.current is made


def test_job_feed_known_transactions_are_not_sent_again() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    first = parent_template(transactions=transactions(1, 2, 3, 4, 5, 6, 7, 8, 9))
    follower.hear(feed.publish(maker.make(first), first, frozenset()))
    second = parent_template(102, b"\x44" * 32, transactions=transactions(9, 2, 10))
    frames = feed.publish(maker.make(second), second, frozenset())
    assert bytes([10]) * 300 in frames and bytes([9]) * 300 not in frames
    follower.hear(frames)
    assert follower.made[-1].templates.parent.transactions == second.transactions
    assert follower.made[-1].tip is follower.table.tip
    again = feed.publish(maker.make(second), second, frozenset())
    assert len(again) < 500, "the template was sent"


def test_job_feed_an_emptied_job_comes_out_empty() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    parent = parent_template(transactions=transactions(1, 2), merkle_branch=(b"\x22" * 32,))
    emptied = reduce(TemplateSet(parent, {}), Reduction.EMPTY)
    assert emptied is not None
    job = maker.make(emptied.parent)
    follower.hear(feed.publish(job, parent, frozenset()))
    assert same(job, follower.made[0])
    assert follower.made[0].templates.parent.transactions == ()


def test_job_feed_a_newcomer_knows_the_jobs_of_the_tip_and_goes_on_from_there() -> None:
    maker, feed = JobFactory(), JobFeed()
    old = parent_template(100, b"\x10" * 32, transactions=transactions(1))
    feed.publish(maker.make(old), old, frozenset())
    here = [
        parent_template(101, b"\x11" * 32, transactions=transactions(*numbers))
        for numbers in ((1, 2), (2, 3), (2, 3, 4))
    ]
    jobs = []
    for parent in here:
        jobs.append(maker.make(parent))
        feed.publish(jobs[-1], parent, frozenset())
    newcomer = Follower()
    for frames in feed.present():
        newcomer.hear(frames)
    assert [job.job_id for job in newcomer.made] == [job.job_id for job in jobs]
    assert newcomer.made[-1].templates.parent.transactions == here[-1].transactions
    jobs.append(maker.make(here[-1]))
    newcomer.hear(feed.publish(jobs[-1], here[-1], frozenset()))
    assert same(jobs[-1], newcomer.made[-1])
    for frames in feed.present():  # told again, nothing is made twice
        newcomer.hear(frames)
    assert len(newcomer.made) == len(jobs)


def test_job_feed_a_template_built_on_one_that_was_missed_is_refused() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    first = parent_template(transactions=transactions(1, 2))
    feed.publish(maker.make(first), first, frozenset())
    second = parent_template(102, b"\x44" * 32, transactions=transactions(2, 3))
    with pytest.raises(KeyError):
        follower.hear(feed.publish(maker.make(second), second, frozenset()))


def test_job_feed_a_job_without_its_template_is_refused() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    parent = parent_template()
    feed.publish(maker.make(parent), parent, frozenset())
    with pytest.raises(ValueError, match="before its template"):
        follower.hear(feed.publish(maker.make(parent), parent, frozenset()))


def test_job_feed_frames_come_out_whole_however_they_are_cut() -> None:
    maker, feed = JobFactory(), JobFeed()
    parent = parent_template(transactions=transactions(1, 2))
    data = feed.publish(maker.make(parent), parent, frozenset())
    whole = Frames().feed(data)
    for step in (1, 3, 100):
        frames = Frames()
        assert [f for at in range(0, len(data), step) for f in frames.feed(data[at : at + step])] == whole
    with pytest.raises(ValueError, match="frame of"):
        Frames().feed(b"\xff\xff\xff\xff")


def test_job_feed_a_job_of_another_configuration_is_refused() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    parent = parent_template()
    frames = feed.publish(maker.make(parent, tag=b"/other/"), parent, frozenset())
    with pytest.raises(ValueError, match="another one"):
        follower.hear(frames)
    assert follower.table.current is None
    follower.hear(feed.publish(maker.make(parent), parent, frozenset()))
    assert len(follower.made) == 1


@pytest.mark.parametrize("sizes", [(4,), (8,), (4, 8)])
def test_job_feed_a_job_that_pays_somebody_else_here_is_refused_whatever_the_ports_promise(
    sizes: tuple[int, ...],
) -> None:
    """The maker says what coinbases of his ports' sizes of extranonce2 are; ours may be others."""
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    parent = parent_template()
    follower.settings = replace(SETTINGS, extranonce2_sizes=sizes)
    follower.hear(feed.publish(maker.make(parent), parent, frozenset()))
    assert set(sizes) <= set(follower.made[0].layouts)
    follower.settings = replace(follower.settings, payout_script=b"\x00\x14" + bytes([9]) * 20)
    with pytest.raises(ValueError, match="configuration is another one"):
        follower.hear(feed.publish(maker.make(parent), parent, frozenset()))
    assert len(follower.made) == 1


def test_job_feed_nothing_is_built_on_the_template_before_one_that_cannot_be_read() -> None:
    maker, feed, follower = JobFactory(), JobFeed(), Follower()
    first, second = parent_template(transactions=transactions(1)), parent_template(transactions=transactions(1, 2))
    follower.hear(feed.publish(maker.make(first), first, frozenset()))
    frames = feed.publish(maker.make(second), second, frozenset())
    news = from_mother(Frames().feed(frames)[0])
    assert isinstance(news, ParentNews)
    with pytest.raises(TypeError):
        follower.jobs.take_parent(msgspec.structs.replace(news, fields={**news.fields, "what": 1}))
    with pytest.raises(ValueError, match="before its template"):
        follower.hear(feed.publish(maker.make(second), second, frozenset()))
