"""What a machine is that follows another's jobs: ready only while it can make them, and known by its own name."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.job_factory import KINDS, SCRIPT, JobFactory, parent_template

from chains.bitcoin.block import BitcoinKind
from chains.kind import NodeState
from pool.jobs.job import Job
from pool.jobs.job_table import JobTable
from pool.services.front_end_messages import JobNews, parent_news
from pool.services.job_broadcast import JobSettings
from pool.services.job_feed import job_news
from pool.wiring import machines
from pool.wiring.machines import Following, Station, own_family

AGE_S = 120.0


class Machine:
    """One whose clock is `now`, and whose maker says something all the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(machines, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.maker = JobFactory()
        self.table = JobTable()
        self.settings = JobSettings(
            parent_kind=BitcoinKind(), kinds=KINDS, notify={}, payout_script=SCRIPT, tag=b"/test/",
            difficulty_of=lambda target: 1.0, propose=None,
        )  # fmt: skip
        self.chain = SimpleNamespace(in_tree=True, target=None, health=[])
        jobs = SimpleNamespace(uncapped=set(), settings=self.settings, deliver=self._deliver)
        mining: Any = SimpleNamespace(
            table=self.table, jobs=jobs, chains={"regbtc": self.chain}, config=SimpleNamespace(parent="regbtc"),
            relay_through=lambda relay: relay, servers={},
        )  # fmt: skip
        transport = SimpleNamespace(jobs_age_s=AGE_S, machine=1)
        config: Any = SimpleNamespace(pool=SimpleNamespace(name="x"), transport=transport)
        feed: Any = None
        self.following = Following(config, mining, Station(feed, b"k" * 32, "one"), lambda reason: None)

    def _deliver(self, job: Job) -> None:
        self.table.add(job, 0.0)

    def say(self, **options: Any) -> None:
        """A job that the maker made with these."""
        parent = parent_template()
        job = self.maker.make(parent, **options)
        self.following.follower._made_at = self.now
        self.following._hear(parent_news(parent))
        message = job_news(job, parent, frozenset())
        assert isinstance(message, JobNews)
        self.following._hear(message)
        self.following._look()

    @property
    def is_ready(self) -> bool:
        return [one.state for one in self.chain.health] == [NodeState.OK]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(monkeypatch)
    monkeypatch.setattr(type(found.following.follower), "age_s", property(lambda self: 0.0 if self._made_at else None))
    return found


def test_wiring_machines_one_that_can_make_no_job_any_more_is_not_ready_in_the_end(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.say()
    assert machine.is_ready
    machine.say(tag=b"/other/")
    assert machine.is_ready, "the last job is as good as while the maker is silent"
    machine.now += AGE_S + 1
    machine.say(tag=b"/other/")
    assert not machine.is_ready
    assert "cannot be made here" in caplog.text and "should go elsewhere" in caplog.text
    machine.say()
    assert machine.is_ready


def test_wiring_machines_one_that_never_heard_a_maker_says_so(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.following._look()
    assert not machine.is_ready and not caplog.records, "it has only begun"
    machine.now += AGE_S + 1
    for _ in range(3):
        machine.following._look()
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert "the maker of jobs is silent" in caplog.text


def test_wiring_machines_a_name_that_was_never_written_is_nobodys(tmp_path: Path) -> None:
    """An empty name would be the beginning of every other machine's, and take their numbers."""
    (tmp_path / "machine").write_text("")
    family = own_family(tmp_path)
    assert len(family) == 16 and own_family(tmp_path) == family
