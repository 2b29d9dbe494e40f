"""What the books must hold, computed a second time by other code, and read out of the database without the product's.

The model remembers what happened: which shares were appended and answered, which blocks were found and recorded, what
the chain is. From that follow windows, splits and balances. Nothing here imports the product.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


class Violation(AssertionError):
    """A promise was broken."""


UNFIT = (TypeError, AttributeError, NameError)
"""What a planted mistake raises by itself when it no longer fits the code that it is planted in."""


def is_found(run: Callable[[], object]) -> bool:
    """Whether a run finds something wrong, by the oracle or in the code. UNFIT is passed on: it finds nothing."""
    try:
        run()
    except UNFIT:
        raise
    except Exception:
        return True
    return False


@dataclass(frozen=True, slots=True)
class AccountName:
    """Who is owed: as the login said it."""

    kind: str
    script_hex: str


@dataclass(slots=True)
class ShareFact:
    """A share that was appended. `words` are those of its record, a chain's bare name when it counts for the chain's
    windows; `solved` are (chain, displayed hash).
    """

    sequence: int
    time_ms: int
    route: bytes
    weight: int
    words: tuple[str, ...]
    header_hash: bytes
    stale: bool
    solved: tuple[tuple[str, str], ...]
    answered: bool = False

    def scheme(self, chain: str) -> str:
        """What the share counts under on a chain."""
        for word in self.words:
            name, _, rest = word.partition(":")
            if name == chain:
                return rest.partition(":")[0] or "pplns"
        raise AssertionError(f"the share does not count for {chain}")


@dataclass(slots=True)
class SolveFact:
    """A block that was found. `recorded`: its record was durable, so it must never be lost. `sequence` is that of the
    solving share, 0 when the log had stopped; `scheme` is what that counted under.
    """

    chain: str
    hash_hex: str
    sequence: int
    found_ms: int
    work: int
    scheme: str = "pplns"
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """A chain's terms: the oracle's own copy."""

    fee_ppm: int
    factor: Fraction
    window_min_ms: int
    maturity: int


@dataclass(slots=True)
class Model:
    """Everything that happened in a run. `accounts` gives, by route and chain, who earns."""

    rules: dict[str, Rules]
    accounts: dict[bytes, dict[str, AccountName]]
    shares: dict[int, ShareFact] = field(default_factory=dict)
    solves: dict[tuple[str, str], SolveFact] = field(default_factory=dict)
    rewards: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class ExpectedSplit:
    fee: int
    amounts: dict[AccountName, int]
    unexplained: int
    operator: int = 0


def expected_window(model: Model, stored: list[int], solve: SolveFact) -> dict[AccountName, int]:
    """Weights by account: from the solve back over the larger of the bounds; the solver's alone under SOLO."""
    rules = model.rules[solve.chain]
    if solve.scheme == "solo":
        share = model.shares[solve.sequence]
        return {model.accounts[share.route][solve.chain]: share.weight}
    last = solve.sequence or max((s for s in stored if model.shares[s].time_ms <= solve.found_ms), default=0)
    newest = model.shares.get(last) if last in stored else None
    end_ms = newest.time_ms if newest is not None else solve.found_ms
    bound = int(solve.work * rules.factor)
    weights: Counter[AccountName] = Counter()
    left = bound
    for sequence in sorted((s for s in stored if s <= last), reverse=True):
        share = model.shares[sequence]
        recent = share.time_ms >= end_ms - rules.window_min_ms
        solves = (solve.chain, solve.hash_hex) in share.solved
        if not solves and (share.stale or solve.chain not in share.words):
            continue
        counted = share.weight if recent else min(share.weight, max(left, 0))
        left -= counted
        if counted or solves:
            weights[model.accounts[share.route][solve.chain]] += counted
    return dict(weights)


def expected_split(
    reward: int, fee_ppm: int, weights: Mapping[AccountName, int], ids: Mapping[AccountName, int], scheme: str
) -> ExpectedSplit:
    """Largest remainder, by fractions; the smaller account id wins a tie. A block whose shares were bought is the
    operator's.
    """
    if scheme == "pps":
        return ExpectedSplit(0, {}, 0, reward)
    total = sum(weights.values())
    if total == 0:
        return ExpectedSplit(0, {}, reward)
    fee = int(Fraction(reward * fee_ppm, 1_000_000))
    rest = reward - fee
    exact = {name: Fraction(rest * weight, total) for name, weight in weights.items()}
    amounts = {name: int(value) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: (amounts[name] - exact[name], ids[name]))
    for name in order[: rest - sum(amounts.values())]:
        amounts[name] += 1
    return ExpectedSplit(fee, amounts, 0)


class Reading:
    """The database as it is now, as plain values."""

    def __init__(self, path: str) -> None:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            read = connection.execute
            self.shares = read(
                "SELECT s.sequence, s.time_ms, r.digest, s.weight, c.names, s.header_hash, s.stale FROM shares s"
                " JOIN routes r ON r.id = s.route_id JOIN chain_sets c ON c.id = s.chain_set_id"
            ).fetchall()
            self.accounts = {
                (chain, AccountName(kind, script)): row_id
                for row_id, chain, kind, script in read("SELECT id, chain, kind, script_hex FROM accounts")
            }
            self.blocks = read(
                "SELECT id, chain, hash_hex, height, state, reward, fee, orphaned_times, lost_times FROM blocks"
            ).fetchall()
            self.places: dict[int, tuple[str, int]] = {
                row_id: (container, index)
                for row_id, container, index in read("SELECT id, container_hash_hex, event_index FROM blocks")
                if container is not None
            }
            self.credits: dict[int, dict[int, int]] = {}
            for block_id, account_id, amount in read("SELECT block_id, account_id, amount FROM credits"):
                self.credits.setdefault(block_id, {})[account_id] = amount
            self.balances = {
                (chain, account): amount
                for chain, account, amount in read("SELECT chain, account, amount FROM balances")
                if amount
            }
            self.groups = {row[0] for row in read("SELECT id FROM transfer_groups")}
            self.transfers = read("SELECT group_id, chain, debit, credit, amount FROM transfers ORDER BY id").fetchall()
        finally:
            connection.close()


def check(model: Model, path: str, chains: Mapping[str, Any]) -> Reading:
    """What must hold at any moment, whatever is under way. `chains` answer `best_confirmations(hash)`. Raises
    Violation.
    """
    reading = Reading(path)
    _check_shares(model, reading)
    stored = [row[0] for row in reading.shares]
    splits: dict[int, ExpectedSplit] = {}
    for row in reading.blocks:
        _check_block(model, reading, stored, row, splits, chains[row[1]])
        chain = chains[row[1]]
        early = row[4] == "mature" and chain.best_confirmations(_block_of(reading, row)) < chain.maturity
        demand(not early, f"{row[1]} block {row[2][-6:]} is mature before its time")
    _check_balances(reading, splits)
    return reading


def _block_of(reading: Reading, row: tuple[Any, ...]) -> str:
    """The block that a row hangs on: itself, or the one that has the vote."""
    return reading.places[row[0]][0] if row[0] in reading.places else str(row[2])


def _check_shares(model: Model, reading: Reading) -> None:
    seen: set[bytes] = set()
    for sequence, time_ms, digest, weight, names, header_hash, stale in reading.shares:
        fact = model.shares.get(sequence)
        demand(fact is not None, f"share {sequence} is stored and was never appended")
        assert fact is not None
        told = (fact.time_ms, fact.route, fact.weight, ",".join(sorted(fact.words)), fact.header_hash, int(fact.stale))
        demand(told == (time_ms, digest, weight, names, header_hash, stale), f"share {sequence} is not as it was")
        demand(header_hash not in seen, f"share {sequence} counts twice")
        seen.add(header_hash)


def _check_block(
    model: Model,
    reading: Reading,
    stored: list[int],
    row: tuple[Any, ...],
    splits: dict[int, ExpectedSplit],
    its_chain: Any,
) -> None:
    block_id, chain, hash_hex, height, state, reward, fee, orphaned, lost = row
    name = f"{chain} block {hash_hex[-6:]} {state}"
    solve = model.solves.get((chain, hash_hex.partition(".")[0]))
    demand(solve is not None, f"{name}: nobody found it")
    assert solve is not None
    credits = reading.credits.get(block_id, {})
    if reward is None:
        demand(not credits, f"{name}: credits without a reward")
        demand(state in ("submitted", "rejected", "orphan"), f"{name}: no reward")
        return
    place = reading.places.get(block_id)
    pays = model.rewards[chain, hash_hex] if place is None else its_chain.pays(*place)
    demand(reward == pays, f"{name}: reward {reward} is not the {pays} that its block pays")
    if place is not None:
        demand(its_chain.contents[place[0]][place[1]][0] == solve.hash_hex, f"{name}: another vote is at {place}")
    weights = {} if solve.scheme == "pps" else expected_window(model, stored, solve)
    ids = {account: reading.accounts[chain, account] for account in weights}
    split = splits[block_id] = expected_split(reward, model.rules[chain].fee_ppm, weights, ids, solve.scheme)
    expected = {ids[account]: amount for account, amount in split.amounts.items()}
    demand(credits == expected, f"{name}: credits {credits}, the shares give {expected}")
    demand(fee == split.fee, f"{name}: fee {fee}, expected {split.fee}")
    given = sum(credits.values()) + fee + split.operator + split.unexplained
    demand(given == reward, f"{name}: {given} does not add up to {reward}")
    event = f"{chain}:{hash_hex}"
    demanded = {f"credit:{event}"}
    voided = max(orphaned, int(state == "orphan"))
    demanded |= {f"orphan:{event}:{k}" for k in range(1, voided + 1)}
    demanded |= {f"reinstate:{event}:{k}" for k in range(1, voided + (state != "orphan"))}
    if state in ("mature", "lost"):
        demanded.add(f"mature:{event}")
    demanded |= {f"loss:{event}:{k}" for k in range(1, lost + 1)}
    demanded |= {f"found:{event}:{k}" for k in range(1, lost + (state != "lost"))}
    kinds = ("credit", "orphan", "reinstate", "mature", "loss", "found")
    own = {f"{kind}:{event}" for kind in kinds}
    there = {group for group in reading.groups if group in own or group.rpartition(":")[0] in own}
    demand(there == demanded, f"{name}: groups {sorted(there ^ demanded)} are missing or too many")
    demand(height >= 0, f"{name}: height {height}")


def _check_balances(reading: Reading, splits: Mapping[int, ExpectedSplit]) -> None:
    """The stored balances against the blocks' states and what operators and payouts moved."""
    expected: Counter[tuple[str, str]] = Counter()
    for block_id, chain, hash_hex, _, state, reward, fee, _, lost in reading.blocks:
        if reward is None or state in ("orphan", "rejected", "submitted"):
            continue
        credits = reading.credits.get(block_id, {})
        unexplained, operator = splits[block_id].unexplained, splits[block_id].operator
        part = "immature" if state == "immature" else "available"
        for account_id, amount in credits.items():
            expected[chain, f"liab.{account_id}.{part}"] += amount
        expected[chain, f"equity.operator.{part}"] += operator
        if state == "lost":
            expected[chain, "equity.loss"] -= sum(credits.values()) + operator
            _add_borne(expected, reading, chain, f"{chain}:{hash_hex}:{lost}")
            continue
        expected[chain, "asset.immature" if state == "immature" else "asset.wallet"] += reward
        expected[chain, "income.fee"] += fee
        expected[chain, "suspense.unexplained"] += unexplained
    for group, chain, debit, credit, amount in reading.transfers:
        if group.partition(":")[0] in ("deposit", "fund", "reserve", "settle", "void"):
            move(expected, chain, debit, credit, amount)
    wanted = {key: amount for key, amount in expected.items() if amount}
    if wanted != reading.balances:
        told = reading.balances
        keys = sorted(key for key in wanted.keys() | told.keys() if wanted.get(key) != told.get(key))
        words = ", ".join(f"{key} is {told.get(key, 0)}, expected {wanted.get(key, 0)}" for key in keys[:6])
        raise Violation(f"balances: {words}")
    for (chain, account), amount in reading.balances.items():
        if account.startswith("liab.") or account == "asset.immature":
            demand(amount >= 0, f"{chain} {account} is {amount}")


def _add_borne(expected: Counter[tuple[str, str]], reading: Reading, chain: str, loss: str) -> None:
    """What the operator and the miners have borne of a loss that is open."""
    borne = 0
    for group, _, debit, credit, amount in reading.transfers:
        if group in (f"absorb:{loss}", f"clawback:{loss}"):
            move(expected, chain, debit, credit, amount)
            borne += amount
    taken = sum(t[4] for t in reading.transfers if t[0] == f"loss:{loss}" and t[2] == "equity.loss")
    demand(borne <= taken, f"{loss}: {borne} was borne of {taken}")


def move(balances: Counter[tuple[str, str]], chain: str, debit: str, credit: str, amount: int) -> None:
    for account, change in ((debit, amount), (credit, -amount)):
        balances[chain, account] += change if account.startswith(("asset.", "expense.")) else -change


def check_quiet(model: Model, reading: Reading, chains: Mapping[str, Any]) -> None:
    """What must hold when all is told and every node says the truth. `chains` answer `confirmations(hash)`."""
    stored = {row[5] for row in reading.shares}
    for fact in model.shares.values():
        if fact.answered:
            demand(fact.header_hash in stored, f"share {fact.sequence} was answered and is lost")
    rows = {(row[1], row[2]): row for row in reading.blocks}
    for (name, hash_hex), solve in model.solves.items():
        row = rows.get((name, hash_hex))
        demand(row is not None or not solve.recorded, f"{name} block {hash_hex[-6:]} was recorded and is lost")
        if row is None:
            continue
        if hasattr(chains[name], "votes"):
            continue  # votes_oracle.py
        chain, state = chains[name], row[4]
        confirmations = chain.confirmations(hash_hex)
        matured = f"mature:{name}:{hash_hex}" in reading.groups
        if confirmations >= chain.maturity:
            allowed = {"mature"}
        elif confirmations:
            allowed = {"mature"} if matured else {"immature"}
        elif matured:
            allowed = {"lost"}
        else:
            # Nothing speaks against a block above the tip, or at it, that no node knows.
            allowed = {"orphan", "rejected"} | ({"submitted"} if row[3] >= chain.height else set())
        text = f"{name} block {hash_hex[-6:]} is {state} with {confirmations} confirmations, expected {sorted(allowed)}"
        demand(state in allowed, text)


def demand(holds: bool, text: str) -> None:
    if not holds:
        raise Violation(text)
