"""What the running process knows of itself, for the HTTP API and the metrics: read when asked, never pushed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pool.config.configuration import Config
from pool.metrics.samples import MetricSamples, known_height
from pool.parallel_setup import network_name_of
from pool.scheme_setup import schemes_of
from pool.services.block_leading import BlockLeading
from pool.services.block_submission import BlockSubmission
from pool.services.bookkeeping import Bookkeeping
from pool.services.chain_watch import WatchedChain
from pool.services.job_broadcast import JobBroadcast
from pool.services.share_feed import ShareFeed
from pool.services.share_intake import ShareIntake
from pool.shares.share_log import ShareLog
from pool.web.api import ChainStatus, LeadingStatus
from stratum.server import StratumServer


class LiveStatus:
    """Implements pool.web.api.LiveStatus and pool.metrics.collector.MetricsSource."""

    def __init__(
        self,
        config: Config,
        chains: Mapping[str, WatchedChain],
        intake: ShareIntake,
        jobs: JobBroadcast,
        blocks: BlockSubmission,
        log: ShareLog,
        log_directory: Path,
        books: Bookkeeping | ShareFeed,
        servers: Sequence[StratumServer],
    ) -> None:
        self.started_ms = time.time_ns() // 1_000_000
        self._config = config
        self._chains = chains
        self._intake = intake
        self._jobs = jobs
        self._blocks = blocks
        self._log = log
        self._log_directory = log_directory
        self._books = books
        self._servers = servers
        self.samples = MetricSamples(chains, intake, jobs, blocks, servers, log_directory.parent)
        self.leading: Mapping[str, BlockLeading] = {}
        self.accepting = True
        self.blocks_by_state: Mapping[tuple[str, str], int] = {}

    def adopt(self, config: Config) -> None:
        """A new configuration was taken over."""
        self._config = config

    # -- the pool -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._config.pool.name

    @property
    def parent(self) -> str:
        return self._config.parent

    @property
    def algorithm(self) -> str:
        return self._chains[self._config.parent].network.pow_hash

    @property
    def fee_ppm(self) -> int:
        return self._config.pool.fee_ppm

    @property
    def stratum_urls(self) -> list[str]:
        return [port.url for port in self._config.stratum.ports]

    def chains(self) -> list[ChainStatus]:
        """`in_tree` tells what the newest job works for: a chain may offer templates and yet be left out."""
        job = self._jobs.table.current
        mined = () if job is None else job.templates.chains()
        return [
            ChainStatus(
                c.name, c.kind_name, known_height(c), c.target, c.state.value, c.name in mined,
                schemes_of(self._config, c.name), self._buying(c.name), network_name_of(self._config, c.name),
                self._leading_of(c.name),
            )
            for c in self._chains.values()
        ]  # fmt: skip

    def _leading_of(self, chain: str) -> LeadingStatus | None:
        found = self.leading.get(chain)
        return None if found is None else LeadingStatus(not found.problem, found.led, found.refused)

    def _buying(self, chain: str) -> bool | None:
        bought = self._intake.schemes.bought.get(chain)
        return None if bought is None else not bought.guard.suspended

    # -- miners ---------------------------------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        return sum(len(server.connections) for server in self._servers)

    @property
    def draining(self) -> bool:
        return any(server.closed_to_new for server in self._servers)

    @property
    def workers(self) -> int:
        return sum(len(c.session.users) for server in self._servers for c in server.connections)

    @property
    def connection_results(self) -> Mapping[str, int]:
        return sum((server.counters.connections for server in self._servers), Counter())

    @property
    def closed_reasons(self) -> Mapping[str, int]:
        return sum((server.counters.closed for server in self._servers), Counter())

    @property
    def bans(self) -> int:
        return sum(server.counters.bans for server in self._servers)

    @property
    def parse_errors(self) -> Mapping[str, int]:
        return sum((server.counters.parse_errors for server in self._servers), Counter())

    # -- shares ---------------------------------------------------------------------------------------------------

    @property
    def shares_accepted(self) -> int:
        return self._intake.accepted

    @property
    def shares_rejected(self) -> Mapping[str, int]:
        """By reason: those the session refuses (wrong form, not authorized) and those the validation refuses."""
        return sum((server.counters.rejected for server in self._servers), Counter())

    @property
    def accepted_work(self) -> int:
        return self._intake.accepted_work

    @property
    def solves_expected(self) -> Mapping[str, float]:
        return self._intake.expected_solves

    @property
    def solves_seen(self) -> Mapping[str, int]:
        return self._intake.seen_solves

    @property
    def spool_bytes(self) -> int:
        return sum(_size(path) for path in self._log_directory.glob("*.log"))

    @property
    def spool_pending_shares(self) -> int:
        return self._log.pending

    @property
    def share_fsync_s(self) -> float:
        return self._log.last_fsync_s

    @property
    def consumer_lag_shares(self) -> int | None:
        """None until the books have read what was there at the start: sequences have a gap at each one, so only what
        came since then can be counted by them."""
        consumed = self._books.consumed_through
        return None if consumed < 0 else max(0, self._log.durable_sequence - consumed)

    @property
    def books_lag_s(self) -> float:
        return self._books.lag_ms / 1000

    # -- jobs and blocks ------------------------------------------------------------------------------------------

    @property
    def jobs_sent(self) -> int:
        return self._jobs.jobs_sent

    @property
    def job_age_s(self) -> float | None:
        return self._jobs.clock() - self._jobs.sent_at if self._jobs.jobs_sent else None

    @property
    def template_refusals(self) -> Mapping[str, int]:
        return self._jobs.refusals

    @property
    def submit_results(self) -> Mapping[tuple[str, str], int]:
        return self._blocks.results

    @property
    def reactor_lag_s(self) -> float:
        return self.samples.reactor_lag_s


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the books are through with it and have just deleted it
        return 0
