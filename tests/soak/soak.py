"""The soak: `make soak`, or `python tests/soak/soak.py --minutes 60`. Exit code 1 when a figure misses its bar.

Half of the time 10,000 connections at 667 shares a second, half of it 5,000 at 1,667, over one pool, and then what only
virtual time can tell: vardiff and hashrates. Less than ten minutes say little of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import sys
import tempfile
from pathlib import Path

# Where the tests' support lies, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.verdicts import Verdicts

sys.path.insert(0, str(Path(__file__).parent))

from soak_run import Part, soak
from soak_statistics import hashrates, retargets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--connections", type=int, default=10_000, help="of the first half")
    parser.add_argument("--statistics", action="store_true", help="virtual time only")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    verdicts = Verdicts()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    half_s = given.minutes * 30
    parts = [Part(given.connections, 15.0, half_s), Part(given.connections // 2, 3.0, half_s)]
    try:
        if not given.statistics:
            asyncio.run(soak(parts, folder, verdicts))
        retargets(verdicts)
        hashrates(verdicts, folder)
    except AssertionError as error:
        print(f"{error}\n{verdicts.table()}\neverything is kept in {folder}", file=sys.stderr)
        return 1
    print(verdicts.table())
    if verdicts.failed:
        print(f"everything is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
