"""A header goes out once per chain, and an auxiliary block is not flooded with proofs."""

from __future__ import annotations

from pool.blocks import solve_gate
from pool.blocks.solve_gate import MAX_IN_FLIGHT, MAX_REFUSED, SolveGate

HEADER = bytes(32)
BLOCK = b"\x01" * 32


def header(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_gate_lets_a_header_out_once_per_chain():
    gate = SolveGate()
    assert gate.enter("regbtc", HEADER, None)
    assert not gate.enter("regbtc", HEADER, None)
    assert gate.enter("alpha", HEADER, BLOCK)
    assert not gate.enter("alpha", HEADER, BLOCK)


def test_gate_holds_back_the_fourth_proof_of_one_block():
    gate = SolveGate()
    results = [gate.enter("alpha", header(i), BLOCK) for i in range(MAX_IN_FLIGHT + 1)]
    assert results == [True] * MAX_IN_FLIGHT + [False]
    assert gate.enter("alpha", header(50), b"\x02" * 32), "another block of the chain is not concerned"


def test_gate_closes_a_block_with_its_first_accepted_proof():
    gate = SolveGate()
    gate.enter("alpha", header(1), BLOCK)
    gate.leave("alpha", BLOCK, closes=True)
    assert not gate.enter("alpha", header(2), BLOCK)


def test_gate_admits_another_proof_after_a_refused_one():
    gate = SolveGate()
    for i in range(MAX_IN_FLIGHT):
        gate.enter("alpha", header(i), BLOCK)
    gate.leave("alpha", BLOCK, closes=False)
    assert gate.enter("alpha", header(9), BLOCK)


def test_gate_does_not_limit_parent_blocks():
    gate = SolveGate()
    assert all(gate.enter("regbtc", header(i), None) for i in range(20))


def test_gate_forgets_the_oldest_headers_first(monkeypatch):
    monkeypatch.setattr(solve_gate, "MAX_REMEMBERED", 2)
    gate = SolveGate()
    for i in range(3):
        gate.enter("regbtc", header(i), None)
    assert not gate.enter("regbtc", header(1), None) and not gate.enter("regbtc", header(2), None)
    assert gate.enter("regbtc", header(0), None)


def test_gate_counts_the_proofs_under_way_down_one_by_one():
    assert MAX_IN_FLIGHT == 3, "the number that is promised"
    gate = SolveGate()
    for i in range(3):
        gate.enter("alpha", header(i), BLOCK)
    gate.leave("alpha", BLOCK, closes=False)
    gate.leave("alpha", BLOCK, closes=False)
    assert [gate.enter("alpha", header(i), BLOCK) for i in range(10, 13)] == [True, True, False]


def test_gate_gives_up_on_a_block_whose_proofs_are_always_refused():
    """A broken child with an easy target would otherwise cost a call to its node, and a log line, per share."""
    gate = SolveGate()
    for i in range(MAX_REFUSED):
        assert gate.enter("alpha", header(i), BLOCK)
        gate.leave("alpha", BLOCK, closes=False)
    assert not gate.enter("alpha", header(99), BLOCK)
    assert gate.enter("alpha", header(99), b"\x02" * 32), "the next block is asked about again"


def test_gate_holds_nothing_of_a_block_that_was_answered(monkeypatch):
    monkeypatch.setattr(solve_gate, "MAX_REMEMBERED", 4)
    gate = SolveGate()
    for i in range(100):
        block = i.to_bytes(32, "little")
        gate.enter("alpha", header(i), block)
        gate.leave("alpha", block, closes=bool(i % 2))
    assert not gate._in_flight
    assert max(len(gate._submitted), len(gate._closed), len(gate._refused)) <= 4
