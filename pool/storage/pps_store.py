"""PPS in SQL: what bought shares have earned, by account and rate, and what was credited of it.

Accrued in the transaction that stores the shares, so that a share earns exactly once; credited once per account and
hour, from the operator's own money and never more than there is. Everything takes an open connection and leaves the
commit to its caller. The worth is exact: pool/accounting/pps.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from pool.accounting.pps import FOLDED_BITS, affordable, fold, owed, worth
from pool.ledger.account import OPERATOR_AVAILABLE
from pool.ledger.pps import pps_credit
from pool.shares.scheme import PER_SHARE, Counted, Rate, Scheme, read_word
from pool.storage import ledger_store
from pool.storage.database import add_missing
from pool.storage.scheme_tables import pps_accounts, pps_accruals, pps_chains, pps_rates
from pool.storage.tables import accounts, balances

CACHE_LIMIT = 10_000
"""Words of chain sets remembered; a rate changes with a chain's target."""

IN_ROWS = 500

PERIOD_MS = 3_600_000
"""Shares are credited by the hour."""

FOLD_AFTER_MS = 3 * PERIOD_MS
"""A rate that nobody earned at for so long is over: its worth is folded into one number per account. A share that comes
later still makes a row anew.
"""

AccountsOf = Callable[[Connection, str, Sequence[int]], dict[int, int]]
"""Chain and route ids to account ids, which are made when they are missing."""


@dataclass(frozen=True, slots=True)
class PpsStanding:
    """What an account's shares earned on its chain, exactly, and what was credited of it; smallest units."""

    account_id: int
    cumulative: Fraction
    credited: int

    @property
    def owed(self) -> int:
        return owed(self.cumulative, self.credited)


class PpsAccrual:
    """Adds what shares earn. Remembers what words mean and the ids of rates; `forget` after a rolled-back
    transaction.
    """

    def __init__(self) -> None:
        self._bought: dict[tuple[str, ...], tuple[Counted, ...]] = {}
        self._rates: dict[Counted, int] = {}

    def forget(self) -> None:
        self._rates.clear()

    def bought(self, chains: tuple[str, ...]) -> tuple[Counted, ...]:
        """The chains for which a share of this chain set is bought, with the rates."""
        found = self._bought.get(chains)
        if found is None:
            if len(self._bought) >= CACHE_LIMIT:
                self._bought.clear()
            read = (read_word(word) for word in chains if ":" in word)
            found = tuple(counted for counted in read if counted.rate is not None and counted.rate.reward > 0)
            self._bought[chains] = found
        return found

    def accrue(
        self,
        connection: Connection,
        shares: Iterable[tuple[tuple[str, ...], int, int]],
        accounts_of: AccountsOf,
        now_ms: int,
    ) -> None:
        """What newly stored shares earn, each told by its chain set, route id and weight. A solve that came too late is
        no share.
        """
        weights: dict[Counted, dict[int, int]] = {}
        for chains, route_id, weight in shares:
            for counted in self.bought(chains):
                by_route = weights.setdefault(counted, {})
                by_route[route_id] = by_route.get(route_id, 0) + weight
        added: dict[tuple[int, int], int] = {}
        earned: dict[str, int] = {}
        for counted, by_route in weights.items():
            assert counted.rate is not None, "only bought shares get here"
            rate_id = self._rate_id(connection, counted, now_ms)
            owners = accounts_of(connection, counted.chain, sorted(by_route))
            for route_id, weight in by_route.items():
                key = owners[route_id], rate_id
                added[key] = added.get(key, 0) + weight
            worth_of_all = fold([(counted.rate, sum(by_route.values()))])
            earned[counted.chain] = earned.get(counted.chain, 0) + worth_of_all
        _add_weights(connection, added)
        for chain, amount in earned.items():
            _add_earned(connection, chain, amount)
        rate_ids = [self._rates[counted] for counted in weights]
        if rate_ids:
            connection.execute(update(pps_rates).where(pps_rates.c.id.in_(rate_ids)).values(last_ms=now_ms))

    def _rate_id(self, connection: Connection, counted: Counted, now_ms: int) -> int:
        known = self._rates.get(counted)
        if known is not None:
            return known
        rate = counted.rate
        assert rate is not None, "only bought shares get here"
        unique = {
            "chain": counted.chain,
            "scheme": counted.scheme,
            "reward": rate.reward,
            "work": str(rate.work),
            "fee_ppm": rate.fee_ppm,
        }
        add_missing(connection, pps_rates, [unique | {"last_ms": now_ms}])
        query = select(pps_rates.c.id).where(*(pps_rates.c[name] == value for name, value in unique.items()))
        if len(self._rates) >= CACHE_LIMIT:
            self._rates.clear()
        self._rates[counted] = int(connection.execute(query).scalar_one())
        return self._rates[counted]


def reserve(connection: Connection, chain: str) -> int:
    """What the operator has for shares of this chain: his own money that is in the wallet, less what shares have earned
    and were not credited yet. Below zero when they earned more than there is.
    """
    row = connection.execute(select(pps_chains).where(pps_chains.c.chain == chain)).one_or_none()
    uncredited = 0 if row is None else -(-int(row.earned) >> FOLDED_BITS) - row.credited
    return spendable(connection, chain) - max(0, uncredited)


def accounts_owed(connection: Connection, chain: str) -> dict[int, int]:
    """Account id to what may be credited now, on one chain."""
    found = standings(connection, chain)
    return {standing.account_id: standing.owed for standing in found if standing.owed}


def credit(
    connection: Connection, chain: str, amounts: Mapping[int, int], period: int, now_ms: int
) -> dict[int, int]:
    """Credits accounts at most these amounts, at most what they are owed and at most what there is. `period` is the
    hour: an account is credited once in each. Returns what was credited.
    """
    credited: dict[int, int] = {}
    wanted = {
        standing.account_id: min(standing.owed, amounts[standing.account_id])
        for standing in standings(connection, chain, sorted(amounts))
    }
    cover = ledger_store.cover(connection, chain)
    for account_id, amount in affordable(wanted, spendable(connection, chain)).items():
        if not amount:
            continue
        group = pps_credit(chain, account_id, period, amount)
        if ledger_store.post(connection, group, now_ms, cover):
            cover = cover.moved(group)
            credited[account_id] = amount
            row = pps_accounts.c
            add_missing(connection, pps_accounts, [{"account_id": account_id, "folded": "0", "credited": 0}])
            changed = update(pps_accounts).where(row.account_id == account_id)
            connection.execute(changed.values(credited=row.credited + amount))
    if credited:
        total = pps_chains.c
        changed = update(pps_chains).where(total.chain == chain)
        connection.execute(changed.values(credited=total.credited + sum(credited.values())))
    return credited


def fold_rates(connection: Connection, chain: str, now_ms: int) -> int:
    """Folds the rates that are over into one number per account. Returns how many rows went."""
    row = pps_accruals.c
    query = (
        select(row.account_id, row.rate_id, row.weight, pps_rates)
        .join(pps_rates, pps_rates.c.id == row.rate_id)
        .where(pps_rates.c.chain == chain, pps_rates.c.last_ms < now_ms - FOLD_AFTER_MS)
        .order_by(row.account_id)
    )
    found: defaultdict[int, list[tuple[int, Rate, int]]] = defaultdict(list)
    for item in connection.execute(query.limit(IN_ROWS)):
        rate = Rate(item.reward, int(item.work), item.fee_ppm)
        found[item.account_id].append((item.rate_id, rate, int(item.weight)))
    for account_id, items in found.items():
        add_missing(connection, pps_accounts, [{"account_id": account_id, "folded": "0", "credited": 0}])
        known = select(pps_accounts.c.folded).where(pps_accounts.c.account_id == account_id)
        folded = int(connection.execute(known).scalar_one()) + fold((rate, weight) for _, rate, weight in items)
        connection.execute(
            update(pps_accounts).where(pps_accounts.c.account_id == account_id).values(folded=str(folded))
        )
        ids = [rate_id for rate_id, _, _ in items]
        connection.execute(delete(pps_accruals).where(row.account_id == account_id, row.rate_id.in_(ids)))
    return sum(map(len, found.values()))


def standings(
    connection: Connection, chain: str, account_ids: Sequence[int] | None = None
) -> list[PpsStanding]:
    """What the accounts of a chain earned and were credited, by account id; all of them, or these."""
    if account_ids is not None and len(account_ids) > IN_ROWS:
        parts = [account_ids[start : start + IN_ROWS] for start in range(0, len(account_ids), IN_ROWS)]
        return [standing for part in parts for standing in standings(connection, chain, part)]
    accrued: defaultdict[int, list[tuple[Rate, int]]] = defaultdict(list)
    query = select(pps_accruals.c.account_id, pps_accruals.c.weight, pps_rates).join(
        pps_rates, pps_rates.c.id == pps_accruals.c.rate_id
    )
    query = query.where(pps_rates.c.chain == chain)
    known = select(pps_accounts).join(accounts, accounts.c.id == pps_accounts.c.account_id)
    known = known.where(accounts.c.chain == chain)
    if account_ids is not None:
        query = query.where(pps_accruals.c.account_id.in_(account_ids))
        known = known.where(pps_accounts.c.account_id.in_(account_ids))
    for row in connection.execute(query):
        accrued[row.account_id].append((Rate(row.reward, int(row.work), row.fee_ppm), int(row.weight)))
    folded = {row.account_id: (int(row.folded), row.credited) for row in connection.execute(known)}
    found = []
    for account_id in sorted(accrued.keys() | folded.keys()):
        carried, credited = folded.get(account_id, (0, 0))
        found.append(PpsStanding(account_id, worth(accrued[account_id], carried), credited))
    return found


def schemes_of(connection: Connection, chain: str) -> set[Scheme]:
    """The per-share schemes that shares of a chain were ever bought under."""
    names = set(connection.execute(select(pps_rates.c.scheme).where(pps_rates.c.chain == chain)).scalars())
    return {scheme for scheme in PER_SHARE if scheme in names}


def spendable(connection: Connection, chain: str) -> int:
    """What the operator may credit of now: his own money, as far as it is in the wallet and owed to nobody."""
    query = select(balances.c.amount).where(balances.c.chain == chain, balances.c.account == OPERATOR_AVAILABLE)
    own = connection.execute(query).scalar_one_or_none() or 0
    return max(0, min(own, ledger_store.cover(connection, chain).surplus))


def _add_weights(connection: Connection, added: Mapping[tuple[int, int], int]) -> None:
    keys = sorted(added)
    known: dict[tuple[int, int], int] = {}
    row = pps_accruals.c
    rate_ids = sorted({rate_id for _, rate_id in keys})
    account_ids = sorted({account_id for account_id, _ in keys})
    for start in range(0, len(account_ids), IN_ROWS):
        part = account_ids[start : start + IN_ROWS]
        query = select(pps_accruals).where(row.account_id.in_(part), row.rate_id.in_(rate_ids))
        known.update(((item.account_id, item.rate_id), int(item.weight)) for item in connection.execute(query))
    new = [{"account_id": a, "rate_id": r, "weight": str(added[a, r])} for a, r in keys if (a, r) not in known]
    if new:
        connection.execute(insert(pps_accruals), new)
    changed = [
        {"its_account": a, "its_rate": r, "its_weight": str(weight + added[a, r])} for (a, r), weight in known.items()
        if (a, r) in added
    ]  # fmt: skip
    if changed:
        statement = update(pps_accruals).values(weight=bindparam("its_weight"))
        statement = statement.where(row.account_id == bindparam("its_account"), row.rate_id == bindparam("its_rate"))
        connection.execute(statement, changed)


def _add_earned(connection: Connection, chain: str, amount: int) -> None:
    add_missing(connection, pps_chains, [{"chain": chain, "earned": "0", "credited": 0}])
    query = select(pps_chains.c.earned).where(pps_chains.c.chain == chain)
    earned = int(connection.execute(query).scalar_one()) + amount
    connection.execute(update(pps_chains).where(pps_chains.c.chain == chain).values(earned=str(earned)))
