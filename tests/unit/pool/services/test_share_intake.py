"""From a submission to its answer: durable first, solves before everything, and nothing a stranger can grow."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from support.job_factory import KINDS, JobFactory, aux_template, parent_template

from chains.bitcoin.block import BitcoinKind
from chains.families import network
from chains.kind import SubmitAnswer, SubmitResult
from chains.primitives.address import script_to_address
from chains.primitives.share_kernel import SeenHashes
from chains.primitives.target import difficulty_to_target, work_of
from chains.subsidies import Subsidy
from pool.accounting.reserve import ReserveGuard
from pool.blocks.solution_store import SolutionStore
from pool.jobs.job_table import CHAIN_GRACE_S
from pool.services import share_intake
from pool.services.block_submission import BlockSubmission
from pool.services.scheme_board import BoughtChain, SchemeBoard
from pool.services.share_intake import ShareIntake
from pool.shares.log_segment import SegmentFile
from pool.shares.record import BEGINNING
from pool.shares.share_log import ShareLog
from pool.shares.validation import validate
from stratum.events import Submit
from stratum.limits import Limits
from stratum.offer import PortPolicy, Refused
from stratum.server import StratumServer

REGTEST = network("bitcoin", "regtest")
NETWORKS = {"regbtc": REGTEST} | {chain: network("devnet", "regtest") for chain in KINDS}
ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
ANY = 2**256 - 1
EVERY_HASH = 1e-12
"""A difficulty whose target every hash meets."""


def address(number: int) -> str:
    text = script_to_address(b"\x00\x14" + number.to_bytes(20, "big"), REGTEST.addresses)
    assert text is not None
    return text


class Miner:
    """A connection as the intake sees it; `said` is what was answered, `writes` what each write carried."""

    remote_address = "192.0.2.1"
    extranonce1 = b"\1\2\3\4"
    version_mask = 0x1FFFE000
    answers_at_once = False
    realm = ""

    def __init__(self, difficulty: float = EVERY_HASH) -> None:
        self.difficulty = difficulty
        self.former: bytes | None = None
        self.said: list[tuple[bytes, str]] = []
        self.writes: list[list[tuple[bytes, str]]] = []
        self.closed = False
        self.aborted = ""
        self._unsent: list[tuple[bytes, str]] = []

    def difficulty_for(self, sequence: int) -> float:
        return self.difficulty

    def former_extranonce1(self, sequence: int) -> bytes | None:
        return self.former

    def accept(self, submit: Submit, difficulty: float) -> None:
        if not self.closed:
            self._unsent.append((submit.id, "true"))

    def reject(self, submit: Submit, error) -> None:
        if not self.closed:
            self._unsent.append((submit.id, error.reason))

    def flush(self) -> None:
        self.said += self._unsent
        if self._unsent:
            self.writes.append(self._unsent)
        self._unsent = []

    def abort(self, reason: str) -> None:
        self.aborted = reason


class GatedFile(SegmentFile):
    """A disk that takes no sync while `gate` is clear, and fails when `broken`."""

    gate = threading.Event()
    broken = False

    def sync(self) -> None:
        assert GatedFile.gate.wait(10)
        if GatedFile.broken:
            raise OSError(5, "Input/output error")
        super().sync()


class Node:
    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[dict] = []

    async def submit(self, payload):
        self.told.append(payload)
        return SubmitAnswer(SubmitResult.ACCEPTED)


class World:
    def __init__(self, folder) -> None:
        GatedFile.broken = False
        GatedFile.gate.set()
        self.folder = folder
        self.jobs = JobFactory()
        self.errors: list[BaseException] = []
        self.log = ShareLog(
            folder / "shares", loop=asyncio.get_running_loop(), on_durable=lambda n: self.intake.on_durable(n),
            on_error=self._log_failed, interval_s=0.0, open_file=GatedFile,
        )  # fmt: skip
        self.nodes = {chain: [Node(f"{chain}[0]")] for chain in NETWORKS}
        store = SolutionStore(folder / "solutions")
        self.store = store
        self.blocks = BlockSubmission(store, self.nodes, KINDS, BitcoinKind(), "regbtc")
        self.intake = ShareIntake(self.jobs.table, self.log, self.blocks, NETWORKS, "regbtc", "sha256d", None)
        self.port = self.intake.facing(4)
        self.user = self.login(ADDRESS + ".rig")

    def _log_failed(self, error: BaseException) -> None:
        self.errors.append(error)
        self.intake.refuse_waiting()

    def login(self, text: str, password: str = ""):
        answer = self.port.authorize(Miner(), text, password)
        assert not isinstance(answer, Refused), answer
        return answer.user

    def job(self, parent_target: int = 0, *aux, **options):
        return self.jobs.make(parent_template(target=parent_target, **options.pop("parent", {})), *aux, **options)

    def submit(self, miner, job, nonce: int = 1, user=None, **changes) -> bytes:
        """Submit a share under the id of its nonce."""
        fields = dict(extranonce2=b"\5\6\7\10", ntime=1_700_000_000, version_bits=None) | changes
        user = None if fields.get("unknown") else user or self.user
        job_id = job if isinstance(job, str) else job.job_id
        submit = Submit(
            b"%d" % nonce, "w", job_id, fields["extranonce2"], fields["ntime"], nonce, fields["version_bits"]
        )
        port = self.intake.facing(len(fields["extranonce2"]))
        port.submit(miner, submit, user)
        miner.flush()
        return submit.id

    def logged(self):
        return [entry for entry in self.log.read_from(BEGINNING)]

    async def until(self, condition, what: str) -> None:
        for _ in range(600):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"never came: {what}")

    async def close(self) -> None:
        GatedFile.gate.set()
        await asyncio.get_running_loop().run_in_executor(None, self.log.close)
        await self.blocks.drain(1)


@pytest.fixture
async def world(tmp_path):
    w = World(tmp_path)
    yield w
    await w.close()


# -- durable before the answer ------------------------------------------------------------


async def test_intake_answers_when_the_share_is_on_disk_and_not_before(world):
    miner, job = Miner(), world.job()
    GatedFile.gate.clear()
    world.submit(miner, job)
    await asyncio.sleep(0.05)
    assert miner.said == [] and world.intake.accepted == 0
    GatedFile.gate.set()
    await world.until(lambda: miner.said, "the answer")
    assert miner.said == [(b"1", "true")] and [entry.share.worker for entry in world.logged()] == ["rig"]
    weight = work_of(difficulty_to_target(EVERY_HASH, "sha256d"))
    assert (world.intake.accepted, world.intake.accepted_work) == (1, weight)
    assert world.logged()[0].share.weight == weight


async def test_intake_answers_in_order_with_one_write_for_each_connection(world):
    one, two, job = Miner(), Miner(), world.job()
    GatedFile.gate.clear()
    world.submit(one, job, nonce=1)
    await asyncio.sleep(0.02)
    for nonce in range(2, 12):
        world.submit(one if nonce % 2 else two, job, nonce=nonce)
    GatedFile.gate.set()
    await world.until(lambda: world.intake.accepted == 11, "all answers")
    assert [said for said, _ in one.said] == [b"1", b"3", b"5", b"7", b"9", b"11"]
    assert [said for said, _ in two.said] == [b"2", b"4", b"6", b"8", b"10"]
    assert len(one.writes) <= 2 and len(two.writes) == 1


async def test_intake_answers_at_once_where_the_port_says_memory_and_stores_the_share_all_the_same(world):
    miner, patient, job = Miner(), Miner(), world.job()
    miner.answers_at_once = True
    GatedFile.gate.clear()
    world.submit(patient, job, nonce=1)
    world.submit(miner, job, nonce=2)
    assert miner.said == [(b"2", "true")] and patient.said == [] and world.intake.accepted == 1
    world.submit(miner, job, nonce=2)
    assert miner.said[1:] == [(b"2", "duplicate")]
    GatedFile.gate.set()
    await world.until(lambda: patient.said, "the other port's answer")
    await world.until(lambda: len(world.logged()) == 2, "both shares in the log")
    assert world.intake.accepted == 2 and miner.said[2:] == []


async def test_intake_refuses_what_memory_cannot_keep(world):
    miner, job = Miner(), world.job()
    miner.answers_at_once = True
    world.log.close()
    world.submit(miner, job, nonce=1)
    assert miner.said == [(b"1", "not_durable")] and world.intake.accepted == 0


async def test_intake_counts_the_share_of_a_connection_that_is_gone_before_it_is_durable(world):
    miner, other, job = Miner(), Miner(), world.job()
    GatedFile.gate.clear()
    world.submit(miner, job, nonce=1)
    world.submit(other, job, nonce=2)
    miner.closed = True
    GatedFile.gate.set()
    await world.until(lambda: other.said, "the other's answer")
    assert miner.said == [] and world.intake.accepted == 2 and len(world.logged()) == 2


async def test_intake_counts_the_share_of_a_socket_that_is_closed_before_it_is_durable(reactor, world, caplog):
    """As above with the real edge: nothing is written to the lost socket, nothing is logged, nobody else suffers."""
    policy = PortPolicy(start_difficulty=EVERY_HASH, minimum_difficulty=EVERY_HASH, maximum_difficulty=1.0)
    server = StratumServer(world.port, policy, Limits(exempt_loopback=True))
    port = server.listen(reactor, "127.0.0.1", 0).getHost().port
    job = world.job()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, (method, *params) in enumerate(
        [("mining.subscribe", "x"), ("mining.authorize", ADDRESS + ".rig", "x"),
         ("mining.submit", ADDRESS + ".rig", job.job_id, "00000001", f"{1_700_000_000:08x}", "00000000")]
    ):  # fmt: skip
        if method == "mining.submit":
            GatedFile.gate.clear()
        writer.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        if method != "mining.submit":
            await reader.readline()
    await world.until(lambda: world.intake._waiting, "the submission")
    writer.close()
    await world.until(lambda: not server.connections, "the connection's end")
    GatedFile.gate.set()
    await world.until(lambda: world.intake.accepted == 1, "the share")
    assert len(world.logged()) == 1 and not [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")]
    await server.stop().asFuture(asyncio.get_running_loop())


@pytest.mark.parametrize("where", ["accept", "flush"])
async def test_intake_answers_the_others_when_one_connection_breaks(world, where, monkeypatch, caplog):
    broken, good, job = Miner(), Miner(), world.job()
    GatedFile.gate.clear()
    world.submit(broken, job, nonce=1)
    world.submit(good, job, nonce=2)
    monkeypatch.setattr(broken, where, lambda *_: 1 // 0)
    GatedFile.gate.set()
    await world.until(lambda: good.said, "the good one's answer")
    assert broken.aborted == "internal" and world.intake.accepted == 2 and "error of ours" in caplog.text


async def test_intake_refuses_when_the_disk_fails_and_still_sends_solves(world):
    miner, job = Miner(), world.job(ANY)
    await asyncio.sleep(0.02)
    GatedFile.gate.clear()
    GatedFile.broken = True
    world.submit(miner, job, nonce=1)
    world.submit(miner, job, nonce=2)
    GatedFile.gate.set()
    await world.until(lambda: world.errors, "the log's failure")
    assert miner.said == [(b"1", "not_durable"), (b"2", "not_durable")]
    assert world.submit(miner, job, nonce=3) and miner.said[-1] == (b"3", "not_durable")
    await world.until(lambda: len(world.nodes["regbtc"][0].told) == 3, "all three blocks at the node")
    await world.until(lambda: len(list(world.store.closed_solutions())) == 3, "their records")
    [unlogged] = [c.record for c in world.store.closed_solutions() if c.record.share_sequence == 0]
    assert unlogged.solving_share is not None and unlogged.solving_share.worker == "rig", "credited from its record"
    assert world.intake.accepted == 0 and world.intake.rejected == {"not_durable": 3}


async def test_intake_does_not_take_a_share_that_could_not_be_stored_for_a_duplicate(world, monkeypatch):
    miner, job = Miner(), world.job()
    monkeypatch.setattr(world.log, "pending_limit", -1)
    world.submit(miner, job)
    monkeypatch.setattr(world.log, "pending_limit", 1 << 20)
    world.submit(miner, job)
    await world.until(lambda: len(miner.said) == 2, "both answers")
    assert miner.said == [(b"1", "not_durable"), (b"1", "true")] and len(world.logged()) == 1


# -- solves ------------------------------------------------------------


async def test_intake_answers_a_stale_solve_21_and_submits_it_all_the_same(world):
    miner, job = Miner(), world.job(ANY, aux_template("alpha", target=ANY))
    world.job(0, parent={"previous": b"n" * 32})
    world.submit(miner, job)
    assert miner.said == [(b"1", "stale")]
    await world.until(lambda: world.nodes["regbtc"][0].told and world.nodes["alpha"][0].told, "both submissions")
    await world.until(lambda: world.logged(), "the conditional share")
    [entry] = world.logged()
    assert entry.share.stale and [chain for chain, _ in entry.share.solved] == ["regbtc", "alpha"]
    assert entry.share.chains == ("regbtc", "alpha")
    assert entry.share.weight == 1, "no more than its easiest block's work"
    assert world.intake.accepted == 0
    await world.until(lambda: len(list(world.store.closed_solutions())) == 2, "the records")
    for closed in world.store.closed_solutions():
        assert closed.record.stale and closed.record.share_sequence == entry.share.sequence


@pytest.mark.parametrize(
    ("changes", "reason"), [({"ntime": 1}, "time_out_of_range"), ({"version_bits": 1}, "version_bits")]
)
async def test_intake_submits_a_solve_with_any_other_fault(world, changes, reason):
    miner, job = Miner(), world.job(ANY)
    world.submit(miner, job, **changes)
    assert miner.said == [(b"1", reason)]
    await world.until(lambda: world.nodes["regbtc"][0].told and world.logged(), "the submission")
    assert world.logged()[0].share.stale


async def test_intake_submits_a_solve_of_a_chain_easier_than_the_share(world):
    """The connection's difficulty is far above the chain's: too low for a share, yet a block."""
    miner, job = Miner(difficulty=1e9), world.job(0, aux_template("alpha", target=ANY))
    world.submit(miner, job)
    assert miner.said == [(b"1", "low_difficulty")]
    await world.until(lambda: world.nodes["alpha"][0].told and world.logged(), "the submission")
    [entry] = world.logged()
    assert entry.share.stale and entry.share.weight == 1, "credited by what was proven, not by what was asked"
    assert not world.nodes["regbtc"][0].told


async def test_intake_submits_the_solves_of_a_worker_that_never_logged_in(world):
    """Nobody is credited for the solve: its blocks go to the window as they would without it."""
    miner, job = Miner(), world.job(ANY, aux_template("alpha", target=ANY), aux_template("beta", 2))
    world.submit(miner, job, unknown=True)
    assert miner.said == [(b"1", "unauthorized")] and world.intake.rejected == {"unauthorized": 1}
    await world.until(lambda: len(list(world.store.closed_solutions())) == 2, "the records")
    assert [len(world.nodes[chain][0].told) for chain in ("regbtc", "alpha", "beta")] == [1, 1, 0]
    for closed in world.store.closed_solutions():
        record = closed.record
        assert (record.share_sequence, record.share_weight, record.solving_share, record.stale) == (0, 0, None, True)
    assert world.logged() == [] and world.intake.accepted == 0


async def test_intake_records_the_scheme_of_the_port_in_share_and_solution(world):
    """Whoever found a block where shares are bought cannot give it to others by not logging in."""
    guard = ReserveGuard(1, 1)
    guard.update(10)
    bought = {"regbtc": BoughtChain(Subsidy(50, 0), 0, guard)}
    board = world.intake.schemes = SchemeBoard({"bought": {"regbtc": "pps", "alpha": "solo"}}, bought)
    miner, job = Miner(), world.job(ANY, aux_template("alpha"))
    job.pay_rates = board.pay_rates(job.templates)
    miner.realm = "bought"
    world.submit(miner, job, unknown=True)
    world.submit(miner, job, nonce=2)
    await world.until(lambda: world.logged(), "the share in the log")
    assert world.logged()[0].share.chains == ("regbtc:pps:50:1:0", "alpha:solo")
    await world.until(lambda: len(world.nodes["regbtc"][0].told) == 2, "both blocks at the node")
    await world.blocks.drain(1)
    closed = [solution.record for solution in world.store.closed_solutions()]
    assert {(record.chain, record.share_sequence > 0, record.scheme) for record in closed} >= {
        ("regbtc", False, "pps"), ("regbtc", True, "pps"),
    }  # fmt: skip
    assert {record.scheme for record in closed if record.chain == "alpha"} == {"solo"}


async def test_intake_takes_a_share_that_was_sent_too_early_once_its_worker_logged_in(world):
    miner, job = Miner(), world.job(ANY)
    world.submit(miner, job, unknown=True)
    world.submit(miner, job)
    world.submit(miner, job, unknown=True)
    await world.until(lambda: len(miner.said) == 3, "the answers")
    assert sorted(reason for _, reason in miner.said) == ["true", "unauthorized", "unauthorized"]
    await asyncio.sleep(0.05)
    assert len(world.nodes["regbtc"][0].told) == 1, "one header, one submission"


async def test_intake_refuses_an_unknown_worker_for_an_unknown_job_and_without_a_solve_alike(world):
    miner, job = Miner(), world.job()
    world.submit(miner, "ffff", unknown=True)
    world.submit(miner, job, unknown=True)
    assert [reason for _, reason in miner.said] == ["unauthorized"] * 2
    assert not world.logged() and not job.tip.seen


async def test_intake_submits_a_late_solve_of_an_unknown_worker(world):
    miner, job = Miner(), world.job(ANY)
    world.job(0, parent={"previous": b"n" * 32})
    world.submit(miner, job, unknown=True)
    assert miner.said == [(b"1", "unauthorized")]
    await world.until(lambda: world.nodes["regbtc"][0].told, "the submission")


async def test_intake_submits_a_header_once_however_often_it_comes(world):
    miner, job = Miner(), world.job(ANY)
    for _ in range(3):
        world.submit(miner, job)
    await world.until(lambda: len(miner.said) == 3, "three answers")
    assert sorted(reason for _, reason in miner.said) == ["duplicate", "duplicate", "true"]
    await asyncio.sleep(0.05)
    assert len(world.nodes["regbtc"][0].told) == 1 and len(world.logged()) == 1


async def test_intake_credits_the_winning_share_as_a_share(world):
    miner, job = Miner(), world.job(ANY)
    world.submit(miner, job)
    await world.until(lambda: miner.said, "the answer")
    [entry] = world.logged()
    assert not entry.share.stale and entry.share.solved == (("regbtc", entry.share.header_hash),)
    await world.until(lambda: list(world.store.closed_solutions()), "the record")
    [closed] = world.store.closed_solutions()
    assert not closed.record.stale and closed.record.share_sequence == entry.share.sequence


async def test_intake_answers_the_miner_when_a_block_cannot_be_made(world, monkeypatch):
    monkeypatch.setattr(world.blocks, "_assemble", lambda *_: 1 // 0)
    miner, job = Miner(), world.job(ANY, aux_template("alpha", target=ANY))
    world.submit(miner, job)
    await world.until(lambda: miner.said, "the answer")
    assert miner.said == [(b"1", "true")]
    assert world.blocks.results == {("regbtc", "unbuilt"): 1, ("alpha", "unbuilt"): 1}


async def test_intake_knows_no_job_of_two_tips_ago_nor_of_anyones_making(world):
    miner, job = Miner(), world.job()
    world.job(parent={"previous": b"2" * 32})
    world.job(parent={"previous": b"3" * 32})
    world.submit(miner, job)
    world.submit(miner, "ffff")
    assert [reason for _, reason in miner.said] == ["unknown_job"] * 2 and not world.logged()


async def test_intake_measures_the_solves_that_hard_shares_do_not_show(world):
    """alpha is four times as easy as the share: a share that solves alpha too stands for four expected solves."""
    job = world.job(0, aux_template("alpha", target=ANY // 1000), aux_template("beta", 2, target=0))
    miner = Miner(EVERY_HASH)
    for nonce in range(50):
        world.submit(miner, job, nonce=nonce)
    assert world.intake.expected_solves == {}, "every hash is a share: nothing goes unseen"
    hard = world.job(0, aux_template("alpha", 3, target=ANY))
    target = difficulty_to_target(1e-9, "sha256d")
    miner = Miner(1e-9)
    for nonce in range(200):
        world.submit(miner, hard, nonce=nonce)
    await world.until(lambda: len(miner.said) == 200, "all answers")
    shares = sum(reason == "true" for _, reason in miner.said)
    assert 0 < shares < 200
    assert world.intake.expected_solves["alpha"] == pytest.approx(shares * work_of(target))
    assert world.intake.seen_solves == {"alpha": shares}


# -- what a share counts for, and under which terms ------------------------------------------------------------


async def test_intake_counts_a_share_for_the_chains_its_job_still_serves(world, monkeypatch):
    old = world.job(0, aux_template("alpha", 1), aux_template("regnmc", 1), now=1000.0)
    world.job(0, aux_template("alpha", 2), aux_template("regnmc", 1), now=2000.0)
    miner = Miner()
    now = 2000.0 + CHAIN_GRACE_S - 1
    monkeypatch.setattr(share_intake.time, "monotonic", lambda: now)
    world.submit(miner, old, nonce=1)
    now += 2
    world.submit(miner, old, nonce=2)
    await world.until(lambda: len(miner.said) == 2, "both answers")
    assert [set(entry.share.chains) for entry in world.logged()] == [
        {"regbtc", "alpha", "regnmc"}, {"regbtc", "regnmc"},
    ]  # fmt: skip


async def test_intake_stores_each_workers_own_route(world):
    """Two logins on one connection: no login alters another's, nor an earlier share's, route."""
    miner, job = Miner(), world.job()
    other = world.login(f"{address(5)}+alpha={ADDRESS}.second", f"beta={ADDRESS}")
    world.submit(miner, job, nonce=1)
    world.submit(miner, job, nonce=2, user=other)
    world.submit(miner, job, nonce=3)
    await world.until(lambda: len(miner.said) == 3, "all answers")
    first, second, third = world.logged()
    assert first.route == third.route == world.user.route and second.route == other.route
    assert (first.share.worker, second.share.worker) == ("rig", "second")
    assert second.route.login_parent == address(5) and second.route.accounts["alpha"].kind == "miner"
    assert second.route.accounts["beta"].kind == "miner" and second.route.accounts["regnmc"].kind == "held"


async def test_intake_judges_by_the_connections_version_mask(world):
    miner, job = Miner(), world.job()
    miner.version_mask = 0x00006000
    world.submit(miner, job, nonce=1, version_bits=0x00004000)
    world.submit(miner, job, nonce=2, version_bits=0x00008000)
    await world.until(lambda: len(miner.said) == 2, "both answers")
    assert sorted(miner.said) == [(b"1", "true"), (b"2", "version_bits")]


def moved(extranonce1: bytes, *, difficulty: float = EVERY_HASH) -> Miner:
    """A connection that mining.set_extranonce gave another extranonce1 than the one it had."""
    miner = Miner(difficulty)
    miner.extranonce1, miner.former = extranonce1, Miner.extranonce1
    return miner


async def test_intake_takes_shares_made_before_the_extranonce_moved(world):
    """One in two hashes is a share: those found under the former extranonce1 are shares after the move as well."""
    job = world.job()
    former, now = Miner(5e-10), moved(b"\7\7\7\7", difficulty=5e-10)
    for nonce in range(40):
        world.submit(former, job, nonce=nonce)
    await world.until(lambda: len(former.said) == 40, "the answers before")
    good = {said for said, reason in former.said if reason == "true"}
    assert 0 < len(good) < 40
    job.tip.seen = SeenHashes()
    for nonce in range(40):
        world.submit(now, job, nonce=nonce)
    await world.until(lambda: len(now.said) == 40, "the answers after")
    taken = {said for said, reason in now.said if reason == "true"}
    assert taken >= good and len(taken) < 40
    now.former = None
    job.tip.seen = SeenHashes()
    now.said.clear()
    for nonce in range(40):
        world.submit(now, job, nonce=nonce)
    await world.until(lambda: len(now.said) == 40, "the answers long after")
    assert not {said for said, reason in now.said if reason == "true"} >= good


async def test_intake_submits_a_late_solve_made_before_the_extranonce_moved(world):
    job = world.job(ANY >> 4)
    solved = [n for n in range(100) if Miner.extranonce1 in solvers(world, job, n)]
    nonce = next(n for n in solved if b"\7\7\7\7" not in solvers(world, job, n))
    world.job(0, parent={"previous": b"n" * 32})
    miner = moved(b"\7\7\7\7")
    world.submit(miner, job, nonce=nonce)
    assert miner.said == [(b"%d" % nonce, "stale")]
    await world.until(lambda: world.nodes["regbtc"][0].told and world.logged(), "the submission")
    assert world.logged()[0].share.solved


def solvers(world, job, nonce: int) -> set[bytes]:
    """Which of the two extranonce1 of a moved connection make this submission a block."""
    submit = Submit(b"1", "w", job.job_id, b"\5\6\7\10", 1_700_000_000, nonce, None)
    judged = {
        e: validate(job, job.layouts[4], submit, e, 0x1FFFE000, 0, world.jobs.table.tip)
        for e in (Miner.extranonce1, b"\7\7\7\7")
    }
    return {extranonce1 for extranonce1, verdict in judged.items() if verdict.solved}


async def test_intake_serves_both_sizes_of_extranonce2_from_one_job(world):
    job = world.job(ANY, extranonce2_sizes=(4, 8))
    miner = Miner()
    world.submit(miner, job, nonce=1, extranonce2=b"\0" * 4)
    world.submit(miner, job, nonce=2, extranonce2=b"\0" * 8)
    assert world.intake.facing(8).current_job() is job.layouts[8].offer
    assert world.intake.facing(4).current_job() is job.layouts[4].offer
    await world.until(lambda: len(world.nodes["regbtc"][0].told) == 2, "both blocks")
    short, long = (bytes.fromhex(told["block"]) for told in world.nodes["regbtc"][0].told)
    assert bytes(32) + b"\1\2\3\4\0\0\0\0" in short, "eight bytes behind the last output's root"
    assert b"\x0c\1\2\3\4" + bytes(8) + job.sequence.to_bytes(4, "little") in long, "at the end of the scriptSig"


async def test_intake_has_no_job_before_the_first_and_no_transactions_of_strangers(world):
    assert world.port.current_job() is None and world.port.transactions("1") is None
    job = world.job()
    assert world.port.transactions(job.job_id) == []


# -- bounds ------------------------------------------------------------


async def test_intake_bounds_the_targets_it_remembers_but_keeps_those_in_use(world, monkeypatch):
    monkeypatch.setattr(share_intake, "MAX_TARGETS_CACHED", 4)
    job = world.job()
    GatedFile.gate.clear()
    waiting = Miner(1e-11)
    world.submit(waiting, job, nonce=0)
    for number in range(1, 50):
        world.submit(Miner(1e9 + number), job, nonce=number)
    assert len(world.intake._targets) <= 5 and 1e-11 in world.intake._targets
    GatedFile.gate.set()
    await world.until(lambda: waiting.said == [(b"0", "true")], "the answer to the share that waited")


async def test_intake_remembers_nothing_of_refused_shares(world):
    """A flood of low, stale, mistimed and unknown shares leaves no trace but its counters."""
    old = world.job()
    job = world.job(parent={"previous": b"n" * 32})
    miner = Miner(1e9)
    for nonce in range(300):
        world.submit(miner, job, nonce=nonce)
        world.submit(miner, old, nonce=nonce)
        world.submit(miner, job, nonce=nonce, ntime=5)
        world.submit(miner, f"{nonce:x}{nonce:x}", nonce=nonce)
    assert not job.tip.seen and not old.tip.seen and not world.intake._waiting and len(world.intake._targets) == 1
    assert not world.blocks.gate._submitted and not world.logged()
    assert world.intake.rejected.keys() == {"low_difficulty", "stale", "time_out_of_range", "unknown_job"}


async def test_intake_writes_nothing_for_logins_without_shares(world, monkeypatch):
    """Logins are free: a flood of them must reach neither the disk nor, without bound, the memory."""
    monkeypatch.setattr(share_intake, "MAX_ROUTES_CACHED", 50)
    before = world.log.bytes_written, world.log._segment_size
    for number in range(200):
        world.login(f"{address(number)}+alpha={ADDRESS}.w{number}")
    assert (world.log.bytes_written, world.log._segment_size) == before and not world.log._routes
    assert len(world.intake._routes) <= 50
    miner, job = Miner(), world.job()
    world.submit(miner, job, user=world.login(f"{address(7)}.w"))
    await world.until(lambda: miner.said, "the answer")
    assert len(world.log._routes) == 1


async def test_intake_checks_a_route_once_for_all_its_workers(world):
    users = [world.login(f"{address(9)}+beta={ADDRESS}.w{number}", "alpha=same;x=y") for number in range(20)]
    assert len({id(user.route) for user in users}) == 1 and len({user.worker for user in users}) == 20
    other = world.login(f"{address(9)}+beta={ADDRESS}.w0", "alpha=same;regnmc=same")
    assert other.route is not users[0].route and other.route.accounts["regnmc"].kind == "miner"


@pytest.mark.parametrize("login", ["", "nonsense", "x" * 600, ADDRESS + " .w", address(1)[:-1] + "q"])
async def test_intake_refuses_a_login_without_a_good_parent_address(world, login):
    answer = world.port.authorize(Miner(), login, "")
    assert isinstance(answer, Refused) and answer.message


async def test_intake_tells_the_miner_what_it_did_not_understand(world):
    answer = world.port.authorize(Miner(), f"{ADDRESS}+nope=x+alpha=wrong.w", "d=8,beta=same")
    assert not isinstance(answer, Refused)
    assert answer.difficulty == 8 and "unknown chain 'nope'" in answer.message and "alpha" in answer.message
    assert answer.user.route.accounts["alpha"].kind == "held" and answer.user.route.accounts["beta"].kind == "miner"
