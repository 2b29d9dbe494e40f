"""Miners' settings as the HTTP API has them: read beside the bookkeeping, written in its thread, keys checked apart.

The bookkeeping's thread makes every write of the process. What reaches it here carries a good signature by a miner's
key already, so that strangers cannot keep it busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, date, datetime
from typing import Any

from pool.miners.refusal import SettingsRefusedError, UnknownMinerError
from pool.miners.settings_message import SettingsMessage, SettingsRules, read_signed, template
from pool.storage import settings_store
from pool.storage.books_views import BooksViews
from pool.storage.database import Database
from pool.storage.settings_views import miner_settings


class SettingsBooks:
    """Implements pool.web.settings_api.MinerSettings. `writer` is the one thread that writes `database`."""

    def __init__(
        self, database: Database, writer: Executor, views: BooksViews, rules: SettingsRules, now_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._writer = writer
        self._views = views
        self._rules = rules
        self._now_ms = now_ms

    def adopt(self, rules: SettingsRules) -> None:
        """Other chains from now on."""
        self._rules = rules

    async def settings(self, address: str) -> Mapping[str, Any]:
        """What is set for a parent address, with the first lines of its next message."""
        miner = self._rules.miner(address)
        found = await self._views.read(miner_settings, miner, self._rules.parent)
        return {**found, "template": template(self._rules, miner, found["next_number"], self._today())}

    async def apply(self, address: str, message: str, signature: str) -> Mapping[str, Any]:
        """Does what a signed message says; what is set afterwards, and what it released."""
        miner = self._rules.miner(address)
        read = await asyncio.to_thread(read_signed, message, signature, self._rules, self._today())
        if read.miner != miner:
            raise SettingsRefusedError(f"the message is {read.miner.address}'s and was sent for {miner.address}")
        # Keys cost nothing, and the thread that writes is the bookkeeping's: strangers end here.
        if not await self._views.read(settings_store.is_known, miner):
            raise UnknownMinerError("nothing was mined for this address yet")
        write = asyncio.get_running_loop().run_in_executor(self._writer, self._write, read, message, signature)
        return await write

    def _write(self, message: SettingsMessage, text: str, signature: str) -> Mapping[str, Any]:
        now_ms, rules = self._now_ms(), self._rules
        with self._database.write() as connection:
            applied = settings_store.apply_message(connection, message, text, signature, rules, now_ms)
            found = miner_settings(connection, message.miner, rules.parent)
        released = [item._asdict() for item in applied.released]
        return {**found, "number": applied.number, "again": applied.again, "released": released}

    def _today(self) -> date:
        return datetime.fromtimestamp(self._now_ms() // 1000, UTC).date()
