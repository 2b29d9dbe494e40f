"""B_k in virtual time against the reference tables, in a short form; `pool simulate bk --full` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pool.cli import simulate_bk
from pool.cli.simulate import simulate
from pool.simulation.bk_attack import run_attack
from pool.simulation.bk_delay import DelayScenario, run_delay
from pool.simulation.bk_oracle import HONEST, OracleRow
from pool.simulation.bk_plot import plot_bk
from pool.simulation.bk_tables import AttackCell, Compared, HonestRow, attack_cell, honest_row

ROW = {(row.interval_s, row.k): row for row in HONEST}


@pytest.mark.parametrize(
    ("row", "votes"),
    [(ROW[600, 1], 300), (ROW[60, 8], 1000), (ROW[60, 51], 1000), (ROW[15, 51], 1000)],
    ids=lambda value: f"T{value.interval_s}-k{value.k}" if isinstance(value, OracleRow) else "",
)
def test_simulation_bk_honest_chain_is_the_reference(row: OracleRow, votes: int) -> None:
    assert not [value for value in honest_row(row, votes, (1,)).values if not value.agrees]


@pytest.mark.parametrize(("k", "share"), [(8, 0.33), (32, 0.45)])
def test_simulation_bk_withholding_pays_what_the_reference_says(k: int, share: float) -> None:
    assert attack_cell(k, share, 1000, (1, 2)).value.agrees


def test_simulation_bk_same_seed_same_numbers() -> None:
    scenario = DelayScenario(8, 60, 400)
    assert run_delay(scenario, 5) == run_delay(scenario, 5) != run_delay(scenario, 6)
    assert run_attack(4, 0.4, 300, 5) == run_attack(4, 0.4, 300, 5)


def test_simulation_bk_every_vote_in_the_chain_is_counted_once() -> None:
    result = run_delay(DelayScenario(4, 60, 500), 3)
    assert sum(result.income) == pytest.approx(10)
    assert result.forks == 0


def test_simulation_bk_comparison_tells_what_is_off() -> None:
    values = honest_row(OracleRow(60, 8, 0.2, 63.0, 0.335, 0.44, 1.40), 600, (1,)).values
    assert [value.name for value in values if not value.agrees] == ["orphaned"]
    assert not Compared("x", 1.0, 2.0, 4.1).agrees


def test_simulation_bk_command_prints_both_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate_bk, "SHORT_ROWS", ((600, 8),))
    monkeypatch.setattr(simulate_bk, "SHORT_CELLS", ((0.33, 8),))
    picture = tmp_path / "bk.png"
    result = CliRunner().invoke(simulate, ["bk", "--votes", "1000", "--seeds", "1", "--plot", str(picture)])
    assert "T=600  k=8   orphaned" in result.output and "share=0.33 k=8" in result.output
    assert "6 of 6 values within four standard errors" in result.output and result.exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_simulation_bk_picture_of_a_row(tmp_path: Path) -> None:
    names = ("orphaned", "CV", "late/block", "leaders/height")
    row = HonestRow(ROW[60, 8], tuple(Compared(name, 1.0, 1.0, 0.0) for name in names))
    path = tmp_path / "row.svg"
    plot_bk([row], [AttackCell(8, 0.33, Compared("reward", 0.4, 0.4, 0.0))], path)
    assert b"<svg" in path.read_bytes()
    with pytest.raises(ValueError):
        plot_bk([row], [], tmp_path / "row.nonsense")
