"""What the running process says of itself, read from parts that are only as real as needed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from config_file import GOOD
from support.job_factory import JobFactory, aux_template

from chains.families import network
from chains.kind import NodeState
from pool.config.configuration import load
from pool.live_status import LiveStatus
from pool.services.block_leading import BlockLeading
from pool.services.chain_watch import NodeHealth, WatchedChain
from pool.web.api import LeadingStatus
from stratum.counters import Counters

NODE = SimpleNamespace(name="n")


@pytest.fixture
def world(tmp_path):
    """The status and the parts it reads."""
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD)
    w = SimpleNamespace(
        chains={
            name: WatchedChain(name, kind, network("bitcoin", "regtest"), [NODE, NODE], b"", 60.0)
            for name, kind in (("regbtc", "bitcoin"), ("alpha", "mm2"))
        },
        factory=JobFactory(),
        intake=SimpleNamespace(accepted=3, accepted_work=9, expected_solves={}, seen_solves={},
                               schemes=SimpleNamespace(bought={})),
        blocks=SimpleNamespace(results={("regbtc", "accepted"): 1}),
        log=SimpleNamespace(durable_sequence=0, pending=0, last_fsync_s=0.0),
        books=SimpleNamespace(consumed_through=-1, lag_ms=1500),
        servers=[SimpleNamespace(connections=[], counters=Counters()) for _ in range(2)],
        folder=tmp_path,
    )
    w.jobs = SimpleNamespace(table=w.factory.table, jobs_sent=0, sent_at=float("-inf"), clock=lambda: 50.0, refusals={})
    w.status = LiveStatus(
        load(path, {}), w.chains, w.intake, w.jobs, w.blocks, w.log, tmp_path, w.books, w.servers
    )
    return w


def shown(world, name: str):
    return next(chain for chain in world.status.chains() if chain.name == name)


@pytest.mark.parametrize(
    ("health", "height"),
    [
        ([(NodeState.DOWN, 0), (NodeState.DOWN, 0)], None),
        ([(NodeState.OK, 0), (NodeState.DOWN, 0)], 0),
        ([(NodeState.OK, 7), (NodeState.OK, 9)], 9),
        ([(NodeState.OK, 7), (NodeState.SYNCING, 900)], 7),
        ([(NodeState.SYNCING, 5), (NodeState.DOWN, 0)], 5),
        ([(NodeState.SYNCING, 0), (NodeState.DOWN, 0)], 0),
        ([(NodeState.WRONG_NETWORK, 800), (NodeState.DOWN, 0)], None),
    ],
)
def test_status_knows_a_height_as_soon_as_a_node_of_the_chain_has_told_one(world, health, height):
    for index, (state, at) in enumerate(health):
        world.chains["regbtc"].set_health(index, NodeHealth(state, at))
    assert shown(world, "regbtc").height == height


def test_status_says_in_tree_of_what_the_newest_job_works_for(world):
    """A chain may offer templates and still be left out: by a clash, or by a parent that refuses its form."""
    world.chains["alpha"].in_tree = True
    assert not shown(world, "regbtc").in_tree and not shown(world, "alpha").in_tree, "no job yet"
    world.factory.make()
    assert shown(world, "regbtc").in_tree and not shown(world, "alpha").in_tree
    world.factory.make(None, aux_template("alpha"))
    assert shown(world, "alpha").in_tree


def test_status_shows_no_gap_of_sequences_as_a_lag(world):
    """After a restart the log goes on a million further; until the books are through, nothing can be counted."""
    world.log.durable_sequence = 1_004_711
    assert world.status.consumer_lag_shares is None
    world.books.consumed_through = 1_004_711
    assert world.status.consumer_lag_shares == 0
    world.log.durable_sequence += 40
    assert world.status.consumer_lag_shares == 40
    world.books.consumed_through += 99
    assert world.status.consumer_lag_shares == 0


def test_status_tells_the_books_lag_in_seconds(world):
    assert world.status.books_lag_s == 1.5


def test_status_sums_over_the_servers_of_all_ports(world):
    sessions = [SimpleNamespace(session=SimpleNamespace(users=users)) for users in ({"a": 1, "b": 2}, {})]
    for server in world.servers:
        server.connections = sessions
        server.counters.rejected["stale"] += 2
        server.counters.closed["idle"] += 1
        server.counters.connections["accepted"] += 3
        server.counters.parse_errors["json"] += 4
        server.counters.bans += 5
    status = world.status
    assert (status.connections, status.workers, status.bans) == (4, 4, 10)
    assert status.shares_rejected == {"stale": 4} and status.closed_reasons == {"idle": 2}
    assert status.connection_results == {"accepted": 6} and status.parse_errors == {"json": 8}


def test_status_has_a_job_age_after_the_first_job_only(world):
    assert world.status.job_age_s is None
    world.jobs.jobs_sent, world.jobs.sent_at = 1, 45.0
    assert world.status.job_age_s == 5.0


def test_status_counts_the_segments_on_disk_even_while_one_is_deleted(world, monkeypatch):
    for number in range(3):
        (world.folder / f"{number}.log").write_bytes(b"x" * 10)
    assert world.status.spool_bytes == 30
    (world.folder / "gone.log").symlink_to(world.folder / "nowhere")  # listed, and not there when asked
    assert world.status.spool_bytes == 30


def test_live_status_tells_of_the_blocks_it_leads(world):
    leading = BlockLeading("alpha", lambda: [])
    leading.results.update(accepted=3, inconclusive=1, rejected=2)
    world.status.leading = {"alpha": leading}
    assert shown(world, "regbtc").leading is None
    assert shown(world, "alpha").leading == LeadingStatus(ready=False, led=4, refused=2)
    leading.problem = ""
    assert shown(world, "alpha").leading == LeadingStatus(ready=True, led=4, refused=2)
