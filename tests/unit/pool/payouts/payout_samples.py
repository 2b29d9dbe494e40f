"""Accounts, coins and terms to plan payouts with."""

from __future__ import annotations

from typing import Any

from chains.families import network
from chains.primitives.address import script_to_address
from chains.primitives.transaction import Transaction, TxIn, parse_transaction
from chains.wallet import Coin, Outpoint
from pool.payouts.batch import Batch, BatchKind, BatchState, BuiltBatch, FeePolicy, Payout
from pool.payouts.plan import Claim
from pool.payouts.terms import PayoutTerms

FORM = network("bitcoin", "regtest").addresses
CHANGE = b"\x00\x14" + b"\xcc" * 20


def script_of(number: int) -> bytes:
    return b"\x00\x14" + number.to_bytes(20, "big")


def address_of(number: int) -> str:
    address = script_to_address(script_of(number), FORM)
    assert address is not None
    return address


def make_terms(**options: Any) -> PayoutTerms:
    values: dict[str, Any] = {"chain": "alpha", "addresses": FORM, "minimum_payout": 10_000, "maturity": 100}
    return PayoutTerms(**(values | options))


def make_claim(number: int, available: int, **options: Any) -> Claim:
    values = {"kind": "miner", "address": address_of(number), "script": script_of(number)}
    return Claim(number, available=available, **(values | options))


def make_payout(number: int, gross: int, **options: Any) -> Payout:
    return Payout(f"p{number}", number, address_of(number), script_of(number), gross, **options)


def outpoint(number: int, vout: int = 0) -> Outpoint:
    return Outpoint(number.to_bytes(32, "big"), vout)


def make_coin(number: int, amount: int, **options: Any) -> Coin:
    values = {"script": script_of(10_000 + number), "confirmations": 200, "coinbase": False}
    return Coin(outpoint(number), amount, **(values | options))


def sign(raw: bytes) -> bytes:
    """Signs as a wallet with P2WPKH coins does, as far as the bytes' form goes."""
    unsigned = parse_transaction(raw)
    witness = (b"\x30" * 72, b"\x02" * 33)
    inputs = tuple(TxIn(i.previous_txid, i.previous_index, b"", i.sequence, witness) for i in unsigned.inputs)
    return Transaction(unsigned.version, inputs, unsigned.outputs, unsigned.lock_time).serialize()


def make_batch(state: BatchState, built: BuiltBatch | None = None, **options: Any) -> Batch:
    values: dict[str, Any] = {
        "id": "b1",
        "chain": "alpha",
        "kind": BatchKind.PAYOUT,
        "state": state,
        "fee_policy": FeePolicy.POOL,
        "payouts": (make_payout(1, 50_000),),
        "created_ms": 0,
        "updated_ms": 0,
        "built": built,
        "raw": b"raw" if state not in (BatchState.PLANNED, BatchState.BUILT) else None,
    }
    return Batch(**(values | options))
