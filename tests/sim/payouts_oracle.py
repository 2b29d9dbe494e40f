"""Payouts judged by what is in the chain and what the tables say, read without the product's code.

The chain tells what every script got; the model tells what every account was credited. Between them nothing may be
missing and nothing may be there twice.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sim_oracle import Violation, demand, move


class PayoutReading:
    """The tables of the books as plain values."""

    def __init__(self, path: str) -> None:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            read = connection.execute
            self.accounts: dict[int, str] = dict(read("SELECT id, script_hex FROM accounts").fetchall())
            self.balances: dict[str, int] = dict(read("SELECT account, amount FROM balances").fetchall())
            self.transfers = read("SELECT group_id, chain, debit, credit, amount FROM transfers ORDER BY id").fetchall()
            self.groups = {row[0] for row in read("SELECT id FROM transfer_groups")}
            self.payouts = read("SELECT id, batch_id, account_id, gross, state, net, fee_part FROM payouts").fetchall()
            self.batches = read("SELECT id, kind, state, txid, fee, pool_fee, raw FROM payout_batches").fetchall()
            self.holds = read("SELECT cause, reason FROM chain_holds WHERE released_ms IS NULL").fetchall()
            self.coins = read("SELECT txid, vout, amount, source, spent_batch_id FROM wallet_coins").fetchall()
        finally:
            connection.close()


def check_payouts(path: str, chain: Any, credited: Mapping[str, int]) -> PayoutReading:
    """What must hold at any moment. `chain` is the fake wallet, `credited` the sum per script (hex) of all credits.
    Raises Violation.
    """
    reading = PayoutReading(path)
    rebuilt: Counter[tuple[str, str]] = Counter()
    for _, name, debit, credit, amount in reading.transfers:
        move(rebuilt, name, debit, credit, amount)
    ours = {account: amount for (_, account), amount in rebuilt.items() if amount}
    kept = {account: amount for account, amount in reading.balances.items() if amount}
    demand(ours == kept, f"balances {kept} are not what the transfers give, {ours}")
    for account, amount in kept.items():
        demand(amount >= 0 or not account.startswith("liab."), f"{account} is {amount}")
    given = Counter({script: sum(amounts) for script, amounts in _paid(chain, waiting=True).items()})
    for script, amount in given.items():
        demand(amount <= credited.get(script, 0), f"{script} gets {amount} and was credited {credited.get(script, 0)}")
    _check_groups(reading)
    return reading


def _check_groups(reading: PayoutReading) -> None:
    """Every payout is reserved, and then settled or void, never both."""
    for payout_id, _, account_id, _, state, net, _ in reading.payouts:
        if account_id is None:
            continue
        is_there = {kind: f"{kind}:alpha:{payout_id}" in reading.groups for kind in ("reserve", "settle", "void")}
        undone = f"unsettle:alpha:{payout_id}" in reading.groups
        demand(is_there["reserve"], f"payout {payout_id} was never reserved")
        settled = is_there["settle"] and not undone
        demand(not (settled and is_there["void"]), f"payout {payout_id} is settled and void")
        demand(settled == (state == "settled"), f"payout {payout_id} is {state}, settled in the ledger: {settled}")
        demand(is_there["void"] == (state == "void"), f"payout {payout_id} is {state}")
        demand(state != "settled" or net is not None, f"payout {payout_id} is settled with nothing")


def check_paid(reading: PayoutReading, chain: Any, credited: Mapping[str, int], stolen: int) -> None:
    """What must hold when nothing is under way any more: paid + owed + fees is what was credited, for everybody; and
    the ledger's wallet is the chain's, to the unit.
    """
    paid = _paid(chain, waiting=False)
    fees: Counter[str] = Counter()
    for _, _, account_id, _, state, _, fee_part in reading.payouts:
        if state == "settled" and account_id is not None:
            fees[reading.accounts[account_id]] += fee_part or 0
    for account_id, script in reading.accounts.items():
        owed = reading.balances.get(f"liab.{account_id}.available", 0)
        reserved = reading.balances.get(f"liab.{account_id}.reserved", 0)
        got = sum(paid.get(script, []))
        exact = got + owed + reserved + fees[script] == credited.get(script, 0)
        words = f"{script}: paid {paid.get(script, [])}, owed {owed} + {reserved}, fees {fees[script]}"
        demand(exact, f"{words}, credited {credited.get(script, 0)}")
    wallet, held = reading.balances.get("asset.wallet", 0), chain.holds()
    cold = sum(amount for _, _, amount, source, spent in reading.coins if source == "cold" and spent is None)
    demand(wallet == held + cold + stolen, f"the ledger's wallet is {wallet}, the chain's {held} + {cold} + {stolen}")
    settled = [txid for _, _, state, txid, *_ in reading.batches if state == "settled"]
    there = {transaction.txid for transaction in chain.confirmed()}
    for txid in settled:
        demand(txid in there, "a settled transaction is not in the chain")


def _paid(chain: Any, *, waiting: bool) -> dict[str, list[int]]:
    """Amounts by script (hex) of everything that miners' scripts got."""
    found: dict[str, list[int]] = {}
    transactions = [*chain.confirmed(), *(chain.mempool.values() if waiting else ())]
    for transaction in transactions:
        for output in transaction.outputs:
            if output.script[:3] == b"\x00\x14\x00":
                found.setdefault(output.script.hex(), []).append(output.amount_sat)
    return found


__all__ = ["PayoutReading", "Violation", "check_paid", "check_payouts"]
