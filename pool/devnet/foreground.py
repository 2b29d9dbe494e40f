"""What commands share that keep children running before somebody's eyes: lines and tables, until Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

from pool.devnet.demo.children import Child, ChildEndedError, stop
from pool.devnet.demo.interruption import Interruption

TABLE_INTERVAL_S = 1.0
LINES_INTERVAL_S = 5.0
TEND_INTERVAL_S = 0.25

View = TypeVar("View")


class Foreground:
    """One run of such a command, called `name` in its complaints. Who reads may go at any time (`| head`, a closed
    terminal): that is a wish to stop."""

    def __init__(self, name: str, interrupted: Interruption) -> None:
        self.name = name
        self.interrupted = interrupted

    def run(self, start: Callable[[], bool], show: Callable[[], None], end: Callable[[], None]) -> int:
        """Starts, shows when `start` says so, and ends in any case. The exit code: 0 after Ctrl-C, 1 when a child ended
        or the system refused something."""
        try:
            if start():
                show()
        except ChildEndedError as ended:
            lines = "".join(f"\n  {line}" for line in ended.child.tail())
            self.complain(f"\n{ended}; its last lines ({ended.child.log_path}):{lines or ' none'}")
            return 1
        except OSError as error:
            self.complain(f"the {self.name} cannot run: {error}")
            return 1
        finally:
            end()
        return 0

    def say(self, text: str, stream: TextIO | None = None) -> None:
        stream = stream or sys.stdout
        try:
            print(text, file=stream, flush=True)
        except OSError:
            self._reader_gone(stream)

    def complain(self, text: str) -> None:
        self.say(text, sys.stderr)

    def show(
        self,
        views: Callable[[float], Iterable[View]],
        lines: Callable[[View], Iterable[str]],
        table: Callable[[View], RenderableType],
    ) -> None:
        """Each of `views(interval_s)`: a table that stays in its place on a terminal, lines elsewhere."""
        console = Console()
        if not console.is_terminal:
            for view in views(LINES_INTERVAL_S):
                self.say("\n".join(lines(view)))
            return
        try:
            with Live(console=console, auto_refresh=False) as live:
                for view in views(TABLE_INTERVAL_S):
                    live.update(table(view), refresh=True)
        except OSError:
            self._reader_gone(sys.stdout)

    def turns(self, interval_s: float, tend: Callable[[], None]) -> Iterator[None]:
        """One turn every `interval_s` until somebody interrupts; `tend` is called before each, and while it waits."""
        while not self.interrupted.is_set():
            tend()
            yield
            until_s = time.monotonic() + interval_s
            while time.monotonic() < until_s and not self.interrupted.wait(min(TEND_INTERVAL_S, interval_s)):
                tend()

    def stop(self, stages: Sequence[Sequence[Child]], data_dir: Path) -> None:
        """Stage after stage; nothing is said when nothing was started."""
        if not any(stages):
            return
        self.say("\nstopping ...")
        for stage in stages:
            for name in stop(stage):
                self.complain(f"{name} did not end by itself and was killed")
        self.say(f"stopped; everything is kept in {data_dir}, the next start goes on from there")

    def _reader_gone(self, stream: TextIO) -> None:
        self.interrupted.set()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
