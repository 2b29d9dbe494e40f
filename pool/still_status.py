"""What a process that mines nothing (roles payout and web) knows of itself: the configuration, and no node or miner."""

from __future__ import annotations

import time
from collections.abc import Mapping

from chains.families import network
from pool.config.configuration import Config
from pool.parallel_setup import network_name_of
from pool.scheme_setup import schemes_of
from pool.web.api import ChainStatus


class StillStatus:
    """Implements pool.web.api.LiveStatus. The chains' state is unknown here, which is no fault of theirs."""

    accepting, draining = True, False
    connections = workers = shares_accepted = accepted_work = jobs_sent = 0
    books_lag_s = 0.0

    def __init__(self, config: Config) -> None:
        self.started_ms = time.time_ns() // 1_000_000
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """A new configuration was taken over."""
        self._config = config
        self.name = config.pool.name
        self.parent = config.parent
        self.fee_ppm = config.pool.fee_ppm
        self.algorithm = network(config.parent_chain.family, config.parent_chain.network).pow_hash
        self.stratum_urls = [port.url for port in config.stratum.ports]

    @property
    def shares_rejected(self) -> Mapping[str, int]:
        return {}

    def chains(self) -> list[ChainStatus]:
        return [
            ChainStatus(
                name, chain.kind, None, None, "unknown", in_tree=True, schemes=schemes_of(self._config, name),
                network=network_name_of(self._config, name),
            )
            for name, chain in self._config.chains.items()
        ]  # fmt: skip
