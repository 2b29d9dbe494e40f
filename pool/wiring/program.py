"""`pool run`: which of the processes a configuration asks for, from its start to its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.fleet_setup import slots_on_disk
from pool.log_setup import set_up_log
from pool.notifications import notifying
from pool.reactor import run as run_reactor
from pool.wiring.beside import RunningBeside
from pool.wiring.many import RunningFleet, begin_anew
from pool.wiring.process import RunningPool


def run(config: Config, read: Callable[[], Config] | None = None) -> int:
    """`read` reads the configuration again. Returns the exit code."""
    set_up_log(config.log.format, config.log.level)
    begins_anew = False

    async def main() -> int:
        nonlocal begins_anew
        from twisted.python.log import PythonLoggingObserver

        PythonLoggingObserver("twisted").start()
        if config.pool.role in ("payout", "web"):
            return await RunningBeside(config, read).run()
        if config.pool.serves and (config.stratum.processes > 1 or slots_on_disk(config.pool.data_dir)):
            pool = RunningFleet(config, read)
            try:
                return await pool.run()
            finally:
                begins_anew = pool.begins_anew
        return await RunningPool(config, read).run()

    try:
        with notifying(config.notifications, config.pool.name):
            code = run_reactor(main())
    except StartError as error:
        print(f"pool: {error}", file=sys.stderr)
        return 1
    if begins_anew:
        begin_anew()
    return code
