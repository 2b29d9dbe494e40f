"""Found blocks of processes that have no nodes: handed to the maker of jobs, who has them, and submits them at once.

The finder's own record stays open until the answer is here; it asks until then, and whoever stands between passes both
on. One ticket is submitted once, however often it is told.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from pool.blocks.solution_store import SolutionRecord
from pool.services.block_messages import BlockAnswered, BlockFound
from pool.services.block_nodes import GIVE_UP_S
from pool.services.block_submission import BlockSubmission
from pool.services.submission_ending import Ending, given_up

log = logging.getLogger("parapool.blocks")

AGAIN_S = 5.0
ANSWERS_KEPT = 1024

Spawn = Callable[[Coroutine[Any, Any, Any]], Any]


class BlockRelay:
    """The finder's side: implements pool.services.block_submission.Elsewhere. `tell` hands a message on towards the
    maker, or loses it. `on_other` hears of answers that others wait for."""

    def __init__(self, tell: Callable[[BlockFound], None], again_s: float = AGAIN_S) -> None:
        self.tell = tell
        self.on_other: Callable[[BlockAnswered], None] = lambda answer: None
        self._again_s = again_s
        self._waiting: dict[str, asyncio.Future[BlockAnswered]] = {}

    async def submit(self, record: SolutionRecord, until: float, *, again: bool) -> Ending:
        ticket = secrets.token_hex(16)
        answer = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        found = BlockFound(ticket, msgspec.structs.replace(record, solving_share=None), again)
        try:
            while not answer.done():
                self.tell(found)
                found = msgspec.structs.replace(found, again=True)  # told once, it may be submitted
                await asyncio.wait([answer], timeout=self._again_s)
                if not answer.done() and time.monotonic() >= until:
                    return given_up(TimeoutError("the maker of jobs gave no answer"))
            end = answer.result()
            return Ending(end.word, end.outcome, end.reason)
        finally:
            del self._waiting[ticket]

    def heard(self, answer: BlockAnswered) -> None:
        waiting = self._waiting.get(answer.ticket)
        if waiting is None:
            self.on_other(answer)
        elif not waiting.done():
            waiting.set_result(answer)


class RelayedBlocks:
    """The maker's side. `answer` is told each ending, again for a ticket that comes again."""

    def __init__(self, blocks: BlockSubmission, answer: Callable[[BlockAnswered], None], spawn: Spawn) -> None:
        self._blocks = blocks
        self._answer = answer
        self._spawn = spawn
        self._under_way: set[str] = set()
        self._answered: OrderedDict[str, BlockAnswered] = OrderedDict()

    def take(self, found: BlockFound) -> None:
        known = self._answered.get(found.ticket)
        if known is not None:
            self._answer(known)
            return
        if found.ticket in self._under_way:
            return
        record = found.record
        tail = f"chain={record.chain} height={record.height} hash={record.block_hash_hex}"
        if not self._blocks.nodes.any_of(record.chain):
            log.error("no such chain, another machine's found block waits %s", tail)
            return
        log.info("another machine found a block %s", tail)
        self._under_way.add(found.ticket)
        self._spawn(self._submit(found))

    async def _submit(self, found: BlockFound) -> None:
        try:
            until = time.monotonic() + GIVE_UP_S
            ending = await self._blocks.nodes.ask(found.record, until, again=found.again)
        finally:
            self._under_way.discard(found.ticket)
        answer = self._answered[found.ticket] = BlockAnswered(found.ticket, *ending)
        if len(self._answered) > ANSWERS_KEPT:
            self._answered.popitem(last=False)
        log.info("submitted for another machine hash=%s result=%s", found.record.block_hash_hex, ending.word)
        self._answer(answer)
        self._blocks.on_outcome(found.record.chain)
