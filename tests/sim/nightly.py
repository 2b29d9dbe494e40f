"""The long form of the simulations: `make nightly`, or `python tests/sim/nightly.py --seeds 10000 --first 0 books`.

Shows how far it is, and each seed that failed as soon as it did. Exit code 1 when any failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# Where this file lies, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parent))

from sim_seeds import SIMULATIONS, Job, Tally, play_all


def main() -> int:
    parser = argparse.ArgumentParser(description="Plays many seeds of the simulations.")
    parser.add_argument("names", nargs="*", default=list(SIMULATIONS), help=f"{', '.join(SIMULATIONS)}; default: all")
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int)
    options = parser.parse_args()
    failed = False
    for name in options.names:
        tally = _play(name, options)
        failed = failed or bool(tally.failures)
    return int(failed)


def _play(name: str, options: argparse.Namespace) -> Tally:
    began, told = time.monotonic(), 0

    def progress(tally: Tally) -> None:
        nonlocal told
        if len(tally.failures) > told:
            told = len(tally.failures)
            job = list(tally.failures)[-1]
            print(f"\nFAILED {job}\n{tally.failures[job]}", flush=True)
        if tally.runs % 50 == 0 or tally.runs == options.seeds:
            took_s = time.monotonic() - began
            words = f"{name}: {tally.runs} of {options.seeds} seeds, {told} failed, {took_s:.0f} s"
            print(f"\r{words}", end="" if sys.stdout.isatty() else "\n", flush=True)

    jobs = [Job(name, seed) for seed in range(options.first, options.first + options.seeds)]
    tally = play_all(jobs, processes=options.processes, progress=progress)
    counts = " ".join(f"{key}={count}" for key, count in sorted(tally.counts.items()))
    print(f"\n{name}: {tally.runs} seeds, {len(tally.failures)} failed; {counts}")
    return tally


if __name__ == "__main__":
    sys.exit(main())
