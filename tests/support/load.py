"""The process of load_miners.py, asked from a test's own loop."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("load_miners.py")
ANSWER_S = 60.0
IN_S = 300.0
LOOK_S = 0.5


class Load:
    """Commands one after the other; `sums` adds up the counts of every report."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self.sums: dict[str, int] = {}
        self.tips: dict[str, list[float]] = {}

    async def ask(self, what: str, **values: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        async with self._turn, asyncio.timeout(ANSWER_S):
            self._process.stdin.write(json.dumps({"do": what, **values}).encode() + b"\n")
            line = await self._process.stdout.readline()
        assert line, "the load has ended"
        return json.loads(line)

    async def report(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.ask("report")
        for name, value in found.items():
            if isinstance(value, int):
                self.sums[name] = self.sums.get(name, 0) + value
        for tip, (count, first, last) in found["tips"].items():
            known = self.tips.setdefault(tip, [0, first, last])
            known[0] += count
            known[2] = last
        return found

    async def ready(self, fraction: float = 1.0, limit_s: float = IN_S) -> float:
        """Until that part of the miners has work; the seconds that took. Raises AssertionError."""
        began = time.monotonic()
        while True:
            found = await self.report()
            if found["ready"] >= fraction * found["miners"]:
                return time.monotonic() - began
            assert time.monotonic() - began < limit_s, f"{found['ready']} of {found['miners']} miners have work"
            await asyncio.sleep(LOOK_S)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@asynccontextmanager
async def load_on(port: int, hashes: Path | None = None) -> AsyncIterator[Load]:
    """Miners for a Stratum port of this machine, none yet. They end with the block."""
    command = [sys.executable, str(PROGRAM), str(port), *([] if hashes is None else [str(hashes)])]
    pipe = asyncio.subprocess.PIPE
    load = Load(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**24))
    try:
        yield load
    finally:
        await load.end()
