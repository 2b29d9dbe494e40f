"""docs/start.md, section 13, typed as it stands: a B_k network, a node of one's own, and a pool that mines on it. Other
are only the ports, and the numbers that decide how long it takes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.doc_commands import ROOT, DocCommand, commands_of
from support.network import until
from support.ports import free_port

from pool.devnet.demo.children import Child, stop

START = "docs/start.md"
SECTION = "## 13. "
STEP_S = 120.0
PORTS = ("9798", "9799", "19521", "3353", "8083")
READY = {
    "chains.network_run": "READY", "devnet node": "READY", "devnet up": "agree on height", "run -c": "pool started",
    " mine ": "connected to",
}  # fmt: skip
"""What runs until Ctrl-C, and what it says once it works."""


def section() -> list[DocCommand]:
    lines = (ROOT / START).read_text().splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith(SECTION))
    return [command for command in commands_of(START) if command.line > first]


class Reader:
    """Whoever types it, in a folder of his own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        base = free_port()
        self.replaced = {port: str(free_port()) for port in PORTS} | {"9700": str(base), "9701": str(base + 1)}
        self.replaced |= {"--seconds 20 --hashrate 300000": f"--seconds 4 --hashrate 60000 --port {base}"}
        file = folder / "deploy/bk-devnet.yaml"
        file.write_text(self.own(file.read_text()))
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.children: list[Child] = []

    def own(self, text: str) -> str:
        """The text with this reader's ports and numbers."""
        for old, new in self.replaced.items():
            text = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, text)
        return text

    async def type(self, command: DocCommand) -> str:
        """What it said; of what goes on, until it works."""
        text = self.own(command.text)
        if text.startswith("export "):
            name, _, value = text.removeprefix("export ").partition("=")
            self.environment[name] = (await self._run(f"echo {value}")).strip()
            assert self.environment[name], command.place
            return self.environment[name]
        said = next((said for part, said in READY.items() if part in text), None)
        if said is None:
            return await self._run(text)
        names = [f"{key}={value}" for key, value in self.environment.items() if os.environ.get(key) != value]
        log = self.folder / f"typed-{command.line}.log"
        child = Child(text, ["env", "-C", str(self.folder), *names, "bash", "-c", f"exec {text}"], log)
        self.children.append(child)

        async def works() -> bool:
            assert child.exit_code() is None, f"{command.place}: {child.log_text()[-2000:]}"
            return said in child.log_text()

        await until(works, f"{command.place}: {said}", STEP_S)
        return child.log_text()

    async def _run(self, text: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", text, cwd=self.folder, env=self.environment, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(STEP_S):
            said, _ = await process.communicate()
        assert process.returncode == 0, f"{text}: {said.decode()[-2000:]}"
        return said.decode()

    def child(self, part: str) -> Child:
        return next(child for child in self.children if part in child.name)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    for child in reversed(found.children):
        stop([child])


async def test_network_start_page_leads_to_votes_blocks_and_income(reader: Reader) -> None:
    commands = section()
    first_look = next(number for number, command in enumerate(commands) if "pool status" in command.text)
    said = {command.text: await reader.type(command) for command in commands[:first_look]}
    doctor = next(text for command, text in said.items() if "doctor" in command)
    assert "but for its missing work" in " ".join(doctor.split())
    pool = reader.child("run -c")

    async def tells() -> bool:
        assert pool.exit_code() is None, pool.log_text()[-2000:]
        return all(re.search(line, pool.log_text()) for line in (
            r"solved chain=votes", r"submitted chain=votes .*result=accepted", r"block led chain=votes",
            r"vote credited chain=votes .*reward=625000000",
        ))  # fmt: skip

    await until(tells, "what the page shows of the log", STEP_S)
    status, blocks, led, balance = [await reader.type(command) for command in commands[first_look:]]
    assert re.search(r"votes +ok +height +[1-9]", status)
    assert {item["chain"] for item in json.loads(blocks.splitlines()[-1])["items"]} == {"votes"}
    assert re.search(r'result="accepted"} [1-9]', led)
    assert json.loads(balance.splitlines()[-1])["result"]["immature"] >= 625_000_000
