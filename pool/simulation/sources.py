"""Where a simulation's shares come from: the share log, the export of a block, or nowhere at all (a seed).

A miner is told by the address that earns on the chain; shares that count for the chain under any scheme are taken.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pool.shares.log_segment import CorruptShareLog, whole_length
from pool.shares.record import LoggedShare, Position
from pool.shares.scheme import counted_for
from pool.shares.share_log_reader import ShareLogReader
from pool.simulation.world import SimulatedShare

EXPORTED_SHARES = 20_000
"""An export tells weights, not shares: so many equal ones are made of them."""


class NoSharesError(Exception):
    """There are no shares to be had here; in words for people."""


def from_log(directory: Path, chain: str | None) -> list[SimulatedShare]:
    """The shares of a share log's folder, oldest first, for one chain (None: the first one there is). The log may be in
    use; what a writer has not finished is left out. Raises NoSharesError.
    """
    try:
        numbers = sorted(int(path.stem) for path in directory.glob("*.log") if path.stem.isdigit())
        if not numbers:
            raise NoSharesError(f"{directory} holds no segment of a share log")
        last = directory / f"{numbers[-1]:08d}.log"
        reader = ShareLogReader(directory, lambda: Position(numbers[-1], whole_length(last)))
        logged = list(reader.read_from(Position(0, 0)))
    except (CorruptShareLog, OSError) as error:
        raise NoSharesError(str(error)) from error
    if chain is None and logged:
        chain = logged[0].share.chains[0].partition(":")[0]
    shares = [_share(item, chain) for item in logged if chain is not None and _counts(item, chain)]
    if not shares:
        raise NoSharesError(f"{directory} holds no shares of {chain or 'any chain'}")
    return shares


def from_export(path: Path, chance: random.Random) -> list[SimulatedShare]:
    """Shares by the weights of an exported block (`pool ledger export`), a second apart. Raises NoSharesError."""
    try:
        export = json.loads(path.read_text("utf-8"))
        weights = {_name(row["address"], bool(row["held"])): int(row["weight"]) for row in export["credits"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoSharesError(f"{path} is no export of a block in JSON: {error}") from error
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise NoSharesError(f"{path}: nobody earned from this block")
    weight = max(1, total // EXPORTED_SHARES)
    return _shuffled({miner: max(1, its // weight) for miner, its in weights.items() if its}, weight, chance)


def synthetic(miners: int, share_count: int, chance: random.Random) -> list[SimulatedShare]:
    """Miners of which each has two thirds of the one before, with so many equal shares in all."""
    parts = {f"miner-{number:02d}": (2 / 3) ** number for number in range(1, miners + 1)}
    whole = sum(parts.values())
    counts = {miner: max(1, round(share_count * part / whole)) for miner, part in parts.items()}
    return _shuffled(counts, 1_000_000, chance)


def _shuffled(counts: dict[str, int], weight: int, chance: random.Random) -> list[SimulatedShare]:
    order = [miner for miner, count in counts.items() for _ in range(count)]
    chance.shuffle(order)
    return [SimulatedShare(1000 * place, miner, weight) for place, miner in enumerate(order)]


def _counts(logged: LoggedShare, chain: str) -> bool:
    return not logged.share.stale and counted_for(logged.share.chains, chain) is not None


def _share(logged: LoggedShare, chain: str | None) -> SimulatedShare:
    assert chain is not None, "only shares of a chain are taken"
    share, key = logged.share, logged.route.account(chain)
    solved = any(name == chain for name, _ in share.solved)
    return SimulatedShare(share.time_ms, _name(key.address, key.kind == "held"), share.weight, solved)


def _name(address: str, held: bool) -> str:
    return f"{address} (held)" if held else address


def described(shares: Sequence[SimulatedShare]) -> dict[str, Any]:
    """What there is, for the first line of the output."""
    return {
        "shares": len(shares),
        "miners": len({share.miner for share in shares}),
        "weight": sum(share.weight for share in shares),
        "solves": sum(share.solved for share in shares),
    }
