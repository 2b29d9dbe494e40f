"""The operator's bans over restarts: what the file keeps, and what becomes of one that is none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pool.services.ban_book import BanBook
from stratum.addresses import AddressBook
from stratum.ban_list import BanRefusedError
from stratum.limits import Limits


class FakeServer:
    def __init__(self) -> None:
        self.addresses = AddressBook(Limits(ban_shares=1), 0.0)
        self.connections: set[Any] = set()


class Clocks:
    """The wall's time goes on while the process is away; the other one begins anew."""

    def __init__(self, now: float, now_ms: int) -> None:
        self.now, self.now_ms = now, now_ms

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.now_ms += round(seconds * 1000)


def _book(path: Path, clocks: Clocks, server: FakeServer | None = None) -> BanBook:
    servers: list[Any] = [server or FakeServer()]
    return BanBook(servers, path, clock=lambda: clocks.now, now_ms=lambda: clocks.now_ms)


async def test_ban_book_survives_a_restart_until_its_time(tmp_path: Path) -> None:
    path, clocks = tmp_path / "bans.json", Clocks(500.0, 1_700_000_000_000)
    book = _book(path, clocks)
    book.load()
    assert book.all() == [] and not path.exists()
    await book.add("192.0.2.0/24", 100, "short")
    made = await book.add("2001:db8::1", 1000, "long")
    assert made == {
        "network": "2001:db8::/64", "until_ms": 1_700_001_000_000, "reason": "long", "connections_ended": 0,
    }  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600 and not path.with_suffix(".new").exists()

    server = FakeServer()
    again = _book(path, Clocks(7.0, 1_700_000_200_000), server)
    again.load()
    assert again.all() == [
        {"network": "2001:db8::/64", "reason": "long", "until_ms": 1_700_001_000_000, "by": "operator"}
    ]
    assert server.addresses.admit("2001:db8::5", 806.0) == "banned"
    assert not isinstance(server.addresses.admit("2001:db8::5", 807.5), str)


WIDE = '[{"network": "0.0.0.0/0", "until_ms": 1, "reason": ""}]'


@pytest.mark.parametrize("text", ["", "{}", '[{"network": "x"}]', WIDE])
async def test_ban_book_puts_aside_what_it_cannot_read(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clocks = tmp_path / "bans.json", Clocks(0.0, 0)
    path.write_text(text or "nothing")
    book = _book(path, clocks)
    book.load()
    if text == "{}":
        assert book.all() == [] and not caplog.records, "an empty one is one"
        return
    assert "the operator's bans cannot be read and are put aside" in caplog.text
    assert (tmp_path / "bans.broken").exists() and not path.exists()
    await book.add("192.0.2.1", 5, "goes on")
    assert len(json.loads(path.read_text())) == 1


async def test_ban_book_lists_and_lifts_the_pools_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clocks, server = Clocks(10.0, 0), FakeServer()
    book = _book(tmp_path / "bans.json", clocks, server)
    for address in ("192.0.2.1", "2001:db8::9"):
        record = server.addresses.admit(address, 10.0)
        assert not isinstance(record, str) and record.invalid(1.0, 10.0)
    assert [(ban["network"], ban["by"]) for ban in book.all()] == [("192.0.2.1", "pool"), ("2001:db8::/64", "pool")]
    assert await book.remove("192.0.2.1") and await book.remove("2001:db8::9") and not await book.remove("192.0.2.1")
    assert book.all() == [] and not (tmp_path / "bans.json").exists(), "these are in no file"
    with pytest.raises(BanRefusedError):
        await book.remove("nobody")


async def test_ban_book_holds_without_a_disk_and_says_so(tmp_path: Path) -> None:
    server = FakeServer()
    book = _book(tmp_path / "missing" / "bans.json", Clocks(0.0, 0), server)
    with pytest.raises(OSError, match="No such file"):
        await book.add("192.0.2.1", 5, "x")
    assert server.addresses.admit("192.0.2.1", 1.0) == "banned"
