"""What a long run found: figures with the bar each is held to, told as they come and once more at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Verdicts:
    """`say` tells progress; quiet ones are for tests. `failed` has the names of what missed its bar."""

    quiet: bool = False
    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def say(self, text: str) -> None:
        if not self.quiet:
            print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def at_most(self, name: str, value: float, bar: float, unit: str = "") -> None:
        self._add(name, f"{value:.4g}{unit}", f"at most {bar:g}{unit}", value <= bar)

    def at_least(self, name: str, value: float, bar: float, unit: str = "") -> None:
        self._add(name, f"{value:.4g}{unit}", f"at least {bar:g}{unit}", value >= bar)

    def figure(self, name: str, text: str) -> None:
        """Without a bar."""
        self._add(name, text, "", True)

    def holds(self, name: str, text: str, good: bool) -> None:
        self._add(name, text, "has to hold", good)

    @property
    def failed(self) -> list[str]:
        return [f"{name}: {value}, {bar}" for name, value, bar, good in self.rows if not good]

    def table(self) -> str:
        lines = ["| figure | value | bar | |", "|---|---|---|---|"]
        for name, value, bar, good in self.rows:
            lines.append(f"| {name} | {value} | {bar or '-'} | {('met' if good else 'MISSED') if bar else ''} |")
        return "\n".join(lines)

    def _add(self, name: str, value: str, bar: str, good: bool) -> None:
        self.rows.append((name, value, bar, good))
        self.say(f"{'ok    ' if good else 'MISSED'} {name}: {value}" + (f" ({bar})" if bar else ""))
