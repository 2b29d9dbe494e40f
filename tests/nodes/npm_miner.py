"""A Stratum client that is not ours: the npm package `stratum-client`, with a little hashing around it (mine.js)."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import Any

from node_daemons import STRATUM_CLIENT


async def mine_with_npm_client(
    host: str, port: int, worker: str, password: str, shares: int, algorithm: str = "sha256d", timeout_s: float = 120.0
) -> list[dict[str, Any]]:
    """Mine until this many shares are accepted; the events in order: subscribed, authorized, difficulty, job, accepted.
    A refused login or share, or too little time, is an AssertionError with what happened."""
    node = shutil.which("node")
    installed = (STRATUM_CLIENT / "node_modules" / "stratum-client").is_dir()
    assert node is not None and installed, "stratum-client is not installed: run `sh tests/install-parts.sh`"
    process = await asyncio.create_subprocess_exec(
        node, "mine.js", host, str(port), worker, password, str(shares), algorithm,
        cwd=STRATUM_CLIENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(timeout_s):
            async for line in process.stdout:
                lines.append(line.decode(errors="replace"))
            code = await process.wait()
    except TimeoutError:
        code = -1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert code == 0, f"stratum-client ended with {code}: {''.join(lines)[-2000:]}"
    return [json.loads(line) for line in lines]
