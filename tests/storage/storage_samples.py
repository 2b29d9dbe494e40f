"""Shares and blocks to fill the books with."""

from __future__ import annotations

from typing import Any

from pool.blocks.solution_store import SolutionRecord
from pool.shares.record import AccountKey, LoggedShare, Position, Route, ShareRecord

TARGET_OF_100 = 2**256 // 100 - 1
"""A target whose work is 100 expected hashes."""


def header_hash(number: int) -> bytes:
    return number.to_bytes(32, "little")


def block_hash_hex(number: int) -> str:
    return f"{number:064x}"


def make_route(parent: str, **aux: str) -> Route:
    """A login of `parent` on regbtc with auxiliary addresses; alpha and beta are held where none is given."""
    accounts = {"regbtc": AccountKey("miner", f"00{parent.encode().hex()}", parent)}
    for chain in ("alpha", "beta"):
        if chain in aux:
            accounts[chain] = AccountKey("miner", f"00{aux[chain].encode().hex()}", aux[chain])
        else:
            accounts[chain] = AccountKey("held", f"00{parent.encode().hex()}", parent)
    return Route((parent + repr(sorted(aux.items()))).encode().ljust(16)[-16:], parent, accounts)


def logged(sequence: int, route: Route, **options: Any) -> LoggedShare:
    values: dict[str, Any] = {
        "sequence": sequence,
        "time_ms": 1000 * sequence,
        "route": route.digest,
        "worker": "rig",
        "weight": 10,
        "chains": ("regbtc", "alpha", "beta"),
        "header_hash": header_hash(sequence),
        "stale": False,
        "solved": (),
    }
    return LoggedShare(Position(1, 100 * sequence), ShareRecord(**(values | options)), route)


def solution(chain: str, number: int, sequence: int, **options: Any) -> SolutionRecord:
    values: dict[str, Any] = {
        "chain": chain,
        "block_hash_hex": block_hash_hex(number),
        "height": number,
        "payload": {"block": "00"},
        "nodes": ["node"],
        "share_sequence": sequence,
        "found_ms": 1000 * sequence,
        "reward_hint": None,
        "stale": False,
        "target_hex": f"{TARGET_OF_100:064x}",
        "share_weight": 10,
    }
    return SolutionRecord(**(values | options))
