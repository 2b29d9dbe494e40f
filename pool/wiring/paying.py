"""The payers of one process: a wallet and a service for each chain that pays. Only roles that pay come here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any

from pool.config.configuration import Config
from pool.config.reload import Reload
from pool.payout_setup import PayingWallet, open_wallet, paying_chains, payout_service
from pool.services.bookkeeping import wall_ms
from pool.services.payout_service import PayoutService
from pool.storage.database import Database

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Makes a task of the pool's: when it breaks, the pool stops."""

Wallets = Mapping[str, PayingWallet | None]
"""By chain, None for one that pays no more."""


class Payers:
    """The wallets and payers of the chains that pay; none in a process that does not. Which of several processes pays
    a chain, the database decides. `services` is one list for good: the metrics read it."""

    def __init__(self, config: Config, database: Database, sql: Executor) -> None:
        self._config = config
        self._database = database
        self._sql = sql
        self._wallets: dict[str, PayingWallet] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self.services: list[PayoutService] = []

    def open(self) -> None:
        """Opens the wallets. Raises StartError or OSError when a secret is not where it should be."""
        if self._config.pool.pays:
            for name in paying_chains(self._config):
                self._open(name, open_wallet(self._config, name))

    def start(self, spawn: Spawn) -> None:
        for service in self.services:
            self._tasks[service.chain] = spawn(service.run())

    async def adopt(self, config: Config, wallets: Wallets, spawn: Spawn) -> None:
        """Other payers for these chains, or none. A batch under way is taken up by the next payer as after a crash."""
        self._config = config
        for name, wallet in wallets.items():
            for former in [service for service in self.services if service.chain == name]:
                await self._end(former)
                self.services.remove(former)
            if name in self._wallets:
                await self._wallets.pop(name).close()
            if wallet is not None:
                self._tasks[name] = spawn(self._open(name, wallet).run())

    async def close(self) -> None:
        for wallet in self._wallets.values():
            await wallet.close()

    def _open(self, name: str, wallet: PayingWallet) -> PayoutService:
        self._wallets[name] = wallet
        service = payout_service(self._config, name, wallet, self._database, self._sql, wall_ms)
        self.services.append(service)
        return service

    async def _end(self, service: PayoutService) -> None:
        task = self._tasks.pop(service.chain)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def changed_wallets(change: Reload) -> Wallets:
    """By chain that needs another payer: its wallet, or None when it pays no more. Raises as `Payers.open`."""
    if not change.new.pool.pays:
        return {}
    paying = paying_chains(change.new)
    return {name: open_wallet(change.new, name) if name in paying else None for name in change.repaid}
