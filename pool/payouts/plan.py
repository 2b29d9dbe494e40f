"""Who is paid: the accounts of one chain that are owed enough, in the order in which they are paid.

A row that cannot be paid (frozen, held, an address that is none) never stands in the way of another one: it is passed
over with its reason, and a bad address is quarantined until somebody gives a good one. Pure; ids are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chains.primitives.address import AddressError, address_to_script
from pool.payouts.batch import Payout
from pool.payouts.sizes import dust_limit
from pool.payouts.terms import PayoutTerms


class Passed(StrEnum):
    """Why an account is passed over this time."""

    BELOW_MINIMUM = "below_minimum"
    FROZEN = "frozen"
    HELD = "held"  # credited under another chain's address: somebody has to claim it first
    QUARANTINED = "quarantined"
    BAD_ADDRESS = "bad_address"  # found now: to be quarantined


@dataclass(frozen=True, slots=True)
class Claim:
    """What one account may be paid. `minimum` is the account's own wish, None for the pool's; `kind` is miner or held;
    `script` is what the account stands for, None when the address was given later and stands for itself.
    """

    account_id: int
    kind: str
    address: str
    script: bytes | None
    available: int
    minimum: int | None = None
    frozen: bool = False
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The payouts, largest first, and everybody who was passed over, with the words for a quarantine's reason. How many
    of them the coins can pay, and a transaction may have, is another question (pool/payouts/compose.py).
    """

    payouts: tuple[Payout, ...]
    passed: tuple[tuple[Claim, Passed, str], ...]

    @property
    def total(self) -> int:
        return sum(payout.gross for payout in self.payouts)


def plan(claims: Sequence[Claim], terms: PayoutTerms, new_id: Callable[[], str]) -> Plan:
    """The whole available balance of every account that may be paid. The largest come first, so that a cap or a short
    wallet keeps the smaller ones waiting, and those are the largest next time; the smaller account id wins a tie.
    """
    wanted: list[Payout] = []
    passed: list[tuple[Claim, Passed, str]] = []
    for claim in sorted(claims, key=lambda claim: (-claim.available, claim.account_id)):
        reason, words, script = _judge(claim, terms)
        if reason is not None:
            passed.append((claim, reason, words))
            continue
        minimum = least_amount(script, claim.minimum, terms)
        wanted.append(Payout(new_id(), claim.account_id, claim.address, script, claim.available, minimum))
    return Plan(tuple(wanted), tuple(passed))


def least_amount(script: bytes, own_minimum: int | None, terms: PayoutTerms) -> int:
    """The least that may arrive at a script: never less than the pool's minimum or dust, whatever the miner wishes."""
    return max(terms.minimum_payout, own_minimum or 0, dust_limit(script, terms.dust))


def is_due(now_ms: int, last_planned_ms: int | None, terms: PayoutTerms) -> bool:
    """Whether the schedule wants a batch: the interval has passed since the last one was planned. A clock that went
    back does not stop payouts for longer than one interval.
    """
    return last_planned_ms is None or abs(now_ms - last_planned_ms) >= terms.interval_ms


def _judge(claim: Claim, terms: PayoutTerms) -> tuple[Passed | None, str, bytes]:
    if claim.kind != "miner":
        return Passed.HELD, "", b""
    if claim.frozen:
        return Passed.FROZEN, "", b""
    if claim.available <= 0 or claim.available < max(terms.minimum_payout, claim.minimum or 0):
        return Passed.BELOW_MINIMUM, "", b""
    if claim.quarantined:
        return Passed.QUARANTINED, "", b""
    try:
        script = address_to_script(claim.address, terms.addresses)
    except AddressError as error:
        return Passed.BAD_ADDRESS, str(error), b""
    if claim.script is not None and script != claim.script:
        return Passed.BAD_ADDRESS, "the address stands for another script than the account", b""
    if claim.available < least_amount(script, claim.minimum, terms):
        return Passed.BELOW_MINIMUM, "", b""
    return None, "", script
