"""What a daemon's answer to a submitted proof means, for every auxiliary kind."""

from __future__ import annotations

from typing import Any

import pytest

from chains import proof_verdict
from chains.kind import SubmitResult
from chains.node_rpc import NodeUnavailableError, RpcError


@pytest.mark.parametrize(
    ("answer", "result", "reason"),
    [
        (None, SubmitResult.ACCEPTED, ""),
        ("duplicate", SubmitResult.DUPLICATE, "duplicate"),
        ("rejected: duplicate", SubmitResult.DUPLICATE, "duplicate"),
        ("inconclusive", SubmitResult.INCONCLUSIVE, "inconclusive"),
        ("high-hash", SubmitResult.REJECTED, "high-hash"),
        ("rejected: high-hash", SubmitResult.REJECTED, "high-hash"),
        ("", SubmitResult.REJECTED, ""),
    ],
)
def test_proof_verdict_of_an_answer(answer: Any, result: SubmitResult, reason: str) -> None:
    verdict = proof_verdict.of_answer(answer)
    assert (verdict.result, verdict.reason) == (result, reason)


@pytest.mark.parametrize("answer", [True, False, 0, 1, {}, [], ["duplicate"]])
def test_proof_verdict_of_another_answer_is_an_outage(answer: Any) -> None:
    with pytest.raises(NodeUnavailableError, match="no verdict"):
        proof_verdict.of_answer(answer)


@pytest.mark.parametrize(
    ("code", "message", "result"),
    [
        (-8, "block hash unknown", SubmitResult.STALE),
        (-8, "Block hash Unknown", SubmitResult.STALE),
        (-8, "invalid block hash hex", SubmitResult.REJECTED),
        *((code, "unknown", SubmitResult.REJECTED) for code in (-1, -3, -5, -22, -25, -26, -27, -32602)),
    ],
)
def test_proof_verdict_of_an_error_that_judges_the_proof(code: int, message: str, result: SubmitResult) -> None:
    verdict = proof_verdict.of_error("submitauxblock", RpcError(code, message))
    assert (verdict.result, verdict.reason) == (result, message)


@pytest.mark.parametrize("code", [-32601, -32603, -32700, -28, -20, -10, -9, -7, -4, -2, 0, 1])
def test_proof_verdict_of_any_other_error_is_an_outage(code: int) -> None:
    with pytest.raises(NodeUnavailableError, match=r"submitauxblock: why \("):
        proof_verdict.of_error("submitauxblock", RpcError(code, "why"))
