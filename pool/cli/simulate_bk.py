"""`pool simulate bk`: the rules of B_k against the reference tables, in virtual time, by the nodes' own code."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.options import ANY_FILE, EXIT_OK

if TYPE_CHECKING:
    from pool.simulation.bk_tables import AttackCell, HonestRow

SHORT_ROWS = ((600, 8), (60, 8), (60, 51), (15, 51))
SHORT_CELLS = ((0.33, 8), (0.33, 32), (0.45, 2), (0.25, 16))


@click.command("bk", short_help="Compare simulated B_k chains with the reference tables.")
@click.option("--full", is_flag=True, help="Every row, with as many votes and seeds as the reference: half an hour.")
@click.option("--votes", type=click.IntRange(1000, 1_000_000), help="Votes of a run. Default: 2000; 20000 with --full.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Runs of a row. Default: 2, or 5 with --full.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed; the same one, the same numbers.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes to use.")
@click.option("--plot", "plot_path", metavar="FILE", type=ANY_FILE, help="Draw the tables (.png, .svg, .pdf).")
def simulate_bk(
    full: bool, votes: int | None, seeds: int | None, seed: int, jobs: int, plot_path: str | None
) -> NoReturn:
    """Simulate B_k with constant delays and under a withholding miner, next to the tables of an independent simulator.

    The nodes' own code runs in virtual time; only proofs of work are drawn instead of mined. Exit code 1 when a value
    is more than four standard errors off.

    \b
    Examples:
      pool simulate bk
      pool simulate bk --full --jobs 2 --plot bk.png
    """  # fmt: skip
    from pool.simulation.bk_oracle import ATTACK, ATTACK_K, HONEST
    from pool.simulation.plot import NoPlotsError

    runs = range(seed, seed + (seeds or (5 if full else 2)))
    count = votes or (20_000 if full else 2_000)
    rows = [row for row in HONEST if full or (row.interval_s, row.k) in SHORT_ROWS]
    cells = [(share, k) for share in ATTACK for k in ATTACK_K] if full else list(SHORT_CELLS)
    from pool.simulation.bk_tables import attack_cell, honest_row

    with ProcessPoolExecutor(jobs) as pool:
        honest_runs = [pool.submit(honest_row, row, count, runs) for row in rows]
        attack_runs = [pool.submit(attack_cell, k, share, count // 2 if full else count, runs) for share, k in cells]
        click.echo(f"10 equal nodes, 2 s delay: votes={count} seeds={len(runs)}; reference in brackets")
        honest = []
        for one in honest_runs:
            honest.append(one.result())
            _print_row(honest[-1])
        click.echo("withholding (minor delay), no delay: the attacker's part of the rewards")
        attack = []
        for cell in attack_runs:
            attack.append(cell.result())
            _print_cell(attack[-1])
    if plot_path is not None:
        from pool.simulation.bk_plot import plot_bk

        try:
            plot_bk(honest, attack, Path(plot_path))
        except (NoPlotsError, OSError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"drawn: {plot_path}")
    values = [value for row in honest for value in row.values] + [cell.value for cell in attack]
    off = [value for value in values if not value.agrees]
    click.echo(f"{len(values) - len(off)} of {len(values)} values within four standard errors")
    sys.exit(EXIT_OK if not off else 1)


def _print_row(row: HonestRow) -> None:
    told = "  ".join(f"{v.name} {v.ours:.4g} [{v.oracle:g}]{'' if v.agrees else ' OFF'}" for v in row.values)
    click.echo(f"T={row.oracle.interval_s:<4} k={row.oracle.k:<3} {told}")


def _print_cell(cell: AttackCell) -> None:
    value = cell.value
    off = "" if value.agrees else " OFF"
    click.echo(f"share={cell.share:.2f} k={cell.k:<3} {value.ours:.3f} [{value.oracle:.3f}]{off}")
