"""The loop of a process, tried in a process of its own: there is one reactor in each."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, gc
from pool.reactor import YOUNG_OBJECTS, run

async def main():
    await asyncio.sleep(0)
    assert gc.isenabled() and gc.get_threshold()[0] == YOUNG_OBJECTS
    return 7 if gc.get_freeze_count() > 10_000 else 1

raise SystemExit(run(main()))
"""


def test_reactor_gives_the_exit_code_and_has_the_collector_pass_over_what_imports_made() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr
