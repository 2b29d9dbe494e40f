"""Offline notices over real books, as the pool puts them together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.message_signing import SigningKey

from pool import notice_setup
from pool.config.configuration import load
from pool.miners.settings_message import read_signed, template
from pool.miners.worker_outages import MINUTE_MS
from pool.settings_rules import settings_rules
from pool.shares.record import LoggedShare, Position, ShareRecord
from pool.shares.route import route_login
from pool.shares.watermark import Watermark
from pool.storage import front_ends, settings_store
from pool.storage.books import SqlBooks
from pool.storage.books_views import BooksViews
from pool.storage.database import Database, upgrade
from stratum.words import parse_login

DEVNET = str(Path(__file__).parents[3] / "deploy/devnet.yaml")
START_MS = 1_795_262_400_000
TODAY = datetime.fromtimestamp(START_MS // 1000, UTC).date()
ADA, BOB = SigningKey(101), SigningKey(102)


@dataclass
class Leading:
    leads: bool = True


def test_notices_are_not_there_unless_configured(tmp_path: Path) -> None:
    config = load(DEVNET, {"pool.data_dir": str(tmp_path)})
    nothing: Any = None
    assert notice_setup.offline_notices(config, nothing, nothing) is None


async def test_notices_follow_a_signed_message_over_real_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(DEVNET, {"pool.data_dir": str(tmp_path), "miner_notices.per_hour": "4"})
    rules = settings_rules(config)
    net = rules.networks[rules.parent]
    upgrade(config.database_url())
    database, views = Database(config.database_url()), BooksViews(config.database_url())
    books = SqlBooks(database, config.pool.log_name, config.pool.name)
    routes = {
        key: route_login(parse_login(key.address("p2wpkh", net)), {}, rules.networks, rules.parent).route
        for key in (ADA, BOB)
    }
    clock_ms, sequence = START_MS, 0
    sent: list[tuple[str, str]] = []

    def send(url: str, _title: str, text: str) -> bool:
        sent.append((url, text.splitlines()[1]))
        return True

    leading: Any = Leading()
    monkeypatch.setattr(notice_setup, "notice_sender", lambda: send)
    monkeypatch.setattr(notice_setup, "wall_ms", lambda: clock_ms)
    service = notice_setup.offline_notices(config, views, leading)
    assert service is not None

    async def minutes(count: int, *workers: tuple[SigningKey, str]) -> None:
        """Each worker sends a share a minute; then the service looks."""
        nonlocal clock_ms, sequence
        for _ in range(count):
            batch = []
            for key, worker in workers:
                sequence += 1
                share = ShareRecord(
                    sequence, clock_ms + 500, routes[key].digest, worker, 50, (rules.parent,),
                    sequence.to_bytes(32, "little"), False, (),
                )  # fmt: skip
                batch.append(LoggedShare(Position(1, sequence), share, routes[key]))
            books.store_shares(batch, Position(1, sequence), sequence)
            clock_ms += MINUTE_MS
            with database.write() as connection:
                log_id = front_ends.register(connection, config.pool.log_name, config.pool.name)
                front_ends.drain(connection, log_id, Watermark(sequence, clock_ms - 1), clock_ms)
            assert service is not None
            await service.once()

    await minutes(2, (ADA, "rig"), (BOB, "rig"))
    miner = rules.miner(ADA.address("p2wpkh", net))
    message = template(rules, miner, 1, TODAY) + "offline-notice: ntfy://ntfy.sh/ada-7 after 12 min"
    signature = ADA.sign("p2wpkh", message, net)
    with database.write() as connection:
        read = read_signed(message, signature, rules, TODAY)
        settings_store.apply_message(connection, read, message, signature, rules, clock_ms)
    await minutes(20, (ADA, "rig"), (ADA, "rig2"), (BOB, "rig"))
    await minutes(20, (ADA, "rig2"))
    url = "ntfys://ntfy.sh/ada-7?mode=private&image=no"
    assert sent == [(url, "silent for 12 min: rig")], "Bob asked for nothing"
    await minutes(3, (ADA, "rig"), (ADA, "rig2"))
    assert sent[1:] == [(url, "back after 21 min: rig")]
    await minutes(30)
    assert len(sent) == 2, "nobody's shares come"

    service = notice_setup.offline_notices(config, views, leading)
    await minutes(20, (ADA, "rig"))
    assert sent[2:] == [(url, "silent for 12 min: rig2")], "after a restart"
    views.close()
    database.close()
