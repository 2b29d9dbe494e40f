"""When jobs are made, and what is mined when the parent refuses a block form."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from support.job_factory import KINDS, SCRIPT, aux_template, parent_template

from chains.bitcoin.block import BitcoinKind
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.jobs.job_table import JobTable
from pool.jobs.template_board import TemplateBoard
from pool.services import job_broadcast
from pool.services.job_broadcast import JobBroadcast, JobSettings


class Parent:
    """Answers proposals; `refuse` says which blocks (by their hex) get a reason."""

    def __init__(self) -> None:
        self.refuse = lambda block: None
        self.asked = 0

    async def propose(self, payload, node):
        self.asked += 1
        await asyncio.sleep(0)
        return self.refuse(bytes.fromhex(payload["block"]))


@pytest.fixture
def parent() -> Parent:
    return Parent()


@pytest.fixture
def make(parent, monkeypatch):
    monkeypatch.setattr(job_broadcast, "COALESCE_S", 0.02)
    monkeypatch.setattr(job_broadcast, "AUX_SPACING_S", 0.05)

    def build(**notify: str) -> tuple[JobBroadcast, list]:
        sent: list = []
        chains = ("regnmc", "alpha", "beta")
        settings = JobSettings(
            parent_kind=BitcoinKind(), kinds=KINDS, notify={c: notify.get(c, "new_job") for c in chains},
            payout_script=SCRIPT, tag=b"/t/", difficulty_of=lambda t: 1.0, propose=parent.propose,
        )  # fmt: skip
        return JobBroadcast(TemplateBoard(chains), JobTable(), settings, sent.append), sent

    return build


async def settle(seconds: float = 0.03) -> None:
    await asyncio.sleep(seconds)


async def test_broadcast_proposes_a_new_shape_before_it_is_mined(make, parent):
    jobs, sent = make()
    jobs.post_parent(parent_template())
    assert sent == []
    await settle()
    assert parent.asked == 1 and len(sent) == 1
    jobs.post_parent(parent_template(previous=b"n" * 32))
    assert len(sent) == 2 and sent[1].layouts[4].offer.clean, "a known shape on a new tip goes out at once"
    assert parent.asked == 1


async def test_broadcast_mines_the_known_shape_while_a_new_one_is_proposed(make, parent):
    jobs, sent = make()
    jobs.post_parent(parent_template())
    await settle()
    jobs.board.post_aux("alpha", aux_template("alpha"))
    jobs.post_parent(parent_template(previous=b"n" * 32))
    assert len(sent) == 2 and not sent[1].templates.aux, "the new tip does not wait for the proposal"
    await settle()
    assert set(sent[-1].templates.aux) == {"alpha"} and not sent[-1].layouts[4].offer.clean


async def test_broadcast_coalesces_auxiliary_changes_into_one_unclean_job(make):
    jobs, sent = make()
    jobs.post_parent(parent_template())
    for chain in ("regnmc", "alpha", "beta"):
        jobs.post_aux(chain, aux_template(chain))
    await settle(0.2)
    count = len(sent)
    for chain in ("regnmc", "alpha", "beta"):
        jobs.post_aux(chain, aux_template(chain, 2))
    await settle(0.2)
    assert len(sent) == count + 1 and set(sent[-1].templates.aux) == {"regnmc", "alpha", "beta"}
    assert not sent[-1].layouts[4].offer.clean
    jobs.post_aux("alpha", aux_template("alpha", 2))
    await settle(0.1)
    assert len(sent) == count + 1, "the same template again is no news"


@pytest.mark.parametrize(
    ("policy", "jobs_more", "clean"), [("off", 0, False), ("new_job", 1, False), ("clean", 1, True)]
)
async def test_broadcast_follows_the_chains_notify_policy(make, policy, jobs_more, clean):
    jobs, sent = make(alpha=policy)
    jobs.post_aux("alpha", aux_template("alpha"))
    jobs.post_parent(parent_template())
    await settle(0.2)
    count = len(sent)
    jobs.post_aux("alpha", aux_template("alpha", 2))
    await settle(0.2)
    assert len(sent) == count + jobs_more and sent[-1].layouts[4].offer.clean is (
        clean if jobs_more else sent[-1].layouts[4].offer.clean
    )


@pytest.mark.parametrize(
    ("refused", "mined"),
    [
        (lambda block: b"\x6a\x28" + bytes(32) not in block, {"regnmc"}),
        (lambda block: b"\xfa\xbemm" in block, set()),
    ],
)
async def test_broadcast_mines_less_when_the_parent_refuses_a_shape(make, parent, caplog, refused, mined):
    parent.refuse = lambda block: "bad-new-rule" if refused(block) else None
    jobs, sent = make()
    for chain in ("regnmc", "alpha"):
        jobs.post_aux(chain, aux_template(chain))
    jobs.post_parent(parent_template())
    await settle(0.3)
    assert sent and set(sent[-1].templates.aux) == mined
    assert jobs.refusals["bad-new-rule"] >= 1 and "alarm" in caplog.text


async def test_broadcast_keeps_the_time_of_jobs_of_an_old_template_with_the_clock(make):
    jobs, sent = make()
    now = [100.0]
    jobs.clock = lambda: now[0]
    jobs.post_parent(parent_template())
    await settle()
    now[0] += 90.5
    jobs.send(clean=False)
    first, later = (int(json.loads(job.layouts[4].offer.notify)["params"][7], 16) for job in (sent[0], sent[-1]))
    assert later == first + 90
    assert sent[-1].maximum_time == sent[0].maximum_time + 90
    assert sent[-1].minimum_time == sent[0].minimum_time


async def test_broadcast_asks_again_when_the_tip_moved_meanwhile(make, parent):
    answers = iter(["inconclusive-not-best-prevblk", None])
    parent.refuse = lambda block: next(answers)
    jobs, sent = make()
    jobs.post_parent(parent_template())
    await settle(0.5)
    assert parent.asked == 2 and len(sent) == 1 and not jobs.refusals


@pytest.mark.parametrize(
    ("error", "mined"), [(RpcError(-8, "Invalid mode"), True), (NodeUnavailableError("away"), False)]
)
async def test_broadcast_without_an_answer_to_proposals(make, parent, error, mined):
    async def propose(payload, node):
        raise error

    jobs, sent = make()
    jobs.settings.propose = propose
    jobs.post_parent(parent_template())
    await settle(0.1)
    assert bool(sent) is mined


async def test_broadcast_stops_a_chain_from_capping_when_its_target_eases_fourfold(make, caplog):
    jobs, _ = make()
    jobs.post_aux("alpha", aux_template("alpha", 1, target=2**200))
    jobs.post_aux("alpha", aux_template("alpha", 2, target=2**202))
    assert jobs.uncapped == set(), "fourfold is still allowed"
    jobs.post_aux("alpha", aux_template("alpha", 3, target=2**205))
    assert jobs.uncapped == {"alpha"} and "alarm" in caplog.text
    jobs.post_aux("alpha", aux_template("alpha", 4, target=2**205))
    assert jobs.uncapped == set()


async def test_broadcast_asks_for_a_later_block_before_an_eased_target_caps_again(make):
    """The same template comes with every poll: that says nothing about the target being the chain's new one."""
    jobs, _ = make()
    jobs.post_aux("alpha", aux_template("alpha", 1, target=2**200))
    eased = aux_template("alpha", 2, target=2**205)
    for _ in range(3):
        jobs.post_aux("alpha", eased)
    jobs.post_aux("alpha", replace(eased, aux_hash=b"x" * 32))
    assert jobs.uncapped == {"alpha"}, "another template of the same block neither"
    jobs.post_aux("alpha", aux_template("alpha", 3, target=2**206))
    assert jobs.uncapped == {"alpha"}, "still easing"
    jobs.post_aux("alpha", aux_template("alpha", 4, target=2**206))
    assert jobs.uncapped == set()


async def test_broadcast_leaves_the_target_of_an_uncapped_chain_out_of_a_jobs_caps(make):
    jobs, sent = make()
    jobs.settings.difficulty_of = float
    jobs.post_parent(parent_template(target=1000))
    jobs.post_aux("alpha", aux_template("alpha", 1, target=5))
    await settle(0.3)
    assert sent[-1].layouts[4].offer.caps == (5.0, 1000.0)
    jobs.post_aux("alpha", aux_template("alpha", 2, target=50))
    await settle(0.1)
    assert sent[-1].layouts[4].offer.caps == (1000.0,)


async def test_broadcast_sends_a_job_at_least_as_often_as_promised(make, monkeypatch):
    monkeypatch.setattr(job_broadcast, "REFRESH_S", 0.05)
    jobs, sent = make()
    refreshing = asyncio.create_task(jobs.refresh())
    jobs.post_parent(parent_template())
    await settle(0.1)
    assert len(sent) == 1
    async with asyncio.timeout(30):
        while len(sent) < 2:
            await settle(0.01)
    refreshing.cancel()
    assert len(sent) == 2 and not sent[1].layouts[4].offer.clean and sent[1].job_id != sent[0].job_id
    assert sent[1].templates.parent is sent[0].templates.parent


async def test_broadcast_bounds_the_jobs_of_a_node_that_changes_its_template_at_every_poll(make, monkeypatch):
    monkeypatch.setattr(job_broadcast, "AUX_SPACING_S", 0.2)
    jobs, sent = make()
    jobs.post_aux("alpha", aux_template("alpha", 1))
    jobs.post_parent(parent_template())
    await settle(0.3)
    count, began = len(sent), asyncio.get_running_loop().time()
    number = 2
    while asyncio.get_running_loop().time() - began < 1.0:
        jobs.post_aux("alpha", aux_template("alpha", number % 250 + 1))
        jobs.post_aux("beta", None if number % 2 else aux_template("beta", 1))
        number += 1
        await settle(0.005)
    assert number > 50 and 3 <= len(sent) - count <= 6, "one per spacing, however often a template changes"


async def test_broadcast_sends_a_new_tip_at_once_whatever_auxiliary_chains_do(make, monkeypatch):
    monkeypatch.setattr(job_broadcast, "AUX_SPACING_S", 5.0)
    jobs, sent = make()
    jobs.post_aux("alpha", aux_template("alpha", 1))
    jobs.post_parent(parent_template())
    await settle(0.1)
    count = len(sent)
    for number in range(2, 5):
        jobs.post_aux("alpha", aux_template("alpha", number))
        jobs.post_parent(parent_template(previous=bytes([number]) * 32))
        assert len(sent) == count + number - 1 and sent[-1].layouts[4].offer.clean
        assert sent[-1].templates.aux["alpha"].aux_hash == bytes([number]) * 32, "with the newest of every chain"
    await settle(0.1)
    assert len(sent) == count + 3, "what a job carried already is not sent again"


async def test_broadcast_leaves_out_the_second_of_two_chains_that_clash_until_they_no_longer_do(make, caplog):
    jobs, sent = make()
    jobs.post_parent(parent_template())
    jobs.post_aux("alpha", aux_template("alpha", 1))
    same = replace(aux_template("beta", 2), context=aux_template("alpha").context)
    for _ in range(3):
        jobs.post_aux("beta", same)
    await settle(0.2)
    assert set(sent[-1].templates.aux) == {"alpha"}
    assert caplog.text.count("chains alpha and beta have the same MM2 context; beta is left out") == 1
    jobs.post_aux("alpha", None)
    jobs.post_aux("beta", same)
    await settle(0.2)
    assert set(sent[-1].templates.aux) == {"beta"}, "it rejoins when the other is gone"
    jobs.post_aux("alpha", aux_template("alpha", 1))
    await settle(0.2)
    assert set(sent[-1].templates.aux) == {"beta"} and "chains beta and alpha" in caplog.text
    jobs.post_aux("beta", aux_template("beta", 3))
    jobs.post_aux("alpha", aux_template("alpha", 1))
    await settle(0.2)
    assert set(sent[-1].templates.aux) == {"alpha", "beta"}


async def test_broadcast_mines_without_auxiliary_chains_when_their_tag_does_not_fit(make, caplog):
    """At the first start nothing is accepted yet: a form that cannot be built must not keep the lesser ones back."""
    jobs, sent = make()
    jobs.settings.tag = b"x" * 60
    jobs.post_aux("regnmc", aux_template("regnmc"))
    jobs.post_parent(parent_template())
    await settle(0.2)
    assert sent and not sent[-1].templates.aux and "coinbase scriptSig of" in caplog.text


async def test_broadcast_mines_less_when_an_accepted_form_can_no_longer_be_built(make, caplog):
    """The node's coinbaseaux grew: the new tip is mined all the same, clean, and the log says it once."""
    jobs, sent = make()
    jobs.post_parent(parent_template())
    await settle()
    jobs.post_aux("regnmc", aux_template("regnmc"))
    await settle(0.2)
    assert set(sent[-1].templates.aux) == {"regnmc"}
    for number in (5, 6):
        jobs.post_parent(parent_template(previous=bytes([number]) * 32, coinbase_aux=b"a" * 50))
        assert sent[-1].previous_hash == bytes([number]) * 32 and not sent[-1].templates.aux
        assert sent[-1].layouts[4].offer.clean
    assert caplog.text.count("alarm: no job can be made") == 1
    jobs.post_parent(parent_template(previous=b"7" * 32))
    assert set(sent[-1].templates.aux) == {"regnmc"}


async def test_broadcast_keeps_the_last_job_when_none_can_be_made(make, caplog):
    jobs, sent = make()
    jobs.post_parent(parent_template())
    await settle()
    jobs.post_parent(parent_template(previous=b"n" * 32, coinbase_aux=b"a" * 120))
    assert len(sent) == 1 and "alarm: no job can be made" in caplog.text
    jobs.post_parent(parent_template(previous=b"n" * 32))
    jobs.send(clean=False)
    assert sent[-1].previous_hash == b"n" * 32 and sent[-1].layouts[4].offer.clean, "clean, though late"


async def test_broadcast_makes_the_first_job_of_a_tip_clean_however_late_it_is(make, parent):
    """The new tip's form is unknown and refused once, so its job comes from the proposal's answer."""
    jobs, sent = make()
    jobs.post_parent(parent_template())
    await settle()
    jobs.accepted_shapes = {next(iter(jobs.accepted_shapes))}
    jobs.post_parent(parent_template(previous=b"n" * 32, rules=("csv",)))
    assert len(sent) == 1
    await settle()
    assert len(sent) == 2 and sent[1].layouts[4].offer.clean
    jobs.send(clean=False)
    assert not sent[2].layouts[4].offer.clean


async def test_broadcast_says_once_that_proposals_are_not_answered(make, caplog):
    calls = 0

    async def propose(payload, node):
        nonlocal calls
        calls += 1
        if calls < 4:
            raise NodeUnavailableError("no answer to getblocktemplate within 20 s")
        return None

    jobs, sent = make()
    jobs.settings.propose = propose
    jobs.post_parent(parent_template())
    await settle(1.0)
    assert calls == 4 and len(sent) == 1 and caplog.text.count("block proposal not answered") == 1
