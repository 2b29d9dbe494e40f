"""One block against its credits, its transfers and its shares. Pure: what the books hold comes in, findings go out.

Each thing is held against the most original record of it, so that one fault is told where it is: transfers against
the credits, amounts against the reward and the weights, weights against the shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pool.accounting.split import fee_of, largest_remainder
from pool.audit.finding import Finding
from pool.audit.terms import CreditTerms
from pool.ledger import income, loss
from pool.ledger.account import SUSPENSE_UNEXPLAINED
from pool.ledger.transfer import LedgerError, TransferGroup
from pool.storage.audit_views import StoredBlock, StoredCredit
from pool.storage.audit_window import RebuiltWindow


def subject_of(block: StoredBlock) -> str:
    return f"{block.chain} block {block.hash_hex}"


def unexplained_of(credited: TransferGroup | None) -> int:
    """What a credit group left to suspense."""
    if credited is None:
        return 0
    return sum(
        transfer.amount * ((transfer.credit == SUSPENSE_UNEXPLAINED) - (transfer.debit == SUSPENSE_UNEXPLAINED))
        for transfer in credited.transfers
    )


def check_credits(block: StoredBlock, credits: Sequence[StoredCredit], unexplained: int) -> list[Finding]:
    """I6, and that credits are of the block's own chain and readable."""
    subject, found = subject_of(block), []
    for credit in credits:
        if credit.chain != block.chain:
            found.append(Finding("I6", subject, f"account {credit.account_id} is of the chain {credit.chain}"))
        if not (credit.weight.isascii() and credit.weight.isdigit()):
            found.append(Finding("weights", subject, f"account {credit.account_id}: {credit.weight!r} is no weight"))
    amounts = sum(credit.amount for credit in credits)
    if block.reward is None or block.fee is None:
        if credits:
            found.append(Finding("I6", subject, f"credits of {amounts}, but no reward was ever read"))
    elif amounts + block.fee + unexplained != block.reward:
        text = f"credits {amounts} + fee {block.fee} + unexplained {unexplained} are not the reward {block.reward}"
        found.append(Finding("I6", subject, text))
    return found


def check_groups(
    block: StoredBlock, credits: Sequence[StoredCredit], unexplained: int, stored: Mapping[str, TransferGroup]
) -> list[Finding]:
    """Whether the ledger holds exactly the groups that the block's state demands, with exactly these transfers.

    `stored` are the groups of this block by id. More credit and reinstate groups than orphan ones would be two active
    credits (I5).
    """
    subject, found = subject_of(block), []
    try:
        expected = demanded_groups(block, {credit.account_id: credit.amount for credit in credits}, unexplained)
    except LedgerError as error:
        return [Finding("transfers", subject, f"the credits cannot be transfers: {error}")]
    for group_id in sorted(expected.keys() - stored.keys()):
        found.append(Finding("transfers", subject, f"the state {block.state} demands {group_id}, which is missing"))
    for group_id in sorted(stored.keys() - expected.keys()):
        found.append(Finding("transfers", subject, f"the state {block.state} does not allow {group_id}"))
    for group_id in sorted(expected.keys() & stored.keys()):
        ours, theirs = _by_accounts(expected[group_id]), _by_accounts(stored[group_id])
        for accounts in sorted(ours.keys() | theirs.keys()):
            if ours[accounts] != theirs[accounts]:
                words = f"{theirs[accounts]} from {accounts[0]} to {accounts[1]}, the block demands {ours[accounts]}"
                found.append(Finding("transfers", subject, f"{group_id}: {words}"))
    counts = {"credit": 1, "reinstate": 1, "orphan": -1}
    active = sum(counts.get(group.kind, 0) for group in stored.values())
    if active > 1:
        found.append(Finding("I5", subject, f"{active} credits are active at the same time"))
    return found


def demanded_groups(block: StoredBlock, amounts: Mapping[int, int], unexplained: int) -> dict[str, TransferGroup]:
    """The groups that a block's state and history demand, by id. Raises LedgerError for amounts below zero."""
    if block.reward is None or block.fee is None:
        return {}
    total = block.fee + unexplained + sum(amounts.values())
    event = block.hash_hex
    credited = income.credit(
        block.chain, event, income=total, fee=block.fee, amounts=amounts, unexplained=unexplained
    )
    groups = [credited]
    voided = max(block.orphaned_times, int(block.state == "orphan"))
    for times in range(1, voided + 1):
        groups.append(income.orphan(credited, event, times))
        if times < voided or block.state != "orphan":
            groups.append(income.reinstate(credited, event, times))
    if block.state in ("mature", "lost"):
        groups.append(income.mature(block.chain, event, income=block.reward, amounts=amounts))
    for times in range(1, block.lost_times + 1):
        lost = loss.loss(block.chain, event, times, income=block.reward, fee=block.fee, unexplained=unexplained)
        groups.append(lost)
        if times < block.lost_times or block.state != "lost":
            groups.append(loss.found(lost, event, times))
    return {group.id: group for group in groups}


def check_fee(block: StoredBlock, weighed: bool, terms: CreditTerms) -> list[Finding]:
    """The fee under the terms; a window without any weight earns the pool nothing. Only for credited blocks."""
    assert block.reward is not None
    expected = fee_of(block.reward, terms.fee_ppm) if weighed else 0
    if block.fee == expected:
        return []
    text = f"the fee is {block.fee}, {terms.fee_ppm} ppm of {block.reward} are {expected}"
    return [Finding("fee", subject_of(block), text)]


def check_weights(block: StoredBlock, credits: Sequence[StoredCredit], window: RebuiltWindow) -> list[Finding]:
    """The stored weights against those of the shares."""
    subject, found = subject_of(block), []
    stored = stored_weights(credits)
    for account_id in sorted(stored.keys() | window.weights.keys()):
        ours, theirs = window.weights.get(account_id, 0), stored.get(account_id, 0)
        if ours != theirs:
            found.append(Finding("weights", subject, f"account {account_id}: weight {theirs}, its shares give {ours}"))
    if window.unknown:
        found.append(Finding("weights", subject, f"shares of weight {window.unknown} belong to no account"))
    return found


def shares_are_gone(credits: Sequence[StoredCredit], window: RebuiltWindow) -> bool:
    """Whether removed shares explain that the window weighs less than what was credited."""
    stored = stored_weights(credits)
    if window.complete or window.unknown or window.weights == stored or window.weights.keys() - stored.keys():
        return False
    return all(weight >= window.weights.get(account_id, 0) for account_id, weight in stored.items())


def check_split(
    block: StoredBlock,
    credits: Sequence[StoredCredit],
    unexplained: int,
    terms: CreditTerms | None,
    window: RebuiltWindow | None,
) -> list[Finding]:
    """The amounts, to the unit, as the split of the reward less the fee. Only for credited blocks.

    Amounts that the shares or the stored weights explain are right; which weights are wrong is said elsewhere.
    """
    assert block.reward is not None and block.fee is not None
    amounts = {credit.account_id: credit.amount for credit in credits}
    fee = block.fee
    if terms is not None and fee + unexplained + sum(amounts.values()) != block.reward:
        fee = fee_of(block.reward, terms.fee_ppm)  # which of them is wrong, the terms know
    stored = stored_weights(credits)
    candidates = [stored]
    if window is not None and not window.unknown and window.weights != stored:
        candidates.append(window.weights)
    for weights in candidates:
        expected = _split(block.reward, fee, weights)
        if expected == (amounts, unexplained):
            return []
    found, subject = [], subject_of(block)
    for account_id in sorted(expected[0].keys() | amounts.keys()):
        ours, theirs = expected[0].get(account_id, 0), amounts.get(account_id, 0)
        if ours != theirs:
            found.append(Finding("split", subject, f"account {account_id}: amount {theirs}, the split gives {ours}"))
    if expected[1] != unexplained:
        found.append(Finding("split", subject, f"unexplained {unexplained}, the split leaves {expected[1]}"))
    return found


def stored_weights(credits: Sequence[StoredCredit]) -> dict[int, int]:
    """Account id to weight; 0 for what is no number (told of by check_credits)."""
    return {
        credit.account_id: int(credit.weight) if credit.weight.isascii() and credit.weight.isdigit() else 0
        for credit in credits
    }


def _split(reward: int, fee: int, weights: Mapping[int, int]) -> tuple[dict[int, int], int]:
    if not any(weights.values()):
        return {}, reward
    return largest_remainder(reward - fee, weights), 0


def _by_accounts(group: TransferGroup) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for transfer in group.transfers:
        sums[transfer.debit, transfer.credit] += transfer.amount
    return sums
