"""A slot of a fleet: its names, its process while it has one, and what its mother does for it."""

from __future__ import annotations

from pathlib import Path

from pool.blocks.solution_store import SolutionStore
from pool.config.configuration import Config
from pool.fleet_setup import slot_config
from pool.services.block_submission import BlockSubmission
from pool.services.bookkeeping import wall_ms
from pool.services.front_end_hub import Peer
from pool.services.front_end_process import FrontEndProcess
from pool.services.told_log import ToldIngest, ToldLog
from pool.storage.books import SqlBooks
from pool.wiring.kept_log import KeptLog
from pool.wiring.mining import Mining
from pool.wiring.transport import Transport

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""A process that lived so long died of something new: the next one is started at once."""


class Slot:
    """`wanted` tells that it should have a process; `peer` is that one's connection, `serves` that its ports are open.
    Without a process `kept` holds what is left of the last one."""

    def __init__(self, number: int, config: Config) -> None:
        own = self.config(config, number)
        self.number = number
        self.log_name = own.pool.log_name
        self.folder: Path = own.pool.data_dir
        self.wanted = False
        self.adopted = False  # it was there before this mother
        self.serves = False
        self.process: FrontEndProcess | None = None
        self.peer: Peer | None = None
        self.kept: KeptLog | None = None
        self.told = ToldLog(self.folder / "shares")
        self.ingest: ToldIngest | None = None
        self.submission: BlockSubmission | None = None
        self.starts = 0
        self.start_at = 0.0
        self.heard_at = 0.0
        self.was_heard = False
        self.told_unkept = False
        self._wait_s = FIRST_WAIT_S
        self._started_at = 0.0
        self._solutions: SolutionStore | None = None

    def config(self, config: Config, number: int = 0) -> Config:
        return slot_config(config, number or self.number)

    @property
    def has_log(self) -> bool:
        return Transport.has_log(self.folder / "shares")

    @property
    def has_solutions(self) -> bool:
        return (self.folder / "solutions").is_dir()

    @property
    def solutions(self) -> SolutionStore:
        if self._solutions is None:
            self._solutions = SolutionStore(self.folder / "solutions", is_guest=True)
        return self._solutions

    def started(self, now: float) -> None:
        self.starts += 1
        self.adopted = self.was_heard = False
        self._started_at = self.heard_at = now

    def over(self, now: float) -> None:
        """Its process has ended."""
        self._wait_s = FIRST_WAIT_S if now - self._started_at > STEADY_S else min(2 * self._wait_s, LONGEST_WAIT_S)
        self.start_at = now + self._wait_s
        self.process, self.serves, self.adopted, self.was_heard = None, False, False, False
        if self.peer is not None:
            self.peer.cut()
            self.peer = None
        self.told.forget()
        self.ingest = None

    def told_ingest(self, books: SqlBooks) -> ToldIngest:
        """One for the life of a process: it asks the books where to go on."""
        if self.ingest is None:
            self.ingest = ToldIngest(self.told, self.solutions, books.of_log(self.log_name), wall_ms)
        return self.ingest

    def rescue(self, mining: Mining) -> BlockSubmission:
        """What submits its unfinished blocks; their endings count among the pool's."""
        if self.submission is None:
            blocks = mining.blocks
            self.submission = BlockSubmission(
                self.solutions, mining.nodes, mining.kinds, blocks.parent_kind, blocks.parent,
                on_outcome=mining._ask_for_work,
            )  # fmt: skip
            self.submission.elsewhere = blocks.elsewhere
            self.submission.results = blocks.results
            self.submission.refusals = blocks.refusals
            self.submission.submit_times = blocks.submit_times
        return self.submission
