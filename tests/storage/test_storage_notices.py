"""Offline notices in the books: what a signed message sets, who never sees the place, what shares tell of workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import text
from storage_samples import logged
from support.message_signing import SigningKey

from chains.families import network
from pool.audit.settings_audit import audit_settings
from pool.miners.notice_target import NoticeTerms, NoticeWish, Watched, parse_target
from pool.miners.refusal import SettingsRefusedError, SignatureRefusedError, TooManyMessagesError
from pool.miners.settings_message import Destination, SettingsRules, read_signed, template
from pool.miners.worker_outages import MINUTE_MS, SeenPool, SeenWorker
from pool.shares.record import Position
from pool.shares.route import route_login
from pool.shares.watermark import Watermark
from pool.storage import front_ends, notice_reading, notice_store, settings_store
from pool.storage.books import SqlBooks
from pool.storage.books_views import BooksViews
from pool.storage.database import Database
from pool.storage.notice_reading import NoticeReading
from pool.storage.notice_store import notice_of, watched
from pool.storage.settings_books import SettingsBooks
from pool.storage.settings_views import messages_of, miner_settings
from stratum.words import parse_login

NET = network("devnet", "regtest")
RULES = SettingsRules("main", "regbtc", {"regbtc": NET, "alpha": NET}, NoticeTerms(("ntfy", "pushover"), 5))
TODAY = date(2026, 11, 21)
NOW_MS = 1_795_262_400_000
ADA, BOB, EVE = SigningKey(91), SigningKey(92), SigningKey(93)
ADDRESSES = {key: key.address("p2wpkh", NET) for key in (ADA, BOB, EVE)}
ROUTES = {key: route_login(parse_login(ADDRESSES[key]), {}, RULES.networks, "regbtc").route for key in (ADA, BOB)}
SECRET = "secret-topic-7"
NTFY = f"ntfy://ntfy.sh/{SECRET}"
WISH = NoticeWish(parse_target(NTFY), 15)


def of(key: SigningKey) -> Destination:
    return Destination(ADDRESSES[key], key.script("p2wpkh"))


def signed(key: SigningKey, number: int, *lines: str) -> tuple[str, str]:
    message = template(RULES, of(key), number, TODAY) + "\n".join(lines)
    return message, key.sign("p2wpkh", message, NET)


def say(database: Database, key: SigningKey, number: int, *lines: str) -> None:
    message, signature = signed(key, number, *lines)
    read = read_signed(message, signature, RULES, TODAY)
    with database.write() as connection:
        settings_store.apply_message(connection, read, message, signature, RULES, NOW_MS + number)


def wish_of(database: Database, key: SigningKey) -> NoticeWish | None:
    with database.read() as connection:
        return notice_of(connection, of(key).script.hex())


@pytest.fixture
def books(database: Database) -> SqlBooks:
    """Ada and Bob mined half an hour ago."""
    books = SqlBooks(database)
    times = {ADA: NOW_MS - 30 * MINUTE_MS, BOB: NOW_MS - 29 * MINUTE_MS}
    batch = [logged(number, ROUTES[key], time_ms=times[key]) for number, key in enumerate(times, 1)]
    books.store_shares(batch, Position(1, 200), 2)
    return books


def test_notice_is_set_changed_and_ended_by_signed_messages(books: SqlBooks, database: Database) -> None:
    say(database, ADA, 1, f"offline-notice: {NTFY} after 15 min")
    assert wish_of(database, ADA) == WISH
    assert wish_of(database, BOB) is None
    say(database, ADA, 2, "minimum-payout: regbtc 1")
    assert wish_of(database, ADA) == WISH, "what a message does not name stays"
    pushover = f"pover://{'u' * 30}@{'t' * 30}"
    say(database, ADA, 3, f"offline-notice: {pushover} after 5 min")
    assert wish_of(database, ADA) == NoticeWish(parse_target(pushover), 5)
    say(database, ADA, 4, "offline-notice: off")
    assert wish_of(database, ADA) is None
    say(database, ADA, 5, "offline-notice: off")
    with database.read() as connection:
        assert watched(connection) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("offline-notice: http://10.0.0.1/secret-topic-7 after 15 min", "line 5: offline-notice: expected one of "),
        ("offline-notice: ntfy://10.0.0.1/secret-topic-7 after 15 min", "line 5: offline-notice: expected one of "),
        (f"offline-notice: {NTFY}", "line 5: offline-notice: expected 'TARGET after MINUTES min', or off"),
        (f"offline-notice: {NTFY} after 4 min", "offline-notice: expected at least 5 min"),
        (f"offline-notice: discord://123456789012345678/{'w' * 68} after 15 min", "sends by ntfy, pushover only"),
        (f"offline-notice: off\noffline-notice: {NTFY} after 15 min", "line 6: offline-notice was set by an earlier"),
        (f"offline notice: {NTFY} after 15 min", "line 5: unknown setting 'offline notice'"),
    ],
)
def test_notice_that_the_pool_does_not_send_is_refused(
    books: SqlBooks, database: Database, line: str, told: str
) -> None:
    with pytest.raises(SettingsRefusedError, match=told) as refused:
        say(database, ADA, 1, line)
    assert SECRET not in str(refused.value)
    assert wish_of(database, ADA) is None


def test_notice_is_set_by_nobody_but_the_key(books: SqlBooks, database: Database) -> None:
    message, _ = signed(ADA, 1, f"offline-notice: {NTFY} after 15 min")
    with pytest.raises(SignatureRefusedError):
        read_signed(message, EVE.sign("p2wpkh", message, NET), RULES, TODAY)


def test_notices_of_a_database_are_so_many(
    books: SqlBooks, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice_store, "MAX_NOTICES", 1)
    say(database, ADA, 1, f"offline-notice: {NTFY} after 15 min")
    say(database, ADA, 2, f"offline-notice: {NTFY} after 16 min")
    with pytest.raises(TooManyMessagesError):
        say(database, BOB, 1, f"offline-notice: {NTFY} after 15 min")
    assert wish_of(database, BOB) is None
    with database.read() as connection:
        assert miner_settings(connection, of(BOB), "regbtc")["next_number"] == 1, "nothing of the message is kept"


def test_notice_of_a_frozen_miner_or_of_another_form_is_not_sent(books: SqlBooks, database: Database) -> None:
    say(database, ADA, 1, f"offline-notice: {NTFY} after 15 min")
    say(database, BOB, 1, f"offline-notice: {NTFY} after 15 min")
    with database.write() as connection:
        settings_store.freeze(connection, of(ADA), "why", 1)
        assert [wish.address for wish in watched(connection)] == [ADDRESSES[BOB]]
        connection.execute(text("UPDATE offline_notices SET target = 'http://127.0.0.1/'"))
        assert watched(connection) == []
        assert notice_of(connection, of(BOB).script.hex()) is None


async def test_notice_place_is_never_shown(
    books: SqlBooks, database: Database, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    views, writer = BooksViews(url), ThreadPoolExecutor(1)
    settings = SettingsBooks(database, writer, views, RULES, lambda: NOW_MS)
    done = await settings.apply(ADDRESSES[ADA], *signed(ADA, 1, f"offline-notice: {NTFY} after 15 min"))
    assert done["offline_notice"] == "ntfy, after 15 min"
    shown = await settings.settings(ADDRESSES[ADA])
    assert shown["offline_notice"] == "ntfy, after 15 min"
    with database.read() as connection:
        [message] = messages_of(connection, of(ADA))
        report = audit_settings(connection, RULES)
    assert message["message"].endswith("\noffline-notice: (ntfy, after 15 min)")
    assert (report.findings, report.notes, report.messages) == ([], [], 1)
    assert SECRET not in f"{done}{shown}{message}{report}{caplog.text}"
    writer.shutdown()
    views.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE offline_notices SET target = 'ntfy://ntfy.sh/of-eve'",
        "UPDATE offline_notices SET after_min = 1",
        "DELETE FROM offline_notices",
        f"INSERT INTO offline_notices VALUES ('{EVE.script('p2wpkh').hex()}', 'x', '{NTFY}', 15, 1)",
    ],
)
def test_notice_changed_by_hand_is_found_by_the_audit(books: SqlBooks, database: Database, statement: str) -> None:
    say(database, ADA, 1, f"offline-notice: {NTFY} after 15 min")
    say(database, BOB, 1, f"offline-notice: {NTFY} after 15 min")
    say(database, BOB, 2, "offline-notice: off")
    with database.write() as connection:
        assert audit_settings(connection, SettingsRules("other", "regbtc", RULES.networks)).findings == []
        connection.execute(text(statement))
        [finding] = audit_settings(connection, RULES).findings
    assert "the offline notice is not the one that was signed" in str(finding)
    assert SECRET not in str(finding) and "of-eve" not in str(finding)


def test_notice_reading_tells_of_watched_workers_and_of_everybody_once(
    books: SqlBooks, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(database, ADA, 1, f"offline-notice: {NTFY} after 15 min")
    minute_ms = NOW_MS // MINUTE_MS * MINUTE_MS - 10 * MINUTE_MS
    times = [0, 5, 59_999, 60_000, 60_001]
    batch = [
        logged(number, ROUTES[ADA], time_ms=minute_ms + time_ms, worker=f"rig{number % 2}", stale=number == 10)
        for number, time_ms in enumerate(times, 10)
    ]
    books.store_shares(batch, Position(1, 1500), 14)
    reading = NoticeReading("main")
    with database.write() as connection:
        front_ends.drain(connection, front_ends.register(connection, "main", "main"), Watermark(14, NOW_MS - 7), NOW_MS)
    with database.read() as connection:
        found = reading.new(connection, NOW_MS)
        again = reading.new(connection, NOW_MS)
    assert found.watched == [Watched(ADDRESSES[ADA], parse_target(NTFY), 15)]
    assert (found.stored_to_ms, found.whole) == (NOW_MS - 7, True)
    assert sorted(found.workers) == [
        SeenWorker(ADDRESSES[ADA], "rig", NOW_MS - 30 * MINUTE_MS, NOW_MS - 30 * MINUTE_MS),
        SeenWorker(ADDRESSES[ADA], "rig0", minute_ms, minute_ms + 59_999),
        SeenWorker(ADDRESSES[ADA], "rig0", minute_ms + 60_001, minute_ms + 60_001),
        SeenWorker(ADDRESSES[ADA], "rig1", minute_ms + 5, minute_ms + 5),
        SeenWorker(ADDRESSES[ADA], "rig1", minute_ms + 60_000, minute_ms + 60_000),
    ]
    assert sorted(found.pool)[-2:] == [
        SeenPool(minute_ms, minute_ms + 59_999), SeenPool(minute_ms + 60_000, minute_ms + 60_001)
    ]  # fmt: skip
    assert (again.workers, again.pool, again.whole) == ([], [], True)

    monkeypatch.setattr(notice_reading, "READ_ROWS", 3)
    reading = NoticeReading("main")
    with database.read() as connection:
        pieces = [reading.new(connection, NOW_MS) for _ in range(3)]
    assert [piece.whole for piece in pieces] == [False, False, True]
    assert sum(len(piece.pool) for piece in pieces) >= 4
    assert {row.worker for piece in pieces for row in piece.workers} == {"rig", "rig0", "rig1"}


def test_notice_reading_begins_some_hours_back(books: SqlBooks, database: Database) -> None:
    say(database, ADA, 1, f"offline-notice: {NTFY} after 15 min")
    with database.read() as connection:
        found = NoticeReading("main").new(connection, NOW_MS + 24 * 60 * MINUTE_MS)
    assert (found.workers, found.pool, found.whole) == ([], [], True)


def test_notice_reading_waits_for_the_front_end_that_is_behind(books: SqlBooks, database: Database) -> None:
    reading = NoticeReading("main")
    behind_ms = NOW_MS - 20 * MINUTE_MS

    def stored_to_ms(now_ms: int) -> int:
        with database.read() as connection:
            return reading.new(connection, now_ms).stored_to_ms

    assert stored_to_ms(NOW_MS) == 0, "none has drained anything"
    with database.write() as connection:
        for name, time_ms in (("main", NOW_MS), ("main/b", behind_ms)):
            front_ends.drain(connection, front_ends.register(connection, name, "main"), Watermark(2, time_ms), NOW_MS)
    assert stored_to_ms(NOW_MS) == behind_ms
    assert stored_to_ms(behind_ms + notice_reading.LIVE_MS) == NOW_MS, "that one is gone"
    with database.write() as connection:
        front_ends.write_off(connection, "main", "main/b", NOW_MS)
    assert stored_to_ms(NOW_MS) == NOW_MS
