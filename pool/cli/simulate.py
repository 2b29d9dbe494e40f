"""`pool simulate`: what a reward scheme means for miners, before anybody mines under it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pool.cli.options import ANY_FILE, EXIT_OK
from pool.cli.simulate_bk import simulate_bk
from pool.progress import on_stderr
from pool.shares.scheme import SCHEMES, Scheme

if TYPE_CHECKING:
    from pool.simulation.variance import Outcome
    from pool.simulation.world import SimulatedChain, SimulatedShare

SHOWN_MINERS = 40


@click.group(invoke_without_command=True, short_help="Compare reward schemes, or simulate a chain's rules.")
@click.option("--shares", "shares_path", metavar="PATH", type=ANY_FILE,
              help="A block exported by `pool ledger export` (JSON), or a folder of share log segments.")
@click.option("--data-dir", metavar="DIR", type=ANY_FILE, help="A pool's data folder: takes the share log in it.")
@click.option("--chain", help="The chain whose shares count. Default: the first one in the log.")
@click.option("--schemes", "schemes_text", default="pplns,pps", show_default=True, metavar="NAME,…",
              help=f"What to compare, out of {', '.join(SCHEMES)}.")
@click.option("--reward", type=click.IntRange(0), default=5_000_000_000, show_default=True,
              help="What a block pays, in smallest units.")
@click.option("--fees", type=click.IntRange(0), default=0, show_default=True,
              help="Transaction fees in the reward: PPS does not pay for them, FPPS does.")
@click.option("--fee-ppm", type=click.IntRange(0, 1_000_000), default=0, show_default=True, help="The pool's fee.")
@click.option("--blocks", type=click.IntRange(1), metavar="N",
              help="Blocks to be expected of these shares. Default: those that were solved, or 50.")
@click.option("--factor", default="2", show_default=True, help="PPLNS: works of a block in the window.")
@click.option("--window-min-s", type=click.IntRange(0), default=0, show_default=True, help="PPLNS: shortest window.")
@click.option("--miners", type=click.IntRange(1, 1000), default=10, show_default=True, help="Without shares: miners.")
@click.option("--share-count", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True,
              help="Without shares: how many are made up.")
@click.option("--runs", type=click.IntRange(1, 100_000), default=200, show_default=True,
              help="How often it is drawn which shares solve a block.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same numbers.")
@click.option("--plot", "plot_path", metavar="FILE", type=ANY_FILE, help="Draw the comparison (.png, .svg, .pdf).")
@click.pass_context
def simulate(
    context: click.Context, shares_path: str | None, data_dir: str | None, chain: str | None, schemes_text: str,
    reward: int, fees: int, fee_ppm: int, blocks: int | None, factor: str, window_min_s: int, miners: int,
    share_count: int, runs: int, seed: int, plot_path: str | None,
) -> None:
    """Replay the same shares under several reward schemes, side by side.

    Shares come from a share log, from the export of a block, or are made up. Which of them solve a block is drawn again
    in each run, with the odds of their weight; the amounts are computed by the functions that the pool credits by.
    Prints each miner's mean income, its variance and its spread (standard deviation, as a part of the mean).

    \b
    Examples:
      pool simulate --schemes pplns,pps --plot schemes.png
      pool simulate --data-dir /var/lib/parapool --chain namecoin --schemes pplns,solo --blocks 20
      pool simulate --shares split.json --schemes pplns,fpps --reward 315000000 --fees 2500000
    """  # fmt: skip
    if context.invoked_subcommand is not None:
        return
    from pool.simulation.plot import NoPlotsError, plot
    from pool.simulation.sources import NoSharesError, described
    from pool.simulation.variance import compare, recorded

    schemes = _schemes(schemes_text)
    chance = random.Random(seed)
    try:
        shares = _shares(shares_path, data_dir, chain, miners, share_count, chance)
    except NoSharesError as error:
        raise click.ClickException(str(error)) from error
    there = described(shares)
    blocks = blocks or there["solves"] or 50
    if there["weight"] < blocks:
        raise click.UsageError(f"--blocks: these shares hold {there['weight']} expected hashes, fewer than blocks")
    terms = _chain(reward, fees, fee_ppm, there["weight"] // blocks, factor, window_min_s)
    first = recorded(shares) if there["solves"] else None
    with on_stderr("simulation") as tell:
        outcomes = compare(shares, terms, schemes, runs, chance.random, first, tell)
    told = " ".join(f"{name}={value}" for name, value in there.items())
    click.echo(f"{told} blocks={blocks} work={terms.work} runs={runs} seed={seed}")
    _print_table(shares, outcomes)
    if plot_path is not None:
        try:
            plot(outcomes, Path(plot_path))
        except (NoPlotsError, OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"drawn: {plot_path}")
    sys.exit(EXIT_OK)


simulate.add_command(simulate_bk)


def _schemes(text: str) -> list[Scheme]:
    wanted = [name.strip().lower() for name in text.split(",")]
    found = [scheme for name in wanted for scheme in SCHEMES if scheme == name]
    if len(found) != len(wanted) or len(set(found)) != len(found):
        raise click.UsageError(f"--schemes: expected different names out of {', '.join(SCHEMES)}, such as pplns,pps")
    return found


def _shares(
    path: str | None, data_dir: str | None, chain: str | None, miners: int, share_count: int, chance: random.Random
) -> list[SimulatedShare]:
    from pool.simulation import sources

    if path is not None and data_dir is not None:
        raise click.UsageError("expected --shares or --data-dir, not both")
    if data_dir is not None:
        return sources.from_log(Path(data_dir) / "shares", chain)
    if path is not None:
        return sources.from_log(Path(path), chain) if Path(path).is_dir() else sources.from_export(Path(path), chance)
    return sources.synthetic(miners, share_count, chance)


def _chain(reward: int, fees: int, fee_ppm: int, work: int, factor: str, window_min_s: int) -> SimulatedChain:
    from fractions import Fraction

    from pool.simulation.world import SimulatedChain

    try:
        exact = Fraction(factor)
    except (ValueError, ZeroDivisionError):
        exact = Fraction(0)
    if exact <= 0:
        raise click.UsageError("--factor: expected a number over 0, such as 2 or 5/2")
    if fees > reward:
        raise click.UsageError("--fees: expected at most the reward, which they are a part of")
    return SimulatedChain(reward, work, fees, fee_ppm, exact, window_min_s * 1000)


def _print_table(shares: list[SimulatedShare], outcomes: list[Outcome]) -> None:
    from pool.simulation.world import miners_of

    weights = miners_of(shares)
    total = sum(weights.values())
    width = max(5, *(len(miner) for miner in list(weights)[:SHOWN_MINERS]))
    heads = "".join(f"  {o.scheme + ' mean':>18} {'variance':>10} {'spread':>8}" for o in outcomes)
    click.echo(f"{'miner':{width}} {'part':>7}{heads}")
    for number, (miner, weight) in enumerate(weights.items()):
        if number == SHOWN_MINERS:
            click.echo(f"and {len(weights) - SHOWN_MINERS} more")
            break
        spreads = [outcome.spreads[miner] for outcome in outcomes]
        cells = "".join(f"  {s.mean:18.0f} {s.variance:10.3g} {100 * s.relative:7.2f}%" for s in spreads)
        click.echo(f"{miner:{width}} {100 * weight / total:6.2f}%{cells}")
