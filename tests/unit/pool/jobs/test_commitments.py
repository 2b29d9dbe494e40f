"""Kinds that share a tree are in one root, each with its own proof; a vote's target caps difficulty like a block's."""

from __future__ import annotations

import pytest
from support.job_factory import KINDS, SCRIPT, JobFactory, aux_template, parent_template

from chains.bk.commitment import BkKind
from chains.bk.parameters import BkParameters
from chains.kind import AuxKind, AuxTemplate
from chains.mm2_proof.commitment import DuplicateContextError
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import displayed, sha256d
from chains.votes.vote import VoteDatum
from pool.jobs.proof_trial import TrialTerms, solve, try_job

LEADER = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")


def vote_template(name: str = "votes", target: int = 2**250) -> AuxTemplate:
    datum = VoteDatum(b"\x05" * 32, LEADER, SCRIPT).serialize(BkParameters(name).rules())
    return AuxTemplate(
        chain="votes", aux_hash=sha256d(datum), target=target, height=6, previous_hash=b"\x05" * 32, value_sat=7,
        node="votes[0]", context=context_of(name), datum=datum,
    )  # fmt: skip


def test_commitments_of_mm2_chains_and_votes_are_one_root_that_proves_each() -> None:
    kinds: dict[str, AuxKind] = {**KINDS, "votes": BkKind()}
    aux = [aux_template(name, number, 2**200) for number, name in enumerate(KINDS, 1)]
    job = JobFactory().make(parent_template(), *aux, vote_template(), kinds=kinds)
    assert set(job.commitments.slots) == {*KINDS, "votes"}
    trials = try_job(job, TrialTerms(kinds, "sha256d", SCRIPT))
    assert {trial.chain: trial.problem for trial in trials} == dict.fromkeys(("regbtc", *KINDS, "votes"), "")
    solved = solve(job, 4, "sha256d")
    payload = BkKind().assemble(solved, job.templates.aux["votes"], job.commitments.slots["votes"])
    assert payload["hash"] == displayed(sha256d(solved.header))


def test_commitments_of_a_vote_cap_difficulty() -> None:
    kinds: dict[str, AuxKind] = {**KINDS, "votes": BkKind()}
    job = JobFactory().make(
        parent_template(target=2**200), aux_template("alpha", 1, 2**210), vote_template(target=2**240), kinds=kinds,
        difficulty_of=lambda target: float(2**256 // target),
    )  # fmt: skip
    assert job.layouts[4].offer.caps[0] == 2.0**16
    assert job.easiest_target == 2**240


def test_commitments_of_two_chains_with_one_context_cannot_be() -> None:
    with pytest.raises(DuplicateContextError):
        JobFactory().make(
            parent_template(), aux_template("alpha"), vote_template("alpha"), kinds={**KINDS, "votes": BkKind()}
        )
