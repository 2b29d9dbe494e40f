"""The audit of the books: everything that can be computed a second time is, and compared to the unit.

First the ledger by itself, in one pass over all transfers; then each block with its credits, transfers and shares. It
reads one snapshot and writes nothing, so it may run beside the pool.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pool.audit import block_checks, closing_checks, payout_checks, pps_checks, share_checks
from pool.audit.finding import Finding, shortened
from pool.audit.terms import TermsBook, terms_of
from pool.ledger.account import grows_by_debit, never_negative
from pool.ledger.solvency import cover_of, payout_obstacle
from pool.ledger.transfer import CORRECTIONS, TransferGroup, imbalance, lessens_result
from pool.progress import Tell, silent
from pool.storage import audit_views, income_store, ledger_links, ledger_store
from pool.storage.audit_views import StoredBlock, StoredCredit, StoredTransfer
from pool.storage.audit_window import rebuilt_window
from pool.storage.income_store import IncomeEvent

BLOCK_KINDS = ("credit", "mature", "orphan", "reinstate", "loss", "found")
LIABILITY = re.compile(r"liab\.([0-9]+)\.(immature|available|reserved)", re.ASCII)
OTHER_ACCOUNT = re.compile(r"(asset|income|expense|equity|suspense)\.[a-z_.]+", re.ASCII)
TOLD_TRANSFERS = 1000


@dataclass(slots=True)
class AuditReport:
    """Findings (something is wrong), notes (something could not be checked) and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        words = ("chains", "groups", "transfers", "balances", "blocks", "credited", "recomputed", "credits", "closings")
        return " ".join(f"{word}={self.counts[word]}" for word in words)


def audit(connection: Connection, terms: TermsBook, tell: Tell = silent) -> AuditReport:
    """Audits all books in the connection's snapshot. `tell` is told how far it is."""
    report = AuditReport()
    rebuilt = _check_transfers(connection, report, tell)
    _check_balances(connection, report, rebuilt)
    events = _check_group_names(connection, report)
    _check_heights(connection, report)
    blocks = audit_views.all_blocks(connection)
    gone: Counter[str] = Counter()
    for number, block in enumerate(blocks):
        tell("blocks", number, len(blocks))
        group_ids = events.pop((block.chain, block.hash_hex), [])
        _check_block(connection, report, terms, block, group_ids, gone)
    for (chain, _), group_ids in sorted(events.items()):
        report.findings += [Finding("transfers", chain, f"{group_id} belongs to no block") for group_id in group_ids]
    report.counts["blocks"] = len(blocks)
    report.counts["chains"] = len(rebuilt.keys() | {block.chain for block in blocks})
    _note_gaps(report, terms, connection, blocks, gone)
    tell("shares")
    report.findings += share_checks.check_shares(connection, tell)
    tell("bought shares")
    faults, notes = pps_checks.check_pps(connection)
    report.findings += faults
    report.notes += notes
    tell("payouts")
    report.findings += payout_checks.check_payouts(connection)
    faults, report.counts["closings"] = closing_checks.check_closings(connection, tell)
    report.findings += faults
    return report


def _check_transfers(connection: Connection, report: AuditReport, tell: Tell) -> dict[str, dict[str, int]]:
    """I1: each transfer is whole, positive, within one chain, of a written group and between two known accounts. I4:
    none lessens income or an expense, but corrections.
    Returns the balances that all transfers lead to (I12), by chain and account.
    """
    total = audit_views.transfer_count(connection)
    owners = audit_views.account_chains(connection)
    rebuilt: dict[str, dict[str, int]] = {}
    for number, transfer in enumerate(audit_views.all_transfers(connection)):
        if number % TOLD_TRANSFERS == 0:
            tell("transfers", number, total)
        report.counts["transfers"] += 1
        for fault in _transfer_faults(transfer, owners):
            text = f"{transfer.group_id}: transfer {transfer.id} {fault}"
            report.findings.append(Finding("I1", transfer.chain, text))
        kind = transfer.group_id.partition(":")[0]
        if lessens_result(transfer.debit, transfer.credit) and kind not in CORRECTIONS:
            text = f"{transfer.group_id}: transfer {transfer.id} lessens income or an expense and is no correction"
            report.findings.append(Finding("I4", transfer.chain, text))
        accounts = rebuilt.setdefault(transfer.chain, {})
        for account, amount in ((transfer.debit, transfer.amount), (transfer.credit, -transfer.amount)):
            signed = amount if grows_by_debit(account) else -amount
            accounts[account] = accounts.get(account, 0) + signed
    return rebuilt


def _transfer_faults(transfer: StoredTransfer, owners: dict[int, str]) -> list[str]:
    faults = []
    if type(transfer.amount) is not int or transfer.amount <= 0:
        faults.append(f"has the amount {transfer.amount!r}")
    if transfer.debit == transfer.credit:
        faults.append(f"debits and credits {transfer.debit}")
    if transfer.group_chain is None:
        faults.append("has no group")
    elif transfer.group_chain != transfer.chain:
        faults.append(f"is of another chain than its group, {transfer.group_chain}")
    for account in (transfer.debit, transfer.credit):
        liability = LIABILITY.fullmatch(account)
        if liability is None and OTHER_ACCOUNT.fullmatch(account) is None:
            faults.append(f"names {account!r}, which is no account")
        elif liability is not None and owners.get(int(liability[1])) != transfer.chain:
            faults.append(f"names {account}, which is nobody's account on this chain")
    return faults


def _check_balances(connection: Connection, report: AuditReport, rebuilt: dict[str, dict[str, int]]) -> None:
    """I12, I2, I3 and I10. I3 and I10 are judged by the transfers, which are the truth."""
    stored = audit_views.all_balances(connection)
    for chain in sorted(rebuilt.keys() | stored.keys()):
        ours, theirs = rebuilt.get(chain, {}), stored.get(chain, {})
        report.counts["balances"] += len(theirs)
        for account in sorted(ours.keys() | theirs.keys()):
            told, subject = ours.get(account, 0), f"{chain} {account}"
            if theirs.get(account, 0) != told:
                text = f"balance {theirs.get(account, 0)}, its transfers give {told}"
                report.findings.append(Finding("I12", subject, text))
            if told < 0 and never_negative(account):
                report.findings.append(Finding("I3", subject, f"its transfers give {told}, which is below zero"))
        if imbalance(theirs):
            report.findings.append(Finding("I2", chain, f"debits and credits differ by {imbalance(theirs)}"))
        owed = sum(amount for account, amount in ours.items() if account.startswith("liab."))
        coins = sum(amount for account, amount in ours.items() if account.startswith("asset."))
        if owed > coins:
            report.findings.append(Finding("I10", chain, f"{owed} is owed and {coins} is there"))
        obstacle = payout_obstacle(cover_of(ours))
        if obstacle is not None:
            report.findings.append(Finding("I13", chain, obstacle))
        broken = ledger_links.broken_link(connection, chain)
        if broken is not None:
            report.findings.append(Finding("I11", chain, broken))


def _check_group_names(connection: Connection, report: AuditReport) -> dict[tuple[str, str], list[str]]:
    """That ids name kind and chain. Returns the ids of the blocks' groups by (chain, block hash)."""
    events: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group in audit_views.all_groups(connection):
        report.counts["groups"] += 1
        prefix = f"{group.kind}:{group.chain}:"
        if not group.id.startswith(prefix):
            report.findings.append(Finding("I1", group.chain, f"{group.id}: the id of a {group.kind} group is another"))
        elif group.kind in BLOCK_KINDS:
            events[group.chain, group.id.removeprefix(prefix).partition(":")[0]].append(group.id)
    return events


def _check_heights(connection: Connection, report: AuditReport) -> None:
    for chain, height, number in audit_views.doubly_paid_heights(connection):
        report.findings.append(Finding("I5", chain, f"{number} blocks are credited at height {height}"))
    for chain, vote, number in audit_views.doubly_paid_votes(connection):
        report.findings.append(Finding("I5", chain, f"the vote {vote} is credited in {number} places"))


def _check_block(
    connection: Connection,
    report: AuditReport,
    terms_book: TermsBook,
    block: StoredBlock,
    group_ids: list[str],
    gone: Counter[str],
) -> None:
    credits = audit_views.credits_of(connection, block.id)
    events = income_store.of_block(connection, block.id)
    groups: dict[str, TransferGroup] = {}
    for group_id in group_ids:
        group = ledger_store.find_group(connection, group_id)
        assert group is not None, "read in the same snapshot"
        groups[group_id] = group
    report.counts["credits"] += len(credits)
    report.counts["credited"] += bool(events)
    found = block_checks.check_block(block, events, credits) + block_checks.check_place(block)
    own = {event.index: [credit for credit in credits if credit.event_index == event.index] for event in events}
    for event in events:
        found += block_checks.check_event(block, event, own[event.index])
    found += block_checks.check_groups(block, events, credits, groups)
    recomputed = bool(events)
    for event in events:
        more, whole = _check_event(connection, terms_book, block, event, own[event.index], gone)
        found += more
        recomputed = recomputed and whole
    report.counts["recomputed"] += recomputed
    report.findings += shortened(found)


def _check_event(
    connection: Connection,
    terms_book: TermsBook,
    block: StoredBlock,
    event: IncomeEvent,
    credits: Sequence[StoredCredit],
    gone: Counter[str],
) -> tuple[list[Finding], bool]:
    """An event's scheme, weights, fee and split, under the terms it was credited by; and whether the shares for it are
    all there.
    """
    found: list[Finding] = []
    terms = terms_of(event, terms_book.of(block.chain, block.height))
    window = None
    if terms is not None:
        window = rebuilt_window(
            connection,
            block,
            factor=terms.factor,
            window_min_ms=int(terms.window_min_s * 1000),
            credited_scheme=event.scheme,
        )
        if block_checks.shares_are_gone(credits, window):
            gone[block.chain] += 1
            window = None
        else:
            found += block_checks.check_scheme(block, event, window)
            found += block_checks.check_weights(block, credits, window)
        weighed = any(block_checks.stored_weights(credits).values())
        found += block_checks.check_fee(block, event, weighed, terms.fee_ppm)
    fee_ppm = None if terms is None else terms.fee_ppm
    return found + block_checks.check_split(block, event, credits, fee_ppm, window), window is not None


def _note_gaps(
    report: AuditReport, terms: TermsBook, connection: Connection, blocks: list[StoredBlock], gone: Counter[str]
) -> None:
    credited: Counter[str] = Counter()
    untold: Counter[str] = Counter()
    for block in blocks:
        for event in income_store.of_block(connection, block.id):
            credited[block.chain] += 1
            untold[block.chain] += terms_of(event, None) is None
    for chain in sorted(credited):
        present = terms.present.get(chain)
        if untold[chain] and present is None:
            text = "not configured, and credited before the books kept terms: fee and window were not recomputed,"
            report.notes.append(f"{chain}: {untold[chain]} blocks: {text} unless --terms says them")
        elif untold[chain]:
            text = "credited before the books kept terms; unless --terms says others, they were checked under"
            report.notes.append(f"{chain}: {untold[chain]} blocks: {text} {present}")
        if gone[chain]:
            report.notes.append(
                f"{chain}: shares of {gone[chain]} of {credited[chain]} windows are no longer stored; those credits"
                " were recomputed from the weights stored with them"
            )
