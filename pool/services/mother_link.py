"""A front end's end of the local socket: what the mother says, in order, and a way to tell her things.

The mother may go and come back (she is restarted while miners stay): the link is tried again several times a second,
and miners are served on the last job meanwhile. When she stays away for ORPHAN_S the front end ends: nobody would ever
give it work again, and its miners are better off with their next pool.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from pool.services.front_end_messages import Frames, FromFrontEnd, FromMother, Stop, frame_of, from_mother

log = logging.getLogger("parapool.frontends")

RETRY_S = 0.2
ORPHAN_S = 60.0
"""A mother that is restarted is back within seconds; a Bitcoin job is still worth its work a minute later."""

UNSENT_BYTES = 32 << 20
"""What may wait for a mother that hangs: hours of figures, or a few found blocks of 4 MB. Beyond it the link is made
anew."""


class _Link(asyncio.Protocol):
    def __init__(self, hear: Callable[[FromMother], None]) -> None:
        self._hear = hear
        self._frames = Frames()
        self.transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self._hear(from_mother(payload))
        except Exception:  # whatever is wrong with a message, the present state that a new link begins with helps
            log.exception("the mother says what cannot be used, asking her anew")
            assert self.transport is not None
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set()


class MotherLink:
    """`hello` makes the first word of each connection; `hear` gets the messages, on the loop. `away_s` is for how long
    there has been no mother, 0 while there is one."""

    def __init__(self, path: Path, hello: Callable[[], FromFrontEnd], hear: Callable[[FromMother], None]) -> None:
        self._path = path
        self._hello = hello
        self._hear = hear
        self._link: _Link | None = None
        self._lost_at: float | None = time.monotonic()
        self._told = False

    @property
    def away_s(self) -> float:
        return 0.0 if self._lost_at is None else time.monotonic() - self._lost_at

    async def run(self) -> None:
        """Until the mother has been away for too long; then Stop is heard, and that is the end of it."""
        loop = asyncio.get_running_loop()
        while self.away_s < ORPHAN_S:
            link = _Link(self._hear)
            try:
                await loop.create_unix_connection(lambda link=link: link, str(self._path))  # type: ignore[misc]
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            self._link, self._lost_at = link, None
            if self._told:
                self._told = False
                log.info("the mother is back")
            self.tell(self._hello())
            await link.gone.wait()
            self._link, self._lost_at = None, time.monotonic()
            self._told = True
            log.warning("the mother process is away, miners stay on the last job for up to seconds=%d", int(ORPHAN_S))
            await asyncio.sleep(RETRY_S)
        log.error("the mother process stayed away, this front end ends after seconds=%d", int(ORPHAN_S))
        self._hear(Stop())

    def tell(self, message: FromFrontEnd) -> None:
        """Nothing, while there is no mother: what she has to know is told again."""
        link = self._link
        if link is None or link.transport is None or link.transport.is_closing():
            return
        try:
            link.transport.write(frame_of(message))
        except msgspec.MsgspecError:
            log.exception("a message to the mother cannot be written")
            return
        if link.transport.get_write_buffer_size() > UNSENT_BYTES:
            link.transport.abort()
