"""Tells people elsewhere of events: blocks found and lost, payouts, holds, chains that leave, alarms.

The log is where all that happens is said already, one line per event, so this listens there: `EVENTS` names the lines.
Nothing waits for it. What comes within a few seconds becomes one message, what comes too fast is counted and left out,
and a service that cannot be reached is told once in the log. Apprise knows the services.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

from pool.config.notifications import Event, NotificationSection
from pool.data_dir import StartError
from pool.log_setup import one_line

log = logging.getLogger("parapool.notifications")

EVENTS: Mapping[str, Event] = {
    "block credited ": "block_found",
    "block orphaned ": "block_orphaned",
    "payouts settled ": "payout_settled",
    "payouts on hold,": "payouts_on_hold",
    "chain leaves ": "chain_left",
    "alarm": "alarm",
}
"""How a line's form (the text before its figures are put in) begins. Whatever else is CRITICAL is an alarm as well."""

GATHER_S = 3.0
MOST_WAITING = 200
MOST_LINES = 20
MOST_LETTERS = 300

Send = Callable[[str, str], bool]
"""Title and text to one place; False when it did not arrive."""


class Notifications(logging.Handler):
    """Installed on the pool's logger. One thread sends, so that no line of the pool's waits for a stranger's server."""

    def __init__(self, places: Sequence[tuple[frozenset[Event], Send]], pool: str, gather_s: float = GATHER_S) -> None:
        super().__init__(logging.INFO)
        self._places = places
        self._pool = pool
        self._gather_s = gather_s
        self._waiting: queue.Queue[tuple[Event, str] | None] = queue.Queue(MOST_WAITING)
        self._left_out = 0
        self._failed: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        event = event_of(record)
        if event is None or record.name == log.name:
            return
        try:
            self._waiting.put_nowait((event, one_line(record.getMessage())[:MOST_LETTERS]))
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Sends what waits, for a few seconds at most."""
        if self._thread.is_alive():
            try:
                self._waiting.put(None, timeout=1.0)
            except queue.Full:
                return super().close()
            self._thread.join(timeout=10.0)
        super().close()

    def _run(self) -> None:
        while True:
            found = self._waiting.get()
            if found is None:
                return
            lines, ended = [found], False
            until_s = time.monotonic() + self._gather_s
            while not ended and (left_s := until_s - time.monotonic()) > 0:
                try:
                    more = self._waiting.get(timeout=left_s)
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                else:
                    lines.append(more)
            self._tell(lines)
            if ended:
                return

    def _tell(self, lines: Sequence[tuple[Event, str]]) -> None:
        left_out, self._left_out = self._left_out, 0
        for number, (events, send) in enumerate(self._places):
            texts = [text for event, text in lines if event in events]
            if not texts:
                continue
            hidden = len(texts) - MOST_LINES + left_out if len(texts) > MOST_LINES else left_out
            body = [*texts[:MOST_LINES], *([f"… and {hidden} more, see the log"] if hidden else [])]
            self._report(number, send(f"parapool {self._pool}", "\n".join(body)))

    def _report(self, number: int, arrived: bool) -> None:
        if arrived and number in self._failed:
            self._failed.discard(number)
            log.info("notifications arrive again place=%d", number)
        elif not arrived and number not in self._failed:
            self._failed.add(number)
            log.warning("a notification did not arrive place=%d", number)


@contextmanager
def notifying(sections: Sequence[NotificationSection], pool: str) -> Iterator[None]:
    """While it lasts, the places are told. Raises StartError."""
    if not sections:
        yield
        return
    handler = Notifications(list(open_places(sections)), pool)
    logging.getLogger("parapool").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("parapool").removeHandler(handler)
        handler.close()


def event_of(record: logging.LogRecord) -> Event | None:
    """What a line of the log is to people elsewhere, None for most."""
    form = str(record.msg)
    for beginning, event in EVENTS.items():
        if form.startswith(beginning):
            return event
    return "alarm" if record.levelno >= logging.CRITICAL else None


def open_places(sections: Sequence[NotificationSection]) -> Iterator[tuple[frozenset[Event], Send]]:
    """The configured places. Raises StartError when one's URL cannot be read or is none that Apprise knows."""
    for number, section in enumerate(sections):
        try:
            url = section.read_url().get_secret_value()
        except (OSError, ValueError) as error:
            raise StartError(f"notifications.{number}: {error}") from error
        yield frozenset(section.events), _apprise_send(url, f"notifications.{number}")


def notice_sender() -> Callable[[str, str, str], bool]:
    """URL, title and text to one place, for what miners are told (`miner_notices`); False when it did not arrive. May
    block for some seconds. Raises StartError.
    """
    key = "miner_notices"
    _apprise(key)

    def send(url: str, title: str, text: str) -> bool:
        return _apprise_send(url, key)(title, text)

    return send


def _apprise(key: str) -> ModuleType:
    try:
        import apprise
    except ImportError as error:
        raise StartError(f"{key}: expected the package apprise: pip install 'parapool[notifications]'") from error
    return apprise


def _apprise_send(url: str, key: str) -> Send:
    apprise = _apprise(key)
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # their lines may hold parts of the URL
    place = apprise.Apprise()
    if not place.add(url):
        raise StartError(f"{key}: expected a URL of a service that Apprise knows")

    def send(title: str, text: str) -> bool:
        return bool(place.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))

    return send
