"""Found blocks on their way to nodes that answer, refuse, hang, lie and die, over a real solution store."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

import pytest
from support.job_factory import KINDS, JobFactory, aux_template, parent_template

from chains.auxpow.commitment import AuxPowKind
from chains.bitcoin.block import BitcoinKind
from chains.kind import SubmitAnswer, SubmitResult
from chains.mm2.commitment import Mm2Kind
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.blocks.solution_store import ClosedSolution, SolutionStore, SolvingShare
from pool.services import block_nodes
from pool.services.block_nodes import RETRY_S
from pool.services.block_submission import BlockSubmission
from pool.shares.record import AccountKey, Route
from pool.shares.validation import validate
from stratum.events import Submit

ANY = 2**256 - 1
ACCEPTED = SubmitAnswer(SubmitResult.ACCEPTED)
ROUTE = Route(b"r" * 16, "addr", {"regbtc": AccountKey("miner", "00", "addr")})


class Node:
    """Gives its answers one by one, the last for ever; an answer may be an exception or a future to wait for."""

    def __init__(self, name: str, *answers) -> None:
        self.name = name
        self.answers = list(answers) or [ACCEPTED]
        self.told: list[dict] = []

    async def submit(self, payload):
        self.told.append(payload)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, asyncio.Future):
            answer = await asyncio.shield(answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class World:
    """A job on five chains, a store on a temporary folder, and scripted nodes."""

    def __init__(self, folder, **nodes) -> None:
        self.store = SolutionStore(folder)
        self.nodes = {chain: [Node(f"{chain}[0]")] for chain in ("regbtc", *KINDS)} | nodes
        self.blocks = self.submission()
        self.jobs = JobFactory()
        chains = [aux_template(chain, number, target=ANY) for number, chain in enumerate(KINDS, 1)]
        self.job = self.jobs.make(parent_template(target=ANY), *chains)

    def submission(self) -> BlockSubmission:
        """As a new process would have it, over the same store."""
        return BlockSubmission(self.store, self.nodes, KINDS, BitcoinKind(), "regbtc")

    def verdict(self, nonce: int = 1):
        submit = Submit(b"1", "w", self.job.job_id, b"\5\6\7\10", 1_700_000_000, nonce, None)
        return validate(self.job, self.job.layouts[4], submit, b"\1\2\3\4", 0, ANY, self.jobs.table.tip)

    def solve(self, *chains: str, nonce: int = 1, conditional: bool = False):
        """One header that solves these chains only. The solves that went out."""
        verdict = self.verdict(nonce)
        verdict.solved = chains
        solves = self.blocks.new_solves(self.job, verdict)
        share = SolvingShare(ROUTE, "w", 1, ("regbtc",), verdict.header_hash)
        self.blocks.send(self.job, verdict, solves, 7, 100, share, conditional=conditional)
        return solves

    def closed(self) -> dict[str, ClosedSolution]:
        return {closed.record.chain: closed for closed in self.store.closed_solutions()}

    def at_rest(self) -> bool:
        return not (self.blocks._carrying or self.blocks._writing or self.blocks.nodes._asking)

    async def until(self, condition, what: str) -> None:
        for _ in range(400):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"never came: {what}")

    async def ended(self, *chains: str) -> dict[str, ClosedSolution]:
        await self.until(lambda: self.closed().keys() >= set(chains), f"the ends of {chains}")
        return self.closed()


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(block_nodes, "RETRY_S", (0.01, 0.02))
    return lambda **nodes: World(tmp_path / "solutions", **nodes)


async def test_submission_tells_every_parent_node_at_once_and_the_first_acceptance_counts(world):
    slow = asyncio.get_running_loop().create_future()
    nodes = [Node("regbtc[0]", slow), Node("regbtc[1]"), Node("regbtc[2]", NodeUnavailableError("away"), ACCEPTED)]
    w = world(regbtc=nodes)
    [(chain, block_hash)] = w.solve("regbtc")
    assert (chain, block_hash) == ("regbtc", w.verdict().header_hash)
    closed = (await w.ended("regbtc"))["regbtc"]
    assert closed.state == "accepted" and closed.record.share_sequence == 7 and closed.record.reward_hint == 50 * 10**8
    assert len({node.told[0]["block"] for node in nodes}) == 1, "the same bytes to all, none waits for another"
    await w.until(lambda: len(nodes[2].told) == 2, "a node that was away is still told")
    slow.set_result(ACCEPTED)
    await w.blocks.drain(1)
    assert w.blocks.results == {("regbtc", "accepted"): 1} and w.blocks.submit_times["regbtc"].sum < 1


@pytest.mark.parametrize(
    ("result", "state"),
    [("accepted", "accepted"), ("duplicate", "accepted"), ("inconclusive", "unknown"), ("stale", "rejected"),
     ("rejected", "rejected")],
)  # fmt: skip
async def test_submission_writes_down_each_class_of_answer(world, result, state):
    w = world(regnmc=[Node("regnmc[0]", SubmitAnswer(SubmitResult(result), "because"))])
    w.solve("regnmc")
    closed = (await w.ended("regnmc"))["regnmc"]
    assert (closed.state, closed.reason) == (state, "because")
    assert w.blocks.results == {("regnmc", result): 1}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_submission_of_several_answers_takes_the_best_in_whatever_order_they_come(world, order):
    answers = [SubmitAnswer(SubmitResult.INCONCLUSIVE, "side"), SubmitAnswer(SubmitResult.REJECTED, "bad"), None]
    futures = [asyncio.get_running_loop().create_future() for _ in answers]
    w = world(regbtc=[Node(f"regbtc[{i}]", future) for i, future in enumerate(futures)])
    answers[2] = SubmitAnswer(SubmitResult.REJECTED, "bad too")
    w.solve("regbtc")
    for i in order:
        assert not w.closed(), "not final while a node may still take it"
        futures[i].set_result(answers[i])
        await asyncio.sleep(0.01)
    assert (await w.ended("regbtc"))["regbtc"].state == "unknown"


async def test_submission_is_retried_over_an_outage_until_a_node_answers(world):
    outage = [NodeUnavailableError("refused"), RpcError(-28, "warming up"), NodeUnavailableError("timeout")]
    node = Node("regbtc[0]", *outage, ACCEPTED)
    w = world(regbtc=[node])
    w.solve("regbtc")
    assert (await w.ended("regbtc"))["regbtc"].state == "accepted" and len(node.told) == 4


async def test_submission_waits_as_scheduled_between_tries(world, monkeypatch):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    w = world(regbtc=[Node("regbtc[0]", *[NodeUnavailableError("away")] * 9, ACCEPTED)])
    monkeypatch.setattr(block_nodes, "RETRY_S", RETRY_S)
    monkeypatch.setattr(block_nodes.asyncio, "sleep", sleep)
    w.solve("regbtc")
    while not waits or w.blocks._carrying:
        await asyncio.wait(w.blocks._carrying)
    assert waits == [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0]


async def test_submission_that_is_given_up_is_unknown_for_nobody_said_no(world, monkeypatch, caplog):
    monkeypatch.setattr(block_nodes, "GIVE_UP_S", 0.05)
    w = world(regbtc=[Node("regbtc[0]", NodeUnavailableError("away")), Node("regbtc[1]", NodeUnavailableError("away"))])
    w.solve("regbtc")
    closed = (await w.ended("regbtc"))["regbtc"]
    assert closed.state == "unknown" and "given up: away" in closed.reason
    assert w.blocks.results == {("regbtc", "given_up"): 1}
    assert [r.levelno for r in caplog.records if "result=given_up" in r.getMessage()] == [logging.ERROR]


async def test_submission_of_an_auxiliary_block_is_given_up_earlier(world, monkeypatch):
    monkeypatch.setattr(block_nodes, "GIVE_UP_AUX_S", 0.05)
    w = world(alpha=[Node("alpha[0]", NodeUnavailableError("away"))], regbtc=[Node("b", NodeUnavailableError("away"))])
    w.solve("alpha", "regbtc")
    assert (await w.ended("alpha")).keys() == {"alpha"}
    await w.blocks.drain(0)


async def test_submission_of_an_auxiliary_block_goes_to_the_node_that_made_its_template(world):
    nodes = [Node("regnmc[1]"), Node("regnmc[0]")]
    w = world(regnmc=nodes)
    w.solve("regnmc")
    closed = (await w.ended("regnmc"))["regnmc"]
    assert [len(node.told) for node in nodes] == [0, 1] and closed.record.nodes == ["regnmc[0]"]
    assert nodes[1].told[0].keys() == {"hash", "auxpow"} and nodes[1].told[0]["hash"] == ("01" * 32)


async def test_submission_asks_all_nodes_when_the_one_that_made_the_template_is_gone(world):
    nodes = [Node("regnmc[4]"), Node("regnmc[5]", SubmitAnswer(SubmitResult.STALE))]
    w = world(regnmc=nodes)
    w.solve("regnmc")
    assert (await w.ended("regnmc"))["regnmc"].state == "accepted" and [len(n.told) for n in nodes] == [1, 1]
    await w.blocks.drain(1)


async def test_submission_survives_a_node_that_raises_anything(world, caplog):
    w = world(regbtc=[Node("regbtc[0]", KeyError("result"), ZeroDivisionError(), ACCEPTED)])
    w.solve("regbtc")
    assert (await w.ended("regbtc"))["regbtc"].state == "accepted"
    assert sum(bool(record.exc_info) for record in caplog.records) == 1, "an error of ours is told once, with its trace"


async def test_submission_of_one_header_to_five_chains_is_five_submissions(world):
    w = world(alpha=[Node("alpha[0]", SubmitAnswer(SubmitResult.STALE, "moved"))])
    assert len(w.solve("regbtc", *KINDS)) == 5
    ends = await w.ended("regbtc", *KINDS)
    assert {chain: end.state for chain, end in ends.items()} == {
        "regbtc": "accepted", "regnmc": "accepted", "regdoge": "accepted", "beta": "accepted", "alpha": "rejected",
    }  # fmt: skip


async def test_submission_goes_on_for_the_others_when_one_chains_block_cannot_be_made(world, caplog, monkeypatch):
    w = world()
    broken = type("Broken", (AuxPowKind,), {"provable": lambda *_: True, "assemble": lambda *_: 1 // 0})()
    monkeypatch.setitem(w.blocks.kinds, "regnmc", broken)
    w.solve("regnmc", "regbtc", "alpha")
    ends = await w.ended("regbtc", "alpha")
    assert "regnmc" not in ends and w.blocks.results["regnmc", "unbuilt"] == 1
    [alarm] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert w.verdict().header.hex() in alarm.getMessage() and alarm.exc_info, "what is needed to make it by hand"


async def test_submission_of_a_conditional_solve_says_so_in_its_record(world):
    w = world()
    w.solve("regbtc", conditional=True)
    assert (await w.ended("regbtc"))["regbtc"].record.stale


async def test_submission_does_not_wait_for_the_disk(world, monkeypatch, caplog):
    """The disk refuses: the node has the block all the same, it is told once, and written down when it can be."""
    w = world()
    write_down, full = w.store.write_down, True

    def failing(record):
        if full:
            raise OSError(28, "No space left on device")
        return write_down(record)

    monkeypatch.setattr(w.store, "write_down", failing)
    w.solve("regbtc")
    await w.until(lambda: w.blocks.results, "the node's answer")
    await w.until(lambda: "alarm: a found block cannot be written down" in caplog.text, "the alarm")
    assert w.nodes["regbtc"][0].told and not w.closed() and "No space left" in caplog.text
    full = False
    assert (await w.ended("regbtc"))["regbtc"].state == "accepted"
    assert caplog.text.count("cannot be written down") == 1


async def test_submission_does_not_wait_for_a_disk_that_hangs(world, monkeypatch):
    w = world()
    write_down, going_on = w.store.write_down, threading.Event()
    monkeypatch.setattr(w.store, "write_down", lambda record: going_on.wait(30) and write_down(record))
    w.solve("regbtc", "regnmc")
    for chain in ("regbtc", "regnmc"):
        await w.until(lambda chain=chain: w.nodes[chain][0].told, "the node's answer while the disk hangs")
    assert not w.store.open_names()
    going_on.set()
    assert {closed.state for closed in (await w.ended("regbtc", "regnmc")).values()} == {"accepted"}


async def test_submission_of_a_proof_waits_until_its_record_is_the_kernels_and_not_for_the_flush(world, monkeypatch):
    """A process that is killed then has lost nothing: the next one takes the record up."""
    w = world()
    flushing, going_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow_fsync(descriptor):
        flushing.set()
        assert going_on.wait(30)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    submit, there = w.nodes["regnmc"][0].submit, []

    async def looking(payload):
        there.append([path.suffix for path in (w.store._open).iterdir()])
        return await submit(payload)

    monkeypatch.setattr(w.nodes["regnmc"][0], "submit", looking)
    w.solve("regnmc")
    await w.until(lambda: there, "the node hears of it")
    assert there == [[".tmp"]]
    await w.until(flushing.is_set, "the flush")
    going_on.set()
    assert (await w.ended("regnmc"))["regnmc"].state == "accepted"


async def test_submission_whose_record_can_never_be_named_still_reaches_the_node(world, monkeypatch, caplog):
    w = world()
    monkeypatch.setattr(w.store, "write_down", lambda record: (_ for _ in ()).throw(ValueError("no such name")))
    w.solve("regbtc")
    await w.until(lambda: w.blocks.results and not w.blocks._carrying, "the end")
    assert w.nodes["regbtc"][0].told and "broke off" in caplog.text


async def test_submission_is_resumed_by_the_next_process(world):
    w = world(
        regbtc=[Node("regbtc[0]", NodeUnavailableError("away"))], alpha=[Node("alpha[0]", NodeUnavailableError("away"))]
    )
    w.solve("regbtc", "alpha")
    await w.until(lambda: len(w.store.open_names()) == 2, "both on disk")
    await w.blocks.drain(0.01)
    assert not w.closed() and w.at_rest(), "nothing is left running"
    before = [node.told[0] for chain in ("regbtc", "alpha") for node in w.nodes[chain]]
    w.nodes["regbtc"], w.nodes["alpha"] = [Node("regbtc[0]"), Node("regbtc[1]")], [Node("alpha[1]"), Node("alpha[0]")]
    w.store = SolutionStore(w.store._open.parent)
    w.blocks = w.submission()
    assert w.blocks.resume() == 2
    ends = await w.ended("regbtc", "alpha")
    assert {end.state for end in ends.values()} == {"accepted"}
    assert [node.told for node in w.nodes["alpha"]] == [[], [before[1]]]
    assert [node.told for node in w.nodes["regbtc"]] == [[before[0]], [before[0]]], "the same bytes again"
    await w.blocks.drain(1)


async def test_submission_leaves_the_block_of_a_chain_that_is_not_configured_for_a_later_start(world, caplog):
    w = world(alpha=[Node("alpha[0]", NodeUnavailableError("away"))])
    w.solve("alpha")
    await w.until(lambda: w.store.open_names(), "it is on disk")
    await w.blocks.drain(0)
    del w.nodes["alpha"]
    w.blocks = w.submission()
    assert w.blocks.resume() == 0 and len(w.store.open_names()) == 1
    assert "its found block waits chain=alpha" in caplog.text


async def test_submission_of_a_second_proof_can_still_win_the_block(world):
    """Two headers solve one auxiliary block: the first is refused while the second is under way."""
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    w = world(regnmc=[Node("regnmc[0]", first, second)])
    assert w.solve("regnmc", nonce=1) and w.solve("regnmc", nonce=2)
    await w.until(lambda: len(w.nodes["regnmc"][0].told) == 2, "both are under way")
    first.set_result(SubmitAnswer(SubmitResult.REJECTED, "high-hash"))
    await w.until(lambda: w.blocks.results, "the first answer")
    await asyncio.sleep(0.03)
    assert not w.closed(), "the block is not lost while a proof of it is under way"
    second.set_result(ACCEPTED)
    assert (await w.ended("regnmc"))["regnmc"].state == "accepted"
    assert w.blocks.results == {("regnmc", "rejected"): 1, ("regnmc", "accepted"): 1}
    await w.until(lambda: not w.blocks._proofs, "nothing is remembered of it")


async def test_submission_of_two_refused_proofs_ends_once_with_the_better_answer(world):
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    w = world(regnmc=[Node("regnmc[0]", first, second)])
    w.solve("regnmc", nonce=1)
    w.solve("regnmc", nonce=2)
    await w.until(lambda: len(w.nodes["regnmc"][0].told) == 2, "both are under way")
    first.set_result(SubmitAnswer(SubmitResult.INCONCLUSIVE, "side"))
    await asyncio.sleep(0.02)
    second.set_result(SubmitAnswer(SubmitResult.REJECTED, "bad"))
    assert (await w.ended("regnmc"))["regnmc"].state == "unknown"


@pytest.mark.parametrize("answer", ["accepted", "duplicate", "stale"])
async def test_submission_sends_no_further_proof_of_a_block_that_is_over(world, answer):
    w = world(regnmc=[Node("regnmc[0]", SubmitAnswer(SubmitResult(answer)))])
    w.solve("regnmc", nonce=1)
    await w.ended("regnmc")
    assert w.solve("regnmc", nonce=2) == () and len(w.nodes["regnmc"][0].told) == 1


async def test_submission_takes_stale_after_an_unanswered_try_for_an_open_question(world):
    """The node may have taken the first one: then it knows the template no more when asked again."""
    w = world(regnmc=[Node("regnmc[0]", NodeUnavailableError("timeout"), SubmitAnswer(SubmitResult.STALE, "unknown"))])
    w.solve("regnmc")
    assert (await w.ended("regnmc"))["regnmc"].state == "unknown"


async def test_submission_tells_when_one_of_several_nodes_refuses(world, caplog):
    refusal = SubmitAnswer(SubmitResult.REJECTED, "bad-txns")
    nodes = [Node("regbtc[0]", refusal), Node("regbtc[1]", NodeUnavailableError())]
    w = world(regbtc=nodes)
    w.solve("regbtc")
    await w.until(lambda: "one node refuses a block chain=regbtc node=regbtc[0]" in caplog.text, "told at once")
    assert not w.closed()
    await w.blocks.drain(0)


async def test_submission_drains_what_is_under_way_and_leaves_the_rest_open(world):
    quick = asyncio.get_running_loop().create_future()
    hanging = asyncio.get_running_loop().create_future()
    w = world(regbtc=[Node("regbtc[0]", quick)], beta=[Node("beta[0]", hanging)])
    w.solve("regbtc", "beta")
    await w.until(lambda: len(w.store.open_names()) == 2, "both on disk")
    asyncio.get_running_loop().call_later(0.02, quick.set_result, ACCEPTED)
    await w.blocks.drain(0.1)
    assert w.closed().keys() == {"regbtc"} and {chain for chain, _ in w.store.open_names()} == {"beta"}
    assert w.at_rest()


async def test_submission_of_a_solve_whose_extranonce_spoils_the_mm1_tag_leaves_those_chains_out(world, caplog):
    """With eight bytes of extranonce2 the extranonces stand in the scriptSig: a second magic there spoils MM1 only."""
    w = world()
    w.job = w.jobs.make(
        parent_template(target=ANY, previous=b"\x12" * 32),
        *(aux_template(chain, number, target=ANY) for number, chain in enumerate(KINDS, 1)),
        extranonce2_sizes=(4, 8),
    )

    def solves(extranonce1: bytes, extranonce2: bytes, size: int) -> set[str]:
        submit = Submit(b"1", "w", w.job.job_id, extranonce2, 1_700_000_000, 1, None)
        verdict = validate(w.job, w.job.layouts[size], submit, extranonce1, 0, ANY, w.jobs.table.tip)
        assert verdict.solved == ("regbtc", *KINDS)
        w.blocks = w.submission()
        return {chain for chain, _ in w.blocks.new_solves(w.job, verdict)}

    everything = {"regbtc", *KINDS}
    without_mm1 = everything - {"regnmc", "regdoge"}
    assert solves(b"\1\2\3\4", b"\0\0\xfa\xbe\x6d\x6d\0\0", 8) == without_mm1
    assert solves(b"\1\2\xfa\xbe", b"\x6d\x6d\0\0\0\0\0\0", 8) == without_mm1, "also across the two extranonces"
    assert "spoil the commitment chain=regdoge" in caplog.text
    assert solves(b"\1\2\3\4", b"\0\0\0\0\xfa\xbe\x6d\0", 8) == everything
    assert solves(b"\xfa\xbe\x6d\x6d", b"\xfa\xbe\x6d\x6d", 4) == everything, "four bytes lie in the last output"


async def test_submission_of_a_replayed_header_costs_nothing(world):
    w = world()
    assert len(w.solve("regbtc", "alpha")) == 2
    assert w.solve("regbtc", "alpha") == ()
    await w.ended("regbtc", "alpha")
    assert len(w.nodes["regbtc"][0].told) == 1


async def test_submission_of_votes_takes_every_header_of_one_template(world, monkeypatch):
    """A kind with `many`: each header is a find of its own, known by its own hash."""
    votes = type("Votes", (Mm2Kind,), {"many": True, "found_hash": lambda self, template, header_hash: header_hash})()
    w = world()
    monkeypatch.setitem(w.blocks.kinds, "alpha", votes)
    once = [dict(w.solve("alpha", nonce=nonce)) for nonce in range(6)]
    assert [found["alpha"] for found in once] == [w.verdict(nonce).header_hash for nonce in range(6)]
    assert [w.solve("alpha", nonce=nonce) for nonce in range(6)] == [()] * 6, "the same header twice is one vote"


async def test_submission_of_a_vote_goes_to_every_node_of_its_chain(world, monkeypatch, caplog):
    nodes = [Node("alpha[0]"), Node("alpha[1]", SubmitAnswer(SubmitResult.REJECTED, "vote-unknown-block"))]
    w = world(alpha=nodes)
    monkeypatch.setitem(w.blocks.kinds, "alpha", type("Votes", (Mm2Kind,), {"many": True})())
    w.solve("alpha")
    await w.until(lambda: [len(node.told) for node in nodes] == [1, 1], "both are told")
    assert (await w.ended("alpha"))["alpha"].state == "accepted" and "refuses" not in caplog.text
