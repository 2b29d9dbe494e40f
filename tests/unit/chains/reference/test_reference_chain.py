"""The block tree: best chain, reorganising, persistence, the pace of blocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains.primitives.header import Header
from chains.primitives.script import height_push
from chains.primitives.target import bits_to_target, work_of
from chains.primitives.transaction import TxOut
from chains.reference.block import PlainForm
from chains.reference.difficulty import LEAST_TARGET, next_bits
from chains.reference.node import ReferenceNode, TooHardError
from chains.reference.rules import Rules, retargeting_bits, target_of_work
from chains.reference.store import Record, RecordKind, Store, StoreError, read_records

Bench = Any


def _state(node: ReferenceNode) -> tuple[bytes, int, dict[Any, Any], int]:
    coins = dict(node.chain.coins.items())
    return node.chain.tip.hash, node.chain.tip.height, coins, len(node.mempool)


def test_reference_chain_more_work_wins_and_brings_coins_back(bench: Bench) -> None:
    bench.fund(3)
    node = bench.node
    before = dict(node.chain.coins.items())
    ours = bench.block()
    rival = bench.block()
    assert node.submit(ours) is None
    assert node.submit(rival) == "inconclusive"
    node.chain.invalidate(node.chain.get(ours.header.hash))
    assert node.chain.tip.hash == rival.header.hash
    child = bench.block()
    node.chain.reconsider(node.chain.get(ours.header.hash))
    assert node.chain.tip.hash == ours.header.hash  # of equal work the first wins again
    assert node.submit(child) is None
    assert node.chain.tip.hash == child.header.hash
    assert len(node.chain.coins) == len(before) + 2


def test_reference_chain_branch_that_breaks_a_rule_leaves_the_tip(bench: Bench) -> None:
    bench.fund(12)
    node = bench.node
    fork = node.chain.tip
    spend = node.wallet.pay([TxOut(1000, b"\x51")])
    bad = bench.mined(node.build_block(b"\x51", transactions=[spend, spend]))
    bench.node.generate(1, b"\x51")
    tip, coins = node.chain.tip, dict(node.chain.coins.items())
    assert node.submit(bad) == "inconclusive"  # Core does not look at a side branch's coins either
    child = bench.header(node.build_block(b"\x51", transactions=()), previous_hash=bad.header.hash)
    assert child.coinbase.inputs[0].script_sig.startswith(height_push(fork.height + 2))
    assert node.submit(child) == "bad-txns-inputs-missingorspent"
    assert node.chain.tip is tip
    assert dict(node.chain.coins.items()) == coins
    assert node.submit(child) == "duplicate-invalid"


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_reference_chain_reorganise(bench: Bench, depth: int) -> None:
    bench.fund(12)
    node = bench.node
    node.send([TxOut(1000, b"\x51")])
    bench.fund(2)
    assert len(node.mempool) == 0
    old = [node.chain.at(height) for height in range(node.chain.tip.height - depth + 1, node.chain.tip.height + 1)]
    height = node.chain.tip.height
    hashes = node.reorganise(depth)
    assert len(hashes) == depth + 1
    assert node.chain.tip.height == height + 1
    assert [node.chain.at(height - depth + 1 + i).hash for i in range(depth + 1)] == hashes
    assert not any(node.chain.is_active(entry) for entry in old)
    assert all(entry.failed is None for entry in old)
    assert len(node.mempool) == (1 if depth > 1 else 0)  # the payment's block was the last but one
    assert node.submit(bench.block()) is None


def test_reference_chain_reorganise_keeps_the_pace_of_bits(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(start_bits=retargeting_bits(2**10), block_interval_s=6, max_target=target_of_work(2**8))
    for seconds in (2, 2, 30, 2, 2, 2, 1, 1, 2):
        bench.clock.now_s += seconds
        bench.node.generate(1, b"\x51")
    bench.node.advance(1, b"\x51")
    work = bench.node.chain.tip.work
    bits = bench.node.chain.tip.header.bits
    assert len({bench.node.chain.at(height).header.bits for height in range(4, 10)}) == 6
    bench.node.reorganise(5)
    assert bench.node.chain.tip.work > work
    assert bench.node.chain.tip.parent.header.bits == bits


@pytest.mark.parametrize("depth", [0, -1, 4])
def test_reference_chain_reorganise_refuses_impossible_depth(bench: Bench, depth: int) -> None:
    bench.fund(3)
    tip = bench.node.chain.tip
    with pytest.raises(ValueError, match=r"depth|only"):
        bench.node.reorganise(depth)
    assert bench.node.chain.tip is tip


def test_reference_chain_is_the_same_after_a_restart(bench: Bench) -> None:
    bench.fund(12)
    node = bench.node
    loser = bench.block()
    bench.fund(1)
    assert node.submit(loser) == "inconclusive"
    node.send([TxOut(1000, b"\x51")])
    node.reorganise(2)
    node.invalidate(node.chain.tip)
    fresh = node.new_address()
    before = _state(node)
    node = bench.restart()
    assert _state(node) == before
    assert node.chain.get(loser.header.hash) is not None
    assert node.new_address() != fresh
    assert node.submit(bench.block()) is None
    node.reorganise(1)
    again = _state(node)
    assert _state(bench.restart()) == again


def test_reference_store_cuts_a_torn_tail(bench: Bench) -> None:
    bench.fund(4)
    bench.node.close()
    path = bench.directory / "chain.log"
    whole = path.read_bytes()
    records, good = read_records(whole)
    assert good == len(whole)
    assert len(records) == 5
    for cut in (1, 5, 60):
        path.write_bytes(whole[:-cut])
        bench.node = ReferenceNode(bench.rules, PlainForm(), bench.directory, bench.clock)
        assert bench.node.chain.tip.height == 3
        bench.node.close()
    path.write_bytes(whole[:-10] + bytes([whole[-10] ^ 1]) + whole[-9:])
    bench.node = ReferenceNode(bench.rules, PlainForm(), bench.directory, bench.clock)
    assert bench.node.chain.tip.height == 3
    bench.fund(1)
    assert bench.restart().chain.tip.height == 4


def test_reference_store_belongs_to_one_chain_and_one_process(tmp_path: Path) -> None:
    first = Store(tmp_path, b"\x01" * 32)
    with pytest.raises(StoreError, match="in use"):
        Store(tmp_path, b"\x01" * 32)
    first.append(Record(RecordKind.ADDRESS, 1, b"\x21\x00\x00\x00"))
    first.close()
    with pytest.raises(StoreError, match="another chain"):
        Store(tmp_path, b"\x02" * 32)
    again = Store(tmp_path, b"\x01" * 32)
    assert [record.kind for record in again.records] == [RecordKind.IDENTITY, RecordKind.ADDRESS]
    again.close()


def test_reference_chain_is_deterministic(make_bench: Callable[..., Bench]) -> None:
    one, other = make_bench(), make_bench()
    for bench in (one, other):
        bench.fund(12)
        bench.node.trickle()
        bench.fund(1)
    assert one.node.chain.tip.hash == other.node.chain.tip.hash
    assert make_bench(seed="other").node.chain.tip.hash != make_bench().node.chain.tip.hash


def test_reference_chain_does_not_mine_what_is_dear(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(start_bits=retargeting_bits(2**20), max_target=target_of_work(2**16))
    with pytest.raises(TooHardError):
        bench.node.generate(1, b"\x51")
    assert len(bench.node.advance(2, b"\x51")) == 2


def _next(rules: Rules, bits: int, time_s: int, before_s: int | None, nonce: int = 0) -> int:
    return next_bits(rules, Header(4, bytes(32), bytes(32), time_s, bits, nonce), before_s)


@pytest.mark.parametrize("hashrate", [2**18, 2**14, 2**24])
def test_reference_difficulty_finds_the_wanted_interval(hashrate: int) -> None:
    """Blocks of a Poisson miner, from a start that is up to a hundredfold wrong."""
    rules = Rules("n", "s", start_bits=retargeting_bits(), block_interval_s=6, max_target=target_of_work(2**12))
    chance = random.Random(hashrate)
    bits, now, times = rules.start_bits, 1_800_000_000.0, [1_800_000_000]
    for _ in range(400):
        now += chance.expovariate(hashrate / work_of(bits_to_target(bits)))
        times.append(int(now))
        bits = _next(rules, bits, times[-1], times[-2])
    assert 4.5 < (times[400] - times[150]) / 250 < 8


def test_reference_difficulty_steps_are_bounded() -> None:
    rules = Rules("n", "s", start_bits=retargeting_bits(), block_interval_s=6, max_target=target_of_work(2**16))
    target = bits_to_target(rules.start_bits)
    after_a_night = bits_to_target(_next(rules, rules.start_bits, 100_000, 0))
    assert 2.8 < after_a_night / target < 3
    at_once = bits_to_target(_next(rules, rules.start_bits, 5, 9))
    assert 0.89 < at_once / target < 0.91
    assert _next(rules, rules.start_bits, 100_000, None) == rules.start_bits
    easy = hard = rules.start_bits
    for _ in range(1000):
        easy, hard = _next(rules, easy, 100_000, 0), _next(rules, hard, 0, 0)
    assert rules.max_target * 0.99 < bits_to_target(easy) <= rules.max_target
    assert bits_to_target(hard) == LEAST_TARGET
    assert bits_to_target(_next(rules, hard, 12, 0)) > LEAST_TARGET


def test_reference_difficulty_ignores_blocks_without_work(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(start_bits=retargeting_bits(2**10), block_interval_s=6, max_target=target_of_work(2**8))
    bench.node.advance(200, b"\x51")
    assert bench.node.chain.next_bits(bench.node.chain.tip) == bench.rules.start_bits
