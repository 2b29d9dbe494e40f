"""One maker of jobs, several machines that serve miners, Redis between them: the same jobs everywhere, and blocks found
on a machine without nodes get to the nodes, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.devnet import CHAINS, PARENT, Devnet, steps
from support.machines_world import KEY, Link, MachinesWorld
from support.ports import free_port
from support.redis import RedisServer
from support.rig import Rig

from chains.reference.wallet import address
from pool.storage.ledger_store import audit

LOGIN = address("miner", 0)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """The test's own, since it is killed."""
    server = RedisServer()
    yield server
    server.close()


async def _world(make_devnet: Any, redis: RedisServer, folder: Path, **options: Any) -> tuple[MachinesWorld, list[str]]:
    port = free_port()
    binds = [f"127.0.0.{host}:{port}" for host in (1, 2)]
    url = f"sqlite:///{folder / 'books.sqlite'}"
    edit = MachinesWorld.edit(redis, folder, url, binds[:1])
    devnet: Devnet = await make_devnet(edit=edit, start=False, **options)
    world = MachinesWorld(devnet, redis)
    await world.start()
    return world, binds


async def test_devnet_machines_have_the_same_jobs_and_their_blocks_get_to_the_nodes(
    make_devnet: Any, redis: RedisServer, tmp_path: Path
) -> None:
    world, binds = await _world(make_devnet, redis, tmp_path)
    devnet = world.devnet
    for number, (name, bind) in enumerate(zip(("eu", "us"), binds, strict=True), 1):
        await world.machine(name, number, stratum__ports__0__bind=bind)
    rigs = [await world.rig(f"{LOGIN}.rig{number}", bind) for number, bind in enumerate(binds)]

    steps.info("the same job on every machine, never the same extranonce1")
    (tip_hex,) = await devnet.advance(PARENT)
    jobs = [await rig.job_on(tip_hex) for rig in rigs]
    assert len({(job.coinb1, job.coinb2) for job in jobs if job.job_id == jobs[0].job_id}) == 1
    firsts = [rig.client.extranonce1[0] for rig in rigs if rig.client.extranonce1 is not None]
    assert firsts == [128, 132]

    steps.info("one hash, five blocks, of a machine that has no node")
    for rig in rigs:
        _, blocks = await devnet.solve_all(rig)
        for chain in CHAINS:
            block = await devnet.block(chain, blocks[chain]["hash"])
            assert {credit["miner"] for credit in block["credits"]} == {LOGIN}
    with devnet.database() as connection:
        assert audit(connection) == []

    steps.info("another tag: the machines refuse its jobs until their configuration has it, too")
    values = YAML(typ="safe").load(devnet.config_path)
    values["pool"]["tag"] = "/other/"
    with devnet.config_path.open("w") as file:
        YAML(typ="safe").dump(values, file)
    assert devnet.pool is not None
    devnet.pool.process.send_signal(signal.SIGHUP)
    await devnet.until(lambda: "configuration taken over" in devnet.logs(), "the maker has it")
    refused = "alarm: a job of the maker's cannot be made here"
    await devnet.advance(PARENT)
    await devnet.until(lambda: all(refused in devnet.logs(f"machine-{name}") for name in world.machines), "they refuse")
    for name, child in world.machines.items():
        child.process.send_signal(signal.SIGHUP)
        await devnet.until(lambda name=name: "configuration taken over" in devnet.logs(f"machine-{name}"), "it has it")
    await _all_on_a_new_tip(world, rigs)
    job = await rigs[0].job()
    assert b"/other/" in job.coinb1 + job.coinb2


async def test_devnet_machines_outlive_redis_the_maker_and_each_other(
    make_devnet: Any, redis: RedisServer, tmp_path: Path
) -> None:
    world, binds = await _world(make_devnet, redis, tmp_path)
    devnet = world.devnet
    link = Link(redis.url)
    link_file = tmp_path / "link-url"
    link_file.write_text(await link.start())
    link_file.chmod(0o600)
    try:
        await world.machine("eu", 1, stratum__ports__0__bind=binds[0], transport__redis_url_file=str(link_file))
        await world.machine("us", 2, stratum__ports__0__bind=binds[1], transport__jobs_age_s="10")
        rigs = [await world.rig(f"{LOGIN}.rig{number}", bind) for number, bind in enumerate(binds)]
        await _second_of_a_number(world, binds)
        await _rubbish(world, rigs)
        await _partition(world, link, rigs)
        await _empty_redis(world, rigs)
        await _finder_dies(world, binds, rigs)
    finally:
        await link.close()
    with devnet.database() as connection:
        assert audit(connection) == []
    assert KEY not in devnet.logs() + devnet.logs("machine")


async def _second_of_a_number(world: MachinesWorld, binds: list[str]) -> None:
    steps.info("a second machine of one number is turned away")
    child = world.spawn("asia", 2, stratum__ports__0__bind=f"127.0.0.1:{free_port()}")
    assert await world.devnet.exit_code_of(child) == 1
    assert "machine 2 of this pool is us@" in child.log_text()


async def _rubbish(world: MachinesWorld, rigs: list[Rig]) -> None:
    steps.info("what a stranger says to the machines is told once, and not heeded")
    name = f"parapool:{{{world.devnet.config.pool.name}}}"
    for content in (b"", b"rubbish", b"x" * 100_000, b"rubbish"):
        world.redis.ask("xadd", f"{name}:jobs", "*", "e", content)
    world.redis.ask("hset", f"{name}:found", "ticket", "rubbish")
    world.redis.ask("xadd", f"{name}:found-at", "*", "e", "ticket")
    await _all_on_a_new_tip(world, rigs)
    for machine in world.machines:
        if machine != "asia":
            assert world.devnet.logs(f"machine-{machine}").count("alarm: what is said to be the maker's") == 1
    alarm = "alarm: somebody else writes to the maker"
    await world.devnet.until(lambda: alarm in world.devnet.logs(), "the maker tells")


async def _partition(world: MachinesWorld, link: Link, rigs: list[Rig]) -> None:
    steps.info("eu is cut off: its miner is served, what he finds waits and is not lost")
    devnet = world.devnet
    link.cut()
    before = await world.tip()
    found = await rigs[0].find(devnet.target(PARENT))
    assert await rigs[0].submit(found) is None
    for rig in rigs:
        await rig.share(above=devnet.target(PARENT))
    assert await world.tip() == before
    link.mend()
    await devnet.until(lambda: _has(devnet, found.hash_hex), "the block is at the node", 90)
    await devnet.in_state(PARENT, found.hash_hex, "immature")
    await _all_on_a_new_tip(world, rigs)


async def _empty_redis(world: MachinesWorld, rigs: list[Rig]) -> None:
    steps.info("Redis is killed and comes back empty")
    world.redis.kill()
    for rig in rigs:
        await rig.share(above=world.devnet.target(PARENT))
    world.redis.start()
    await _all_on_a_new_tip(world, rigs)


async def _finder_dies(world: MachinesWorld, binds: list[str], rigs: list[Rig]) -> None:
    steps.info("the maker is dead when eu finds a block, eu is killed; the next maker submits it")
    devnet = world.devnet
    await devnet.kill_pool()
    found = await rigs[0].find(devnet.target(PARENT))
    assert await rigs[0].submit(found) is None
    key = f"parapool:{{{devnet.config.pool.name}}}:found"
    await devnet.until(lambda: world.redis.ask("hlen", key) > 0, "it is told")
    await world.kill("eu")

    async def is_away() -> bool:
        return not await world.is_ready("us")

    await devnet.until(is_away, "us sends miners elsewhere", 90)
    await rigs[1].share(above=devnet.target(PARENT))  # who is there is served
    await devnet.start_pool()
    await devnet.until(lambda: _has(devnet, found.hash_hex), "the block is at the node", 90)
    await _all_on_a_new_tip(world, rigs[1:])
    assert "another process makes the jobs now" in devnet.logs("machine-us")

    steps.info("eu again, with its number: the block gets into the books with its miner")
    await world.machine("eu", 1, stratum__ports__0__bind=binds[0])
    block = await devnet.in_state(PARENT, found.hash_hex, "immature")
    assert {credit["miner"] for credit in block["credits"]} == {LOGIN}


async def _has(devnet: Devnet, hash_hex: str) -> bool:
    height = await devnet.rpc(PARENT, "getblockcount")
    return hash_hex in [await devnet.rpc(PARENT, "getblockhash", at) for at in range(max(0, height - 5), height + 1)]


async def _all_on_a_new_tip(world: MachinesWorld, rigs: list[Rig]) -> None:
    (tip_hex,) = await world.devnet.advance(PARENT)
    for rig in rigs:
        await rig.job_on(tip_hex)
        await rig.share(above=world.devnet.target(PARENT))


@pytest.mark.nightly
async def test_devnet_machines_may_have_several_processes(
    make_devnet: Any, redis: RedisServer, tmp_path: Path
) -> None:
    world, binds = await _world(make_devnet, redis, tmp_path)
    devnet = world.devnet
    await world.machine("eu", 1, stratum__ports__0__bind=binds[0], stratum__processes="2")
    rigs: list[Rig] = []
    while len({_part(rig) for rig in rigs}) < 2:  # the kernel deals them out
        assert len(rigs) < 100
        rigs.append(await world.rig(f"{LOGIN}.rig{len(rigs)}", binds[0]))
    one = rigs[0]
    other = next(rig for rig in rigs if _part(rig) != _part(one))
    (tip_hex,) = await devnet.advance(PARENT)
    jobs = [await rig.job_on(tip_hex) for rig in (one, other)]
    assert len({(job.coinb1, job.coinb2) for job in jobs if job.job_id == jobs[0].job_id}) == 1

    steps.info("a block of each of its processes, which have no node and no Redis for it")
    for rig in (one, other):
        _, blocks = await devnet.solve_all(rig)
        assert len(blocks) == len(CHAINS)

    steps.info("the maker is dead when one finds a block, and that process is killed: its mother sees to it")
    await devnet.kill_pool()
    found = await one.find(devnet.target(PARENT))
    assert await one.submit(found) is None
    folders = [devnet.directory / "machine-eu" / "front-ends" / str(slot) for slot in (1, 2)]
    recorded = await devnet.until(
        lambda: [folder for folder in folders if list((folder / "solutions" / "open").glob(f"*{found.hash_hex}*"))],
        "it is written down",
    )
    os.kill(int((recorded[0] / "pid").read_text()), signal.SIGKILL)
    await devnet.until(lambda: "a front end died" in devnet.logs("machine-eu"), "it is missed")
    await devnet.start_pool()
    await devnet.until(lambda: _has(devnet, found.hash_hex), "the block is at the node", 90)
    await devnet.in_state(PARENT, found.hash_hex, "immature")
    await _all_on_a_new_tip(world, [other])
    with devnet.database() as connection:
        assert audit(connection) == []


def _part(rig: Rig) -> bytes:
    """The process of a machine that it is at: the first byte and a half."""
    assert rig.client.extranonce1 is not None
    first, second = rig.client.extranonce1[:2]
    return bytes([first, second & 0xF0])
