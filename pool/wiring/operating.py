"""What the operator's port asks of a running pool, done by its parts.

It belongs to the process that has the miners: roles `all` and `stratum`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.error import CannotListenError

from pool.accounting.books_away import BooksAwayError
from pool.config.configuration import Config
from pool.config.operator import OperatorSection
from pool.config.reload import Reload
from pool.data_dir import StartError
from pool.operator.api import Json, OperatorError
from pool.operator.server import OperatorServer
from pool.operator.tokens import Tokens
from pool.operator_setup import operator_tokens
from pool.services.ban_book import BanBook, wall_ms
from pool.services.connection_list import ConnectionList
from pool.services.drain import Drain
from pool.services.miner_messages import tell
from pool.storage import closing_store
from pool.storage.database import in_short
from pool.wiring.mining import Mining
from stratum.ban_list import BanRefusedError

log = logging.getLogger("parapool.operator")

TakeOver = Callable[[], Awaitable[tuple[Reload | None, list[str]]]]
"""Reads the configuration again: what changed, or None and why nothing did, a sentence each."""

ReadBooks = Callable[..., Awaitable[Any]]
"""Calls a view with a connection that reads the books."""


class Operating:
    """Implements pool.operator.api.Operated."""

    def __init__(
        self,
        section: OperatorSection,
        tokens: Tokens,
        config: Config,
        mining: Mining,
        take_over: TakeOver,
        read_books: ReadBooks | None,
    ) -> None:
        """Without `read_books` no books are kept here."""
        self.section = section
        self._mining = mining
        self._servers = mining.servers.values()
        self._take_over = take_over
        self._drain = Drain(self._servers)
        self._bans = BanBook(self._servers, config.pool.data_dir / "bans.json")
        self._list = ConnectionList(self._servers, mining.intake.pow_name)
        self._read_books = read_books
        self.server = OperatorServer(self, tokens)

    async def start(self) -> None:
        """Before miners come. Raises StartError."""
        self._bans.load()
        await self.server.start(self.section.address, self.section.socket)
        if not self.section.is_local:
            log.warning("operator listens beyond this machine, and tokens are sent in clear bind=%s", self.section.bind)

    async def stop(self) -> None:
        await self.server.stop()

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        """What goes on for as long as the pool runs."""
        yield self._drain.run()

    # -- what is asked ------------------------------------------------------------------------------------------------

    def drain_state(self) -> Json:
        return {name: round(value, 1) if isinstance(value, float) else value for name, value in _of(self._drain)}

    def begin_drain(self, over_s: int) -> Json:
        self._drain.begin(over_s)
        self._mining.ports.claim.release()  # the ports are anybody's now
        return self.drain_state()

    def end_drain(self) -> Json:
        if not self._drain.draining:
            return self.drain_state()
        try:
            self._mining.ports.claim_all()
            self._drain.end()
        except (StartError, CannotListenError) as error:
            self._drain.stay()
            self._mining.ports.claim.release()
            reason = f"who is here stays, but nobody new can come: {error}"
            raise OperatorError(409, f"{reason}; end the program that has the port, and repeat this") from None
        return self.drain_state()

    async def reload(self) -> Json:
        change, refused = await self._take_over()
        if change is None:
            raise OperatorError(409, "nothing is taken over, the configuration stays as it was", refused)
        return {"added": list(change.added), "removed": list(change.removed), "changed": list(change.keys)}

    def bans(self) -> list[Json]:
        return self._bans.all()

    async def ban(self, network: str, seconds: int, reason: str) -> Json:
        try:
            return await self._bans.add(network, seconds, reason)
        except BanRefusedError as error:
            raise OperatorError(400, f"address: {error}") from None
        except OSError as error:
            raise OperatorError(500, f"the ban is in force, but until a restart only: {error}") from error

    async def unban(self, network: str) -> bool:
        try:
            return await self._bans.remove(network)
        except BanRefusedError as error:
            raise OperatorError(400, f"address: {error}") from None
        except OSError as error:
            raise OperatorError(500, f"the ban is over, but will be back after a restart: {error}") from error

    async def tell(self, text: str, login: str | None, worker: str | None) -> Json:
        return {"connections_told": await tell(self._servers, text, login, worker), "missing": []}

    async def connections(self, after: int, limit: int, login: str | None, worker: str | None) -> Json:
        return self._list.page(after, limit, login, worker, time.monotonic(), wall_ms()) | {"missing": []}

    async def closings(self, after: int, limit: int) -> list[Json]:
        if self._read_books is None:
            raise OperatorError(501, "this process keeps no books: ask the one of the role accountant")
        try:
            found = await self._read_books(closing_store.after, after, limit)
        except (SQLAlchemyError, BooksAwayError) as error:
            raise OperatorError(503, f"the books cannot be read now: {in_short(error)}") from error
        return [closing.for_people() for closing in found]


def _of(drain: Drain) -> Iterator[tuple[str, Any]]:
    yield from asdict(drain.state()).items()


def operating(
    config: Config,
    mining: Mining,
    take_over: TakeOver,
    read_books: ReadBooks | None,
    kind: type[Operating] = Operating,
) -> Operating | None:
    """The operator's side of a process, None where there is none. Raises StartError."""
    tokens = operator_tokens(config)
    if tokens is None or config.operator is None:
        return None
    return kind(config.operator, tokens, config, mining, take_over, read_books)
