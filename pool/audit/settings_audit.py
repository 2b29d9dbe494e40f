"""The audit of miners' settings: every kept message is read and its signature checked again, and what is set now must
be what all of them together say. So nobody who can write to the database redirects a payout unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from chains.primitives.signed_message import signature_refusal
from pool.audit.finding import Finding
from pool.miners.notice_target import NoticeWish
from pool.miners.ownership import owned_accounts
from pool.miners.refusal import SettingsRefusedError
from pool.miners.settings_message import SettingsMessage, SettingsRules, parse_message
from pool.storage.settings_tables import account_settings, frozen_scripts, offline_notices, settings_messages

RULE = "settings"
FREEZE, UNFREEZE = "freeze: ", "unfreeze: "


Key = tuple[str, str, str]
"""What names an account in the books: chain, kind, script in hex."""


class Setting(NamedTuple):
    """What holds for an account: its minimum, and where it is paid, None for the pool's and its own."""

    minimum: int | None = None
    script_hex: str | None = None
    address: str | None = None

    def __str__(self) -> str:
        return f"minimum {self.minimum}, address {self.address} (script {self.script_hex})"


@dataclass(slots=True)
class SettingsReport:
    """Findings, notes about what could not be checked, and how many messages were read."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    messages: int = 0


def audit_settings(connection: Connection, rules: SettingsRules) -> SettingsReport:
    """Checks all messages and settings in the connection's snapshot."""
    report = SettingsReport()
    wanted: dict[Key, Setting] = {}
    unknown: set[Key] = set()
    notices: dict[str, NoticeWish | None] = {}
    frozen: set[str] = set()
    last: dict[str, int] = {}
    for row in connection.execute(select(settings_messages).order_by(settings_messages.c.id)):
        report.messages += 1
        if row.source == "operator":
            _note_freeze(frozen, row.script_hex, row.message)
            continue
        if row.number <= last.get(row.script_hex, 0):
            report.findings.append(Finding(RULE, row.address, f"message {row.number} is not after the one before it"))
        last[row.script_hex] = row.number
        report.findings += [Finding(RULE, row.address, fault) for fault in _signature_faults(row, rules)]
        try:
            message = parse_message(row.message, _rules_of_text(row.message, rules))
        except SettingsRefusedError as error:
            report.notes.append(f"{row.address}: message {row.number} cannot be read any more: {error}")
            notices[row.script_hex] = None
            for chain in rules.networks:
                unknown.update(_keys(bytes.fromhex(row.script_hex), chain, rules))
            continue
        if (message.miner.script.hex(), message.number) != (row.script_hex, row.number):
            told = f"message {row.number} is of {message.miner.address}, number {message.number}"
            report.findings.append(Finding(RULE, row.address, told))
        _follow(wanted, message, rules)
        if message.notice is not None:
            notices[row.script_hex] = message.notice
    report.findings += _compare_notices(connection, notices)
    report.findings += _compare(connection, wanted, unknown, rules)
    kept = set(connection.execute(select(frozen_scripts.c.script_hex)).scalars())
    for script_hex in sorted(kept ^ frozen):
        told = "is frozen, but nobody noted it" if script_hex in kept else "was frozen, and nobody noted its end"
        report.findings.append(Finding(RULE, f"script {script_hex}", told))
    return report


def _rules_of_text(text: str, rules: SettingsRules) -> SettingsRules:
    """The pool may have been renamed since."""
    return replace(rules, pool_name=text.partition("\n")[0].removesuffix("\r").removeprefix("parapool "))


def _signature_faults(row: Row[Any], rules: SettingsRules) -> Iterator[str]:
    """A message that cannot be read any more (a chain was taken out) must be signed all the same."""
    magic = rules.networks[rules.parent].message_magic
    refusal = signature_refusal(bytes.fromhex(row.script_hex), row.message.encode(), row.signature, magic)
    if refusal is not None:
        yield f"message {row.number}: {refusal}"


def _keys(miner_script: bytes, chain: str, rules: SettingsRules) -> list[Key]:
    owned = owned_accounts(miner_script, chain, rules.parent, rules.networks)
    return [(chain, account.kind, account.script_hex) for account in owned]


def _note_freeze(frozen: set[str], script_hex: str, text: str) -> None:
    if text.startswith(FREEZE):
        frozen.add(script_hex)
    elif text.startswith(UNFREEZE):
        frozen.discard(script_hex)


def _follow(wanted: dict[Key, Setting], message: SettingsMessage, rules: SettingsRules) -> None:
    for chain in message.minimums.keys() | message.registered.keys():
        for key in _keys(message.miner.script, chain, rules):
            setting = wanted.get(key, Setting())
            if chain in message.minimums:
                setting = setting._replace(minimum=message.minimums[chain])
            if chain in message.registered:
                to = message.registered[chain]
                script_hex, address = (None, None) if to is None else (to.script.hex(), to.address)
                setting = setting._replace(script_hex=script_hex, address=address)
            wanted[key] = setting


def _compare(
    connection: Connection, wanted: dict[Key, Setting], unknown: set[Key], rules: SettingsRules
) -> list[Finding]:
    """What is set and what was signed, for the chains that are configured."""
    column = account_settings.c
    query = select(account_settings).where(column.chain.in_(rules.networks))
    stored = {
        (row.chain, row.kind, row.script_hex): Setting(row.minimum_payout, row.payout_script_hex, row.payout_address)
        for row in connection.execute(query)
    }
    findings = []
    for key in sorted((stored.keys() | wanted.keys()) - unknown):
        have, want = stored.get(key, Setting()), wanted.get(key, Setting())
        if have != want:
            text = f"is set to {have}, signed was {want}"
            findings.append(Finding(RULE, " ".join(key), text))
    return findings


def _compare_notices(connection: Connection, wanted: dict[str, NoticeWish | None]) -> list[Finding]:
    """Where miners are told of silent workers, and where they signed to be told; None is not known any more. The places
    are secrets, so a finding has none.
    """
    stored = {row.script_hex: (row.target, row.after_min) for row in connection.execute(select(offline_notices))}
    findings = []
    for script_hex in sorted(stored.keys() | wanted.keys()):
        wish = wanted.get(script_hex, NoticeWish(None))
        if wish is None:
            continue
        signed = None if wish.target is None else (wish.target.text, wish.after_min)
        if stored.get(script_hex) != signed:
            text = f"the offline notice is not the one that was signed ({wish})"
            findings.append(Finding(RULE, f"script {script_hex}", text))
    return findings
