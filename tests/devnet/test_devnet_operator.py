"""The operator at work on a whole devnet, by the command line as he types it: miners move away and come back, and what
they had mined counts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.devnet import PARENT, RARE_BITS, Devnet, steps
from support.ports import free_port
from support.rig import Rig

from pool.devnet.demo.children import pool_command


async def operator(devnet: Devnet, *words: str) -> Any:
    """`pool operator …`: the answer of one that is done, the sentence of one that is not."""
    command = pool_command("operator", *words, "-c", str(devnet.config_path), "--json")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, problem = await process.communicate()
    assert process.returncode in (0, 1), problem
    return json.loads(out) if process.returncode == 0 else problem.decode()


async def test_devnet_operator_drains_a_pool_that_goes_on(make_devnet: Any) -> None:
    port = free_port()
    devnet: Devnet = await make_devnet(
        bits={PARENT: RARE_BITS}, edit=lambda config: config.update(operator={"bind": f"127.0.0.1:{port}"})
    )
    login = f"{devnet.config.chains[PARENT].address}.rig"
    rig = await devnet.rig(login)
    for _ in range(9):
        await rig.share(above=devnet.target(PARENT))
    [seen] = (await operator(devnet, "connections", "--login", login.partition(".")[0]))["items"]
    assert seen["logins"] == [{"login": login.partition(".")[0], "worker": "rig"}] and seen["last_share_ms"]
    assert await operator(devnet, "message", "good night") == {"connections_told": 1, "missing": []}
    assert (await operator(devnet, "reload")) == {"added": [], "removed": [], "changed": []}

    steps.info("everybody elsewhere")
    idle = await asyncio.open_connection("127.0.0.1", devnet.config.stratum.ports[0].address[1])
    assert (await operator(devnet, "drain", "--over-s", "0"))["draining"]
    assert (await devnet.http("/healthz"))[0] == 200 and (await devnet.http("/readyz"))[0] == 404
    await devnet.until(lambda: rig.client.reconnect_wanted is not None, "the rig is asked to go")
    assert await idle[0].read() == b"", "who never spoke is not asked"
    idle[1].close()
    await devnet.until(lambda: _is_empty(devnet), "nobody is connected")
    late = Rig("127.0.0.1", devnet.config.stratum.ports[0].address[1], login, "x")
    with pytest.raises(OSError):
        await late.connect()
    assert devnet.pool is not None and devnet.pool.exit_code() is None, "it runs until somebody stops it"

    steps.info("and back")
    assert not (await operator(devnet, "undrain"))["draining"]
    again = await devnet.rig(login)
    await again.share(above=devnet.target(PARENT))
    assert (await devnet.http("/readyz"))[0] == 200

    steps.info("turned away, and let in again")
    ban = await operator(devnet, "bans", "add", "127.0.0.1", "--reason", "a test")
    assert ban["connections_ended"] == 1
    assert "too much of the internet" in await operator(devnet, "bans", "add", "0.0.0.0/0", "--reason", "x")
    assert await devnet.stop_pool() == 0
    await devnet.start_pool()
    assert [each["network"] for each in (await operator(devnet, "bans", "list"))["items"]] == ["127.0.0.1/32"]
    assert await operator(devnet, "bans", "remove", "127.0.0.1") == {"removed": "127.0.0.1"}
    back = await devnet.rig(login)
    await back.share(above=devnet.target(PARENT))
    shares = sum(len(each.accepted) for each in (rig, again, back))
    assert shares == 11
    log = devnet.pool.log_text()
    assert "operator call who=operator method=DELETE path='/bans/127.0.0.1' status=200" in log


async def _is_empty(devnet: Devnet) -> bool:
    return bool((await operator(devnet, "drain", "--show"))["here"] == 0)
