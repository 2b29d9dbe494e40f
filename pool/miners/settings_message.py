"""The text by which a miner changes settings, made to be read before it is signed:

    parapool POOLNAME
    miner: bcrt1q…                        the parent address whose key signs
    number: 3                             higher than that of every earlier message of this miner
    date: 2026-11-21                      when it was signed (UTC), within DAYS_BACK and DAYS_AHEAD
    minimum-payout: namecoin 0.5          in coins; `default` for the pool's own
    register: namecoin nc1q…              where payouts and held credits of this chain go from now on; `none` ends it
    release-held: namecoin nc1q…          once: what is held and final now, to this address
    offline-notice: ntfy://ntfy.sh/TOPIC after 15 min     told there when workers are silent; `off` ends it

At least one setting, each at most once per chain. The pool's name and the number keep a message from being used at
another pool or a second time, the date keeps one that was signed and never sent from turning up years later. The text
is signed as it is, byte by byte; lines may end in CR LF, and one empty line may end it, because wallets do that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from chains.kind import Network
from chains.primitives.address import AddressError, address_to_script, script_to_address
from chains.primitives.signed_message import signature_refusal
from pool.miners.amount import parse_coins
from pool.miners.notice_target import NO_NOTICES, OFFLINE_NOTICE, NoticeTerms, NoticeWish, parse_wish
from pool.miners.refusal import SettingsRefusedError, SignatureRefusedError

MAX_TEXT = 4096
"""Characters of a message; each setting of each chain fits, for a dozen chains."""

MAX_SHOWN = 100
"""Characters of a wrong address that are shown; the longest right one has 90 (BIP173)."""

MAX_NUMBER = 10**15 - 1
DAYS_BACK = 7
DAYS_AHEAD = 1
FIELDS = ("miner", "number", "date")
DEFAULT, NONE = "default", "none"

_NUMBER = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Destination:
    """An address of a chain in its canonical spelling, and the output script it stands for."""

    address: str
    script: bytes


@dataclass(frozen=True, slots=True)
class SettingsMessage:
    """What a message says, by chain. A minimum (smallest units) or a registered address of None takes it back; without
    a `notice` that stays as it is.
    """

    miner: Destination
    number: int
    day: date
    minimums: dict[str, int | None] = field(default_factory=dict)
    registered: dict[str, Destination | None] = field(default_factory=dict)
    released: dict[str, Destination] = field(default_factory=dict)
    notice: NoticeWish | None = None


@dataclass(frozen=True, slots=True)
class SettingsRules:
    """What messages are read by: the pool's name, its parent chain, every chain's network, and which notices it sends.
    """

    pool_name: str
    parent: str
    networks: dict[str, Network]
    notices: NoticeTerms = NO_NOTICES

    def miner(self, address: str) -> Destination:
        """A parent address. Raises SettingsRefusedError."""
        return self.destination(self.parent, address)

    def destination(self, chain: str, address: str) -> Destination:
        """An address of `chain`, which must be configured. Raises SettingsRefusedError."""
        network = self.networks.get(chain)
        if network is None:
            raise SettingsRefusedError(f"there is no chain {chain[:MAX_SHOWN]!r}; there are {', '.join(self.networks)}")
        shown = repr(address[:MAX_SHOWN])
        try:
            script = address_to_script(address, network.addresses)
        except AddressError as error:
            raise SettingsRefusedError(f"{shown} is no address of {chain}: {error}") from None
        canonical = script_to_address(script, network.addresses)
        if canonical is None:
            raise SettingsRefusedError(f"{shown} is an address of {chain} that nothing can be paid to")
        return Destination(canonical, script)


def template(rules: SettingsRules, miner: Destination, number: int, day: date) -> str:
    """The lines that every message begins with, for a miner to add settings to."""
    return f"parapool {rules.pool_name}\nminer: {miner.address}\nnumber: {number}\ndate: {day.isoformat()}\n"


def read_signed(text: str, signature: str, rules: SettingsRules, today: date) -> SettingsMessage:
    """What a message says that its miner has signed. Raises SettingsRefusedError, of a bad signature
    SignatureRefusedError.
    """
    message = parse_message(text, rules)
    if not today - timedelta(days=DAYS_BACK) <= message.day <= today + timedelta(days=DAYS_AHEAD):
        raise SettingsRefusedError(
            f"date: the message is of {message.day}, today is {today}; it must be sent within {DAYS_BACK} days"
        )
    magic = rules.networks[rules.parent].message_magic
    refusal = signature_refusal(message.miner.script, text.encode(), signature, magic)
    if refusal is not None:
        raise SignatureRefusedError(f"signature: {refusal}")
    if message.notice is not None:
        try:
            rules.notices.check(message.notice)
        except ValueError as error:
            raise SettingsRefusedError(str(error)) from None
    return message


def parse_message(text: str, rules: SettingsRules) -> SettingsMessage:
    """What a message says, signed or not, whatever notices this pool sends today. Raises SettingsRefusedError, which
    names the line.
    """
    lines = _lines(text)
    if lines[0] != f"parapool {rules.pool_name}":
        raise SettingsRefusedError(f"line 1: expected 'parapool {rules.pool_name}', the name of this pool")
    if len(lines) <= 1 + len(FIELDS):
        raise SettingsRefusedError("expected the pool's name, then miner, number, date and at least one setting")
    with _line(2):
        miner = rules.miner(_field("miner", lines[1]))
    with _line(3):
        number = _number(_field("number", lines[2]))
    with _line(4):
        message = SettingsMessage(miner, number, _day(_field("date", lines[3])))
    for position, line in enumerate(lines[1 + len(FIELDS) :], 2 + len(FIELDS)):
        with _line(position):
            word, value = _split(line)
            if word != OFFLINE_NOTICE:
                _setting(message, word, value, rules)
            elif message.notice is not None:
                raise ValueError(f"{word} was set by an earlier line")
            else:
                message = replace(message, notice=parse_wish(value))
    return message


@contextmanager
def _line(number: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SettingsRefusedError(f"line {number}: {error}") from None


def _lines(text: str) -> list[str]:
    if len(text) > MAX_TEXT:
        raise SettingsRefusedError(f"a message has at most {MAX_TEXT} characters")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line.isprintable():
            raise SettingsRefusedError(f"line {number}: control characters are not taken")
    return lines


def _split(line: str) -> tuple[str, str]:
    word, colon, value = line.partition(":")
    if not colon or not value.strip():
        raise ValueError("expected 'WORD: VALUE'")
    return word, value.strip()


def _field(name: str, line: str) -> str:
    word, value = _split(line)
    if word != name:
        raise ValueError(f"expected '{name}: …'")
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"number: expected a whole number from 1 to {MAX_NUMBER}")
    return int(text)


def _day(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass  # the 31st of February: told below like any other
    raise ValueError("date: expected YEAR-MONTH-DAY, such as 2026-11-21")


def _setting(message: SettingsMessage, word: str, value: str, rules: SettingsRules) -> None:
    settings: dict[str, Collection[str]] = {
        "minimum-payout": message.minimums,
        "register": message.registered,
        "release-held": message.released,
    }
    if word not in settings:
        raise ValueError(f"unknown setting {word!r}; there are {', '.join((*settings, OFFLINE_NOTICE))}")
    chain, _, rest = value.partition(" ")
    rest = rest.strip()
    if not rest:
        raise ValueError(f"{word}: expected a chain and a value")
    if chain not in rules.networks:
        raise ValueError(f"{word}: there is no chain {chain!r}; there are {', '.join(rules.networks)}")
    if chain in settings[word]:
        raise ValueError(f"{word}: {chain} was set by an earlier line")
    if word == "minimum-payout":
        message.minimums[chain] = None if rest == DEFAULT else parse_coins(rest)
    elif word == "register":
        message.registered[chain] = None if rest == NONE else rules.destination(chain, rest)
    elif chain == rules.parent:
        raise ValueError(f"{word}: nothing is held on {chain}, the parent chain")
    else:
        message.released[chain] = rules.destination(chain, rest)
