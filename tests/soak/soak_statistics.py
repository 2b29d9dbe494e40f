"""What only many miners in virtual time can tell: how soon vardiff is right, whether hashrates keep to their margin.

Miners are Poisson's. Vardiff is the product's own, and so are the books that hashrates are read from.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

from support.verdicts import Verdicts

from pool.shares.record import AccountKey, LoggedShare, Position, Route, ShareRecord
from pool.storage import views
from pool.storage.books import SqlBooks
from pool.storage.database import Database, upgrade
from stratum.vardiff import Vardiff

INTERVAL_S = 4.0  # the default of a port
START = 1_000_000.0  # so large that no rounding to three digits shows
SLOWEST, FASTEST = 1e-3, 1e5  # of miners, against what the start is right for
WITHIN = 0.25
WITHIN_S = 180.0
SEARCHED_S = 200.0
PART = 0.95
FALSE_AN_HOUR = 1.0
Z_95 = 1.96
NOW_MS = 1_700_000_000_000
FIVE_MINUTES_S, HOUR_S = 300.0, 3600.0
UNIT = 2**32  # hashes of difficulty 1
MARGIN = 0.01  # 95 ± 1 %


def mine(vardiff: Vardiff, rate: float, until_s: float, chance: random.Random) -> Iterator[tuple[float, float]]:
    """A miner of so much work a second, from time 0 on: (time, difficulty) of its shares. Retargets are immediate."""
    now, sweep = 0.0, 1.0
    while True:
        share = now + chance.expovariate(rate / vardiff.assigned)
        now = min(share, sweep)
        if now >= until_s:
            return
        if share < sweep:
            worth = vardiff.assigned
            yield now, worth
            moved = vardiff.share(worth, now)
        else:
            sweep += 1.0
            moved = vardiff.silent(now)
        if moved:
            vardiff.assign(vardiff.wanted, now)


def _vardiff(start: float = START) -> Vardiff:
    return Vardiff(start, START * 1e-9, START * 1e9, INTERVAL_S, 0.0)


def retargets(verdicts: Verdicts, miners: int = 1000, settled: int = 200) -> None:
    """vardiff's error after three minutes, and how often it moves who is right."""
    verdicts.say(f"vardiff: {miners} miners of {SLOWEST:g} to {FASTEST:g} times the start")
    chance = random.Random(24)
    errors: list[float] = []
    steps: list[int] = []
    for _ in range(miners):
        speed = math.exp(chance.uniform(math.log(SLOWEST), math.log(FASTEST)))
        vardiff = _vardiff()
        for _ in mine(vardiff, START * speed / INTERVAL_S, WITHIN_S, chance):
            pass
        errors.append(abs(vardiff.wanted / (START * speed) - 1))
        steps.append(vardiff.retargets)
    errors.sort()
    right = sum(error <= WITHIN for error in errors) / miners
    verdicts.at_least(f"vardiff: within ±25 % of its target after {WITHIN_S:g} s", 100 * right, 100 * PART, " %")
    verdicts.figure("vardiff: error that 95 % keep to", f"{100 * errors[int(PART * miners)]:.0f} %")
    verdicts.figure("vardiff: retargets until then", f"mean {sum(steps) / miners:.1f}, most {max(steps)}")
    moves = 0
    for _ in range(settled):
        vardiff = _vardiff()
        at_work = 0
        for at, _ in mine(vardiff, START / INTERVAL_S, SEARCHED_S + HOUR_S, chance):
            if at < SEARCHED_S:
                at_work = vardiff.retargets
        moves += vardiff.retargets - at_work
    verdicts.at_most("vardiff: retargets an hour of who is settled", moves / settled, FALSE_AN_HOUR)


def hashrates(verdicts: Verdicts, folder: Path, workers: int = 1000, hour_workers: int = 100) -> None:
    """The hashrates of the last five minutes and of the hour as the API shows them, and vardiff's own estimate."""
    verdicts.say(f"hashrates: {workers} workers")
    chance = random.Random(25)
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'hashrates.sqlite'}"
    upgrade(url)
    database = Database(url)
    try:
        five = _read(SqlBooks(database, "five"), database, "five", workers, FIVE_MINUTES_S, chance)
        hour = _read(SqlBooks(database, "hour"), database, "hour", hour_workers, HOUR_S, chance)
    finally:
        database.close()
    for name, found in (("of five minutes", five), ("of an hour", hour)):
        # The bar leaves room for chance: of so many workers the part inside varies by itself.
        room = MARGIN + 2 * math.sqrt(PART * (1 - PART) / len(found))
        inside = sum(error <= 1.0 for error in found) / len(found)
        verdicts.at_least(f"hashrate {name}: inside 1.96/√n", 100 * inside, round(100 * (PART - room), 1), " %")
        verdicts.at_most(f"hashrate {name}: not suspiciously often", 100 * inside, round(100 * (PART + room), 1), " %")


def _read(
    books: SqlBooks, database: Database, address: str, workers: int, span_s: float, chance: random.Random
) -> list[float]:
    """Errors of the workers' hashrates in units of 1.96/√n."""
    batch: list[LoggedShare] = []
    truth: dict[str, tuple[float, float]] = {}
    route = Route(address.encode().rjust(16), address, {"parent": AccountKey("miner", address.encode().hex(), address)})
    warm_s = 600.0
    for number in range(workers):
        speed = math.exp(chance.uniform(math.log(0.1), math.log(10)))
        rate = START * speed / INTERVAL_S
        vardiff, worker = _vardiff(START * speed), f"w{number}"
        weights: list[float] = []
        for at, difficulty in mine(vardiff, rate, warm_s + span_s, chance):
            if at <= warm_s:
                continue
            weights.append(difficulty)
            time_ms = NOW_MS - round(1000 * (warm_s + span_s - at))
            batch.append(_share(len(batch) + 1, time_ms, worker, int(difficulty * UNIT), address, route))
        effective = sum(weights) ** 2 / sum(weight * weight for weight in weights)
        truth[worker] = (rate * UNIT, Z_95 / math.sqrt(effective))
    for start in range(0, len(batch), 5000):
        part = batch[start : start + 5000]
        books.store_shares(part, part[-1].position, NOW_MS)
    key = "hashrate_5m" if span_s == FIVE_MINUTES_S else "hashrate_1h"
    with database.read() as connection:
        shown: dict[str, int] = {}
        found = views.miner(connection, address, NOW_MS, NOW_MS - round(1000 * span_s))
        assert found is not None
        for worker in found["workers"]:
            shown[worker["name"]] = worker[key]
    assert len(shown) > 0.9 * workers
    return [abs(hashrate / truth[name][0] - 1) / truth[name][1] for name, hashrate in shown.items()]


def _share(sequence: int, time_ms: int, worker: str, weight: int, name: str, route: Route) -> LoggedShare:
    header_hash = (name.encode() + sequence.to_bytes(8, "big")).ljust(32)
    record = ShareRecord(
        sequence=sequence, time_ms=time_ms, route=route.digest, worker=worker, weight=weight, chains=("parent",),
        header_hash=header_hash, stale=False, solved=(),
    )  # fmt: skip
    return LoggedShare(Position(1, 100 * sequence), record, route)
