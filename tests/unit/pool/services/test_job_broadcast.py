"""When jobs are made, and what is mined when the parent refuses a block form."""

from __future__ import annotations

import asyncio

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
