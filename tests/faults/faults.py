"""All faults under load, part of `make nightly`: `python tests/faults/faults.py`. Exit code 1 when one misses its bar.

Front end and accountant with Redis and PostgreSQL through the whole list, again until 1,000 solves were found;
a pool of two processes of which one hangs and others die; the parent's jobs while auxiliary chains are in trouble.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

# Where the tests' support lies, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from aux_latency_run import aux_latency
from fault_list import FAULTS
from faults_run import faults
from fleet_run import fleet
from support.verdicts import Verdicts

SCENES = ("faults", "fleet", "auxiliary")
SILENT_S = 30.0  # the product's own


async def play(given: argparse.Namespace, folder: Path, verdicts: Verdicts) -> None:
    chosen = [fault for fault in FAULTS if given.only in fault.name]
    if "faults" in given.scenes:
        await faults(
            chosen, folder / "faults", verdicts, connections=100, share_s=0.25, seconds=given.seconds,
            solves=given.solves,
        )  # fmt: skip
    if "fleet" in given.scenes:
        await fleet(folder / "fleet", verdicts, connections=100, share_s=0.5, silent_s=SILENT_S, rescues=5)
    if "auxiliary" in given.scenes:
        await aux_latency(folder / "auxiliary", verdicts, tips=given.tips)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", default=SCENES, help=f"{', '.join(SCENES)}; default: all")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each fault")
    parser.add_argument("--solves", type=int, default=1000)
    parser.add_argument("--tips", type=int, default=200)
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    given = parser.parse_args()
    verdicts = Verdicts()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)  # PostgreSQL is another user where this is root
    try:
        asyncio.run(play(given, folder, verdicts))
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
