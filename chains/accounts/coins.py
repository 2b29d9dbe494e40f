"""An account seen as coins, so that the books of payouts, which know coins, hold for accounts too.

Everything an account was given is a coin: the rewards of a block together, and what a transfer of somebody else's
brought. A transfer of ours takes the coins that its batch names and makes one of what is left over: its change. The
chain knows nothing of this. It keeps a balance and counts transfers, and by that count (the nonce) two transfers
exclude each other; so it is the books that say which coins a transfer took, and the balance says whether they are
right:

    coins + what is missing = balance

*Missing* is what transfers of ours took, by the books, over what is there: a reorganisation can take a coin from the
account that a transfer took before, and the transfer stands all the same as long as the rest of the balance covers it.
It is less than nothing when such a coin is back and what was missing of the change meanwhile was left to it. A transfer
that took something and is none of ours can only be made with the account's key; with one of those nothing can be told
in coins any more. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chains.primitives.hashes import sha256d
from chains.wallet import Coin, Outpoint

NONCE_TAG = b"parapool/nonce"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an account's history: `block` is what the pool knows the block by that holds it (natural order), `id`
    the transfer's, None for a reward; `amount` is negative for what left, fee included. `own_id` is the block's own id
    where the pool goes by another, that of the consensus proof."""

    height: int
    block: bytes
    id: bytes | None
    amount: int
    own_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What a transfer of ours took, coin by coin with amounts, and the coin that it made of the rest, if any."""

    taken: tuple[tuple[Outpoint, int], ...]
    change: tuple[Outpoint, int] | None = None


@dataclass(frozen=True, slots=True)
class AccountCoins:
    """`coins` are those that can be spent, in outpoint order; what is `missing` (or more than that there, if negative)
    is off the newest change among them. `strangers` are the lines of transfers that took something and are none of
    ours."""

    coins: tuple[Coin, ...]
    missing: int
    strangers: tuple[Line, ...]

    @property
    def balance(self) -> int:
        """What the account has to have for this to be true. Only without strangers."""
        return sum(coin.amount for coin in self.coins)


def coins_of(
    lines: Sequence[Line], spends: Mapping[bytes, Spend], *, script: bytes, height: int, maturity: int
) -> AccountCoins:
    """The coins of an account at a height. `lines` are its whole history, oldest first; `spends` are our transfers by
    id, whether or not the chain has them; a reward can be spent once it has more confirmations than `maturity`."""
    found: dict[Outpoint, Coin] = {}
    made: list[Coin] = []
    taken: dict[Outpoint, int] = {}
    strangers: list[Line] = []
    for line in lines:
        confirmations = height - line.height + 1
        if line.amount < 0:
            spend = spends.get(line.id) if line.id is not None else None
            if spend is None:
                strangers.append(line)
                continue
            taken.update(spend.taken)
            if spend.change is not None:
                made.append(Coin(*spend.change, script, confirmations, False))
            continue
        if line.id is None and confirmations <= maturity:
            continue
        outpoint = Outpoint(line.block if line.id is None else line.id, 0)
        before = found[outpoint].amount if outpoint in found else 0
        found[outpoint] = Coin(outpoint, before + line.amount, script, confirmations, line.id is None)
    there = found | {coin.outpoint: coin for coin in made}
    missing = sum(taken.values()) - sum(there[outpoint].amount for outpoint in taken if outpoint in there)
    left = _less([coin for coin in there.values() if coin.outpoint not in taken], made, missing)
    return AccountCoins(tuple(sorted(left, key=lambda coin: coin.outpoint)), missing, tuple(strangers))


def _less(coins: Iterable[Coin], made: Sequence[Coin], missing: int) -> list[Coin]:
    """The coins less what is missing: off the newest change first, because all that a transfer takes goes through it;
    then off the largest."""
    left = {coin.outpoint: coin for coin in coins}
    newest = [coin.outpoint for coin in reversed(made) if coin.outpoint in left]
    largest = sorted(left, key=lambda outpoint: (-left[outpoint].amount, outpoint))
    for outpoint in dict.fromkeys((*newest, *largest)):
        if not missing:
            break
        coin = left.pop(outpoint)
        off = min(missing, coin.amount)  # all of it where it is negative
        missing -= off
        if coin.amount > off:
            left[outpoint] = Coin(outpoint, coin.amount - off, coin.script, coin.confirmations, coin.coinbase)
    return list(left.values())


def nonce_name(chain_id: bytes, script: bytes, nonce: int) -> Outpoint:
    """The name of an account's turn to send: what two transfers of one nonce exclude each other by. No coin has it."""
    return Outpoint(sha256d(NONCE_TAG + chain_id + script), nonce)
