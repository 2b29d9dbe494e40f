"""Schemes of chains and ports: what jobs promise, and what is written into the records of their shares."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from support.job_factory import EASY, JobFactory, aux_template, parent_template

from chains.primitives.target import work_of
from chains.subsidies import COIN, Subsidy
from pool.accounting.reserve import ReserveGuard
from pool.jobs.pay_rate import PayRate
from pool.jobs.template_set import TemplateSet
from pool.services.scheme_board import BoughtChain, SchemeBoard

REALMS = {
    "pps": {"regbtc": "pps", "alpha": "solo", "beta": "pplns"},
    "fpps": {"regbtc": "fpps", "alpha": "fpps"},
    "plain": {"regbtc": "pplns"},
}
CHAINS = ("regbtc", "alpha", "beta")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> SchemeBoard:
    made = SchemeBoard(
        REALMS,  # type: ignore[arg-type]
        {
            "regbtc": BoughtChain(Subsidy(50 * COIN, 150), 20_000, ReserveGuard(100, 200)),
            "alpha": BoughtChain(Subsidy(10 * COIN, 0), 0, ReserveGuard(100, 200)),
        },
        clock,
    )
    for chain in made.bought.values():
        chain.guard.update(1000)
    return made


def templates(**parent: object) -> TemplateSet:
    aux = {chain: aux_template(chain, 7) for chain in ("alpha", "beta")}
    return TemplateSet(parent_template(**parent), MappingProxyType(aux))  # type: ignore[arg-type]


def made_job(board: SchemeBoard, **parent: object):  # type: ignore[no-untyped-def]
    its_templates = templates(**parent)
    job = JobFactory().make(its_templates.parent, *its_templates.aux.values())
    job.pay_rates = board.pay_rates(its_templates)
    return job


def test_scheme_board_promises_the_subsidy_of_the_height_for_the_work_of_the_target(board: SchemeBoard) -> None:
    rates = board.pay_rates(templates(target=EASY, height=150))
    assert rates == {
        "regbtc": PayRate(25 * COIN, 0, work_of(EASY)),
        "alpha": PayRate(10 * COIN, 0, work_of(EASY)),
    }


def test_scheme_board_writes_each_chains_scheme_into_the_record(board: SchemeBoard) -> None:
    job = made_job(board, target=EASY)
    assert board.words("pps", job, CHAINS) == (f"regbtc:pps:5000000000:{work_of(EASY)}:20000", "alpha:solo", "beta")
    assert [board.scheme("pps", job, chain) for chain in CHAINS] == ["pps", "solo", "pplns"]


def test_scheme_board_leaves_plain_ports_alone(board: SchemeBoard) -> None:
    job = made_job(board)
    assert board.words("plain", job, CHAINS) is CHAINS
    assert board.words("", job, CHAINS) is CHAINS
    assert board.scheme("", job, "regbtc") == "pplns"


def test_scheme_board_adds_the_mean_fees_for_fpps_only(board: SchemeBoard) -> None:
    board.saw(parent_template(value_sat=50 * COIN + 600))
    board.saw(aux_template("beta"))
    job = made_job(board, target=EASY)
    work = work_of(EASY)
    assert board.words("fpps", job, CHAINS)[0] == f"regbtc:fpps:{50 * COIN + 600}:{work}:20000"
    assert board.words("pps", job, CHAINS)[0] == f"regbtc:pps:{50 * COIN}:{work}:20000"


def test_scheme_board_keeps_a_jobs_promise_when_the_reserve_falls(board: SchemeBoard) -> None:
    before = made_job(board, target=EASY)
    assert board.bought["regbtc"].guard.update(50) == "low"
    after = made_job(board, target=EASY)
    assert board.words("pps", before, CHAINS)[0].startswith("regbtc:pps:")
    assert board.words("pps", after, CHAINS) == ("regbtc", "alpha:solo", "beta")
    assert [board.scheme("pps", job, "regbtc") for job in (before, after)] == ["pps", "pplns"]


def test_scheme_board_buys_nothing_of_a_block_whose_height_is_not_known(board: SchemeBoard) -> None:
    its_templates = templates()
    aux = {"alpha": replace(its_templates.aux["alpha"], height=0)}
    assert set(board.pay_rates(TemplateSet(its_templates.parent, aux))) == {"regbtc"}


def test_scheme_board_pays_no_more_than_the_block_does(board: SchemeBoard) -> None:
    assert board.pay_rates(templates(value_sat=COIN))["regbtc"].subsidy == COIN


def test_scheme_board_remembers_a_bounded_number_of_words(board: SchemeBoard) -> None:
    job = made_job(board)
    for number in range(1000):
        board.words("pps", job, (f"regbtc{number}",))
    assert len(job.words) <= 64


def test_scheme_board_knows_which_realms_buy_a_chain(board: SchemeBoard) -> None:
    assert board.realms_buying("regbtc") == {"pps", "fpps"}
    assert board.realms_buying("alpha") == {"fpps"}
    assert board.realms_buying("beta") == set()
