"""Where a miner wants to be told that workers are silent: `ntfy://ntfy.sh/TOPIC`, read by a grammar of our own.

The pool sends there on a stranger's word. So only services are known whose host is the service's own and never the
miner's choice: nobody makes the pool call a machine of its own network, or anybody's. Nothing of what a miner wrote
becomes a URL; the parts that match are put into one that is made here.

A target is a secret of its miner: whoever has it can write there. Its text forms name the service only, and no refusal
repeats what was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_TARGET = 200
"""Characters; the longest target (Discord's) has 131."""

LEAST_AFTER_MIN = 2
MOST_AFTER_MIN = 120
"""Minutes of silence. How far back shares are looked at rests on it (pool/storage/notice_reading.py)."""

OFFLINE_NOTICE = "offline-notice"
OFF = "off"

_WISH = re.compile(r"(\S+) +after +([1-9][0-9]{0,2}) +min", re.ASCII)


class _Service(NamedTuple):
    """What a miner may write, the URL that Apprise is given, and how the former is told."""

    grammar: re.Pattern[str]
    url: str
    expected: str


SERVICES: Mapping[str, _Service] = {
    # A topic's letters and length: https://docs.ntfy.sh/publish/. `private` is Apprise's word for a named server.
    "ntfy": _Service(
        re.compile(r"ntfy://ntfy\.sh/([A-Za-z0-9_-]{1,64})", re.ASCII),
        "ntfys://ntfy.sh/{0}?mode=private&image=no", "ntfy://ntfy.sh/TOPIC",
    ),
    "telegram": _Service(
        re.compile(r"tgram://([0-9]{6,12}):([A-Za-z0-9_-]{30,50})/(-?[1-9][0-9]{0,18})", re.ASCII),
        "tgram://{0}:{1}/{2}/?detect=no&image=no", "tgram://BOT-TOKEN/CHAT-ID",
    ),
    "discord": _Service(
        re.compile(r"discord://([0-9]{16,20})/([A-Za-z0-9_-]{60,100})", re.ASCII),
        "discord://{0}/{1}/?avatar=no&image=no", "discord://WEBHOOK-ID/WEBHOOK-TOKEN",
    ),
    "pushover": _Service(
        re.compile(r"pover://([A-Za-z0-9]{30})@([A-Za-z0-9]{30})", re.ASCII),
        "pover://{0}@{1}", "pover://USER-KEY@APP-TOKEN",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NoticeTarget:
    """A place at a service. `text` is as the miner wrote it, `url` what Apprise sends by; both are secrets."""

    service: str
    text: str = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoticeWish:
    """Told at `target` when a worker has been silent for `after_min` minutes; at None, not told any more."""

    target: NoticeTarget | None
    after_min: int = 0

    def __str__(self) -> str:
        """Without the target."""
        return OFF if self.target is None else f"{self.target.service}, after {self.after_min} min"


class Watched(NamedTuple):
    """An address whose workers are watched, and what it wishes."""

    address: str
    target: NoticeTarget
    after_min: int


@dataclass(frozen=True, slots=True)
class NoticeTerms:
    """What a pool takes: none of the services where it sends no notices."""

    services: tuple[str, ...] = ()
    least_after_min: int = LEAST_AFTER_MIN

    def check(self, wish: NoticeWish) -> None:
        """Raises ValueError for a wish that this pool does not grant; `off` is always one."""
        if wish.target is None:
            return
        if not self.services:
            raise ValueError(f"{OFFLINE_NOTICE}: this pool sends no offline notices")
        if wish.target.service not in self.services:
            raise ValueError(f"{OFFLINE_NOTICE}: this pool sends by {', '.join(self.services)} only")
        if wish.after_min < self.least_after_min:
            raise ValueError(f"{OFFLINE_NOTICE}: expected at least {self.least_after_min} min")


NO_NOTICES = NoticeTerms()


def parse_target(text: str) -> NoticeTarget:
    """A target. Raises ValueError, which does not repeat it."""
    for name, service in SERVICES.items() if len(text) <= MAX_TARGET else ():
        found = service.grammar.fullmatch(text)
        if found is not None:
            return NoticeTarget(name, text, service.url.format(*found.groups()))
    raise ValueError(f"expected one of {', '.join(service.expected for service in SERVICES.values())}")


def parse_wish(value: str) -> NoticeWish:
    """`TARGET after MINUTES min`, or `off`. Raises ValueError, which does not repeat it."""
    if value == OFF:
        return NoticeWish(None)
    found = _WISH.fullmatch(value)
    if found is None:
        raise ValueError(f"{OFFLINE_NOTICE}: expected 'TARGET after MINUTES min', or {OFF}")
    after_min = int(found[2])
    if not LEAST_AFTER_MIN <= after_min <= MOST_AFTER_MIN:
        raise ValueError(f"{OFFLINE_NOTICE}: expected {LEAST_AFTER_MIN} to {MOST_AFTER_MIN} min")
    try:
        return NoticeWish(parse_target(found[1]), after_min)
    except ValueError as error:
        raise ValueError(f"{OFFLINE_NOTICE}: {error}") from None


def without_targets(message: str) -> str:
    """A kept settings message for people to read: without the place where its miner is told."""
    lines = message.split("\n")
    for place, line in enumerate(lines):
        word, _, value = line.partition(":")
        if word.strip().lower() == OFFLINE_NOTICE:
            lines[place] = f"{OFFLINE_NOTICE}: {_shown(value.strip())}"
    return "\n".join(lines)


def _shown(value: str) -> str:
    try:
        return f"({parse_wish(value)})"
    except ValueError:
        return "(not shown)"
