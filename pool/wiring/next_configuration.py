"""Another configuration, with everything made of it that may fail: from there it is taken over whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from pool.chain_setup import watched_chains
from pool.config.configuration import Config, ConfigError
from pool.config.reload import Reload, ReloadRefusedError, reload_between
from pool.data_dir import StartError
from pool.leader_keys import make_leaders
from pool.operator.tokens import Tokens
from pool.operator_setup import operator_tokens
from pool.services.chain_watch import WatchedChain
from pool.web.options import WebOptions
from pool.web_setup import web_options
from pool.wiring.paying import Wallets, changed_wallets


class NextConfiguration(NamedTuple):
    """`fresh` are the added and the renewed chains as it has them, `wallets` those of chains that need other payers."""

    change: Reload
    fresh: dict[str, WatchedChain]
    options: WebOptions
    wallets: Wallets
    tokens: Tokens | None


async def next_configuration(present: Config, read: Callable[[], Config]) -> NextConfiguration:
    """What `read` gives now, in a thread. Raises ReloadRefusedError, whatever is in the way."""
    try:
        new = await asyncio.to_thread(read)
        change = reload_between(present, new)
        if new.leads:
            make_leaders(new)
        fresh = watched_chains(new, (*change.added, *change.renewed))
        return NextConfiguration(change, fresh, web_options(new), changed_wallets(change), operator_tokens(new))
    except ConfigError as error:
        raise ReloadRefusedError(error.lines) from error
    except (StartError, OSError) as error:
        raise ReloadRefusedError([str(error)]) from error
