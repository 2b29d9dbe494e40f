"""The rule files of deploy/prometheus, and `promtool`, which Debian's prometheus brings."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pool.metrics.table import METRICS

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
PREFIX = "parapool_"
SERIES = {
    PREFIX + metric.name + suffix
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}
NAME = re.compile(r"\b(?:parapool_\w+|[a-z]+:[a-z_]+:[a-z0-9_]+)\b")


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def write_yaml(path: Path, content: Any) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)
    return path


@cache
def groups(name: str) -> list[dict[str, Any]]:
    """The groups of alerts.yml or recording.yml."""
    found: list[dict[str, Any]] = read_yaml(PROMETHEUS / name)["groups"]
    return found


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in groups("alerts.yml") for rule in group["rules"]]


def promtool(*words: str, cwd: Path) -> tuple[int, str]:
    """Exit code, and what it said."""
    done = subprocess.run(["promtool", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr
