"""One block against its credits, its transfers and its shares. Pure: what the books hold comes in, findings go out.

Each thing is held against the most original record of it, so that one fault is told where it is: transfers against
the credits, amounts against the reward and the weights, weights against the shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pool.accounting.split import fee_of, largest_remainder
from pool.audit.finding import Finding
from pool.ledger import income, loss
from pool.ledger.transfer import LedgerError, TransferGroup
from pool.shares.scheme import PER_SHARE
from pool.storage.audit_views import StoredBlock, StoredCredit
from pool.storage.audit_window import RebuiltWindow
from pool.storage.income_store import IncomeEvent


def subject_of(block: StoredBlock) -> str:
    return f"{block.chain} block {block.hash_hex}"


def check_block(block: StoredBlock, events: Sequence[IncomeEvent], credits: Sequence[StoredCredit]) -> list[Finding]:
    """I6 over all events of a block: together they are what its coinbase pays us; each credit is of one of them."""
    subject, found = subject_of(block), []
    indexes = {event.index for event in events}
    strays = sum(credit.amount for credit in credits if credit.event_index not in indexes)
    if (block.reward is None or block.fee is None) and (events or credits):
        amounts = sum(credit.amount for credit in credits)
        found.append(Finding("I6", subject, f"credits of {amounts}, but no reward was ever read"))
    elif strays:
        found.append(Finding("I6", subject, f"credits of {strays} are of no income event"))
    if events:
        for word, whole in (("reward", block.reward), ("fee", block.fee)):
            if whole != _sum(events, word):
                found.append(Finding("I6", subject, f"the {word} is {whole}, its events have {_sum(events, word)}"))
    return found


def check_place(block: StoredBlock) -> list[Finding]:
    """A vote is credited in a place, and its rows are named by it; nothing else has one."""
    subject = subject_of(block)
    vote, container = block.vote_hash_hex, block.container_hash_hex
    if (vote is None) != (container is None) or (vote is None and block.event_index):
        return [Finding("place", subject, f"vote {vote} at {block.event_index} of block {container}")]
    if vote is None:
        return []
    number = block.hash_hex.removeprefix(vote)
    if number and not (number[0] == "." and number[1:].isdigit()):
        return [Finding("place", subject, f"the row's name is not that of its vote {vote}")]
    if block.reward is None:
        return [Finding("place", subject, "the vote has a place and was never credited")]
    return []


def check_event(block: StoredBlock, event: IncomeEvent, credits: Sequence[StoredCredit]) -> list[Finding]:
    """I6 of one event, and that its credits are of the block's own chain and readable."""
    subject, found = subject_of(block), []
    for credit in credits:
        if credit.chain != block.chain:
            found.append(Finding("I6", subject, f"account {credit.account_id} is of the chain {credit.chain}"))
        if not (credit.weight.isascii() and credit.weight.isdigit()):
            found.append(Finding("weights", subject, f"account {credit.account_id}: {credit.weight!r} is no weight"))
    amounts = sum(credit.amount for credit in credits)
    if amounts != event.divided:
        text = (
            f"credits {amounts} + fee {event.fee} + operator {event.operator} + unexplained {event.unexplained}"
            f" are not the reward {event.reward}"
        )
        found.append(Finding("I6", subject, text))
    return found


def check_groups(
    block: StoredBlock,
    events: Sequence[IncomeEvent],
    credits: Sequence[StoredCredit],
    stored: Mapping[str, TransferGroup],
) -> list[Finding]:
    """Whether the ledger holds exactly the groups that the block's state demands, with exactly these transfers.

    `stored` are the groups of this block by id. More credit and reinstate groups than orphan ones would be two active
    credits (I5).
    """
    subject, found = subject_of(block), []
    try:
        expected = demanded_groups(block, events, credits)
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
    if active > max(1, len(events)):
        found.append(Finding("I5", subject, f"{active} credits are active at the same time"))
    return found


def demanded_groups(
    block: StoredBlock, events: Sequence[IncomeEvent], credits: Sequence[StoredCredit]
) -> dict[str, TransferGroup]:
    """The groups that a block's state and history demand, by id. Raises LedgerError for amounts below zero."""
    groups: list[TransferGroup] = []
    for event in events:
        amounts = {credit.account_id: credit.amount for credit in credits if credit.event_index == event.index}
        groups += _event_groups(block, event, amounts)
    if block.reward is not None and block.fee is not None:
        unexplained = _sum(events, "unexplained")
        for times in range(1, block.lost_times + 1):
            lost = loss.loss(
                block.chain, block.hash_hex, times, income=block.reward, fee=block.fee, unexplained=unexplained
            )
            groups.append(lost)
            if times < block.lost_times or block.state != "lost":
                groups.append(loss.found(lost, block.hash_hex, times))
    return {group.id: group for group in groups}


def _event_groups(block: StoredBlock, event: IncomeEvent, amounts: Mapping[int, int]) -> list[TransferGroup]:
    name = income.event_name(block.hash_hex, event.index)
    credited = income.credit(
        block.chain,
        name,
        income=event.fee + event.operator + event.unexplained + sum(amounts.values()),
        fee=event.fee,
        amounts=amounts,
        unexplained=event.unexplained,
        operator=event.operator,
    )
    groups = [credited]
    voided = max(block.orphaned_times, int(block.state == "orphan"))
    for times in range(1, voided + 1):
        groups.append(income.orphan(credited, name, times))
        if times < voided or block.state != "orphan":
            groups.append(income.reinstate(credited, name, times))
    if block.state in ("mature", "lost"):
        groups.append(
            income.mature(block.chain, name, income=event.reward, amounts=amounts, operator=event.operator)
        )
    return groups


def check_scheme(block: StoredBlock, event: IncomeEvent, window: RebuiltWindow) -> list[Finding]:
    """The event was credited by the scheme of its solve."""
    if window.scheme in (None, event.scheme):
        return []
    return [Finding("scheme", subject_of(block), f"credited as {event.scheme}, its solve counted as {window.scheme}")]


def check_fee(block: StoredBlock, event: IncomeEvent, weighed: bool, fee_ppm: int) -> list[Finding]:
    """The fee under the terms; a window without any weight earns the pool nothing, nor does the operator's block."""
    expected = fee_of(event.reward, fee_ppm) if weighed else 0
    if event.fee == expected:
        return []
    text = f"the fee is {event.fee}, {fee_ppm} ppm of {event.reward} are {expected}"
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
    event: IncomeEvent,
    credits: Sequence[StoredCredit],
    fee_ppm: int | None,
    window: RebuiltWindow | None,
) -> list[Finding]:
    """The amounts, to the unit, as the split of the reward less the fee.

    Amounts that the shares or the stored weights explain are right; which weights are wrong is said elsewhere.
    """
    amounts = {credit.account_id: credit.amount for credit in credits}
    fee = event.fee
    if fee_ppm is not None and sum(amounts.values()) != event.divided:
        fee = fee_of(event.reward, fee_ppm)  # which of them is wrong, the terms know
    stored = stored_weights(credits)
    candidates = [stored]
    if window is not None and not window.unknown and window.weights != stored:
        candidates.append(window.weights)
    for weights in candidates:
        expected = _split(event, fee, weights)
        if expected == (amounts, event.unexplained, event.operator):
            return []
    found, subject = [], subject_of(block)
    for account_id in sorted(expected[0].keys() | amounts.keys()):
        ours, theirs = expected[0].get(account_id, 0), amounts.get(account_id, 0)
        if ours != theirs:
            found.append(Finding("split", subject, f"account {account_id}: amount {theirs}, the split gives {ours}"))
    if expected[1] != event.unexplained:
        found.append(Finding("split", subject, f"unexplained {event.unexplained}, the split leaves {expected[1]}"))
    if expected[2] != event.operator:
        found.append(Finding("split", subject, f"operator {event.operator}, the split gives {expected[2]}"))
    return found


def stored_weights(credits: Sequence[StoredCredit]) -> dict[int, int]:
    """Account id to weight; 0 for what is no number (told of by check_credits)."""
    return {
        credit.account_id: int(credit.weight) if credit.weight.isascii() and credit.weight.isdigit() else 0
        for credit in credits
    }


def _split(event: IncomeEvent, fee: int, weights: Mapping[int, int]) -> tuple[dict[int, int], int, int]:
    """Amounts by account, what is unexplained, and the operator's part."""
    if event.scheme in PER_SHARE:
        return {}, 0, event.reward
    if not any(weights.values()):
        return {}, event.reward, 0
    return largest_remainder(event.reward - fee, weights), 0, 0


def _sum(events: Sequence[IncomeEvent], name: str) -> int:
    return sum(int(getattr(event, name)) for event in events)


def _by_accounts(group: TransferGroup) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for transfer in group.transfers:
        sums[transfer.debit, transfer.credit] += transfer.amount
    return sums
