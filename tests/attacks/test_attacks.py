"""The floods in short: limits made smaller, so that every eviction comes within seconds."""

from __future__ import annotations

from pathlib import Path

from attackers import PLAYS
from attacks_run import Plan, attack_all
from support.verdicts import Verdicts

SHORT_S = 3.0
SHORT = Plan(
    honest=40,
    share_s=0.25,
    baseline_s=0.5,
    seconds=dict.fromkeys(PLAYS, SHORT_S),
    connections=dict.fromkeys(PLAYS, 20) | {"invalid shares": 3},
    lives_s=dict.fromkeys(PLAYS, SHORT_S),
    ban_s=1.5,
    ended={"no reading": 0},  # a kernel's buffers hold seconds of answers
    limits={
        "first_line_s": 1.0, "authorize_s": 1.0, "flood_s": 1.0, "flood_per_s": 60, "ban_shares": 30,
        "unsent_progress_s": 1.0, "unsent_bytes": 4096, "accepts_per_s": 1000,
    },
)  # fmt: skip


async def test_attacks_are_ended_in_time_and_honest_miners_stay(tmp_path: Path) -> None:
    verdicts = Verdicts(quiet=True)
    await attack_all(SHORT, tmp_path / "attacks", verdicts, together=True)
    # How much slower honest answers become is for a machine that has nothing else to do: `make nightly` judges it.
    failed = [text for text in verdicts.failed if "times its baseline" not in text]
    assert failed == [], verdicts.table()
    assert len(verdicts.rows) >= 7 * len(PLAYS)
