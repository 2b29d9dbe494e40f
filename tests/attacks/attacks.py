"""The attacks in their long form, part of `make nightly`: `python tests/attacks/attacks.py`. Exit code 1: a bar missed.

Needs 20,000 open files in a process for 10,000 slow strangers; with fewer there are fewer of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

# Where the tests' support lies, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from attacks_run import Plan, attack_all
from support.verdicts import Verdicts


def plan(fraction: float, files: int, ban_s: float) -> Plan:
    """The product's own limits; `fraction` shortens what nobody has to wait for."""
    many = min(10_000, int(files * 0.45))
    return Plan(
        honest=500,
        share_s=1.0,
        baseline_s=max(2.0, 10.0 * fraction),
        seconds={
            "slowloris": max(14.0, 60 * fraction), "silent": max(35.0, 60 * fraction),
            "invalid shares": max(15.0, 60 * fraction), "long lines": 30 * fraction + 5,
            "no reading": 100.0, "logins": max(15.0, 60 * fraction), "TLS hellos": 30 * fraction + 5,
            "garbage": 30 * fraction + 5,
        },
        connections={
            "slowloris": many, "silent": many // 2, "invalid shares": 25, "long lines": 50, "no reading": 200,
            "logins": 20, "TLS hellos": 100, "garbage": 100,
        },
        # 45 shares a second are the ban's 200 in 5 s; what nobody reads fills 128 KiB of the kernel, then 30 s pass.
        lives_s={
            "slowloris": 30, "silent": 30, "invalid shares": 10, "long lines": 10, "no reading": 95, "logins": 15,
            "TLS hellos": 2, "garbage": 2,
        },
        ban_s=ban_s,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fraction", type=float, default=1.0, help="of the time that each attack goes on")
    parser.add_argument("--ban-s", type=float, default=30.0, help="instead of ten minutes")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(10)  # strangers do not share the pool's cores as a rule
    verdicts = Verdicts()
    folder = Path(tempfile.mkdtemp(prefix="attacks-"))
    try:
        asyncio.run(attack_all(plan(given.fraction, hard, given.ban_s), folder, verdicts))
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
