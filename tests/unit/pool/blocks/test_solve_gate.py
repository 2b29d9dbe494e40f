"""A header goes out once per chain, and an auxiliary block is not flooded with proofs."""

from __future__ import annotations

from pool.blocks import solve_gate
from pool.blocks.solve_gate import MAX_IN_FLIGHT, SolveGate

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
    gate.leave("alpha", BLOCK, accepted=True)
    assert not gate.enter("alpha", header(2), BLOCK)


def test_gate_admits_another_proof_after_a_refused_one():
    gate = SolveGate()
    for i in range(MAX_IN_FLIGHT):
        gate.enter("alpha", header(i), BLOCK)
    gate.leave("alpha", BLOCK, accepted=False)
    assert gate.enter("alpha", header(9), BLOCK)


def test_gate_does_not_limit_parent_blocks():
    gate = SolveGate()
    assert all(gate.enter("regbtc", header(i), None) for i in range(20))


def test_gate_forgets_the_oldest_headers_first(monkeypatch):
    monkeypatch.setattr(solve_gate, "MAX_REMEMBERED", 2)
    gate = SolveGate()
    for i in range(3):
        gate.enter("regbtc", header(i), None)
    assert not gate.enter("regbtc", header(2), None)
    assert gate.enter("regbtc", header(0), None)
