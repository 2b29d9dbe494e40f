"""A pool of several processes on one machine: same jobs everywhere, nothing lost when one dies, restarts that miners
hardly notice."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import select
from support.devnet import CHAINS, PARENT, RARE_BITS, TRACEBACK, Devnet, steps
from support.ports import free_port
from support.rig import Rig

from chains.reference.wallet import address
from pool.devnet.demo.children import pool_command
from pool.mining_client.client import StratumError
from pool.operator_client import OperatorClient
from pool.storage import tables
from pool.storage.ledger_store import audit

LOGIN = address("miner", 0)
NO_BLOCKS = dict.fromkeys(CHAINS, RARE_BITS)
PROCESSES = 2
RIGS = 8  # by the kernel's dealing of connections they all meet one of two processes once in 128 tries
IDLE = int(os.environ.get("PARAPOOL_RESTART_MINERS", "200"))
ROUNDS = int(os.environ.get("PARAPOOL_KILL_ROUNDS", "3"))


def _several(config: dict[str, Any]) -> None:
    config["stratum"]["processes"] = PROCESSES
    config["stratum"]["handover_s"] = 2
    config["operator"] = {"bind": f"127.0.0.1:{free_port()}"}


def _pids(devnet: Devnet) -> dict[int, int]:
    """The processes of the front ends by slot."""
    found = {}
    for folder in (devnet.data_dir / "front-ends").iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ValueError):
                pid = int((folder / "pid").read_text())
                if _is_ours(pid):
                    found[int(folder.name)] = pid
    return found


def _is_ours(pid: int) -> bool:
    with suppress(OSError):
        return b"front-end" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _prefix(rig: Rig) -> int:
    extranonce1 = rig.client.extranonce1
    assert extranonce1 is not None
    return extranonce1[0]


async def _start(make_devnet: Any, edit: Any = _several, **options: Any) -> Devnet:
    devnet: Devnet = await make_devnet(edit=edit, start=False, **options)
    await devnet.start_nodes()
    await devnet.start_pool()
    await _all_at_work(devnet, PROCESSES)
    await devnet.all_chains_mined()
    return devnet


async def _all_at_work(devnet: Devnet, count: int) -> None:
    async def at_work() -> bool:
        return sum((await devnet.metric("front_end_up")).values()) == count

    await devnet.until(at_work, f"{count} front ends are at work", 90)


async def _rigs(devnet: Devnet, count: int = RIGS) -> list[Rig]:
    """Miners of several processes."""
    rigs = [await devnet.rig(f"{LOGIN}.rig{number}") for number in range(count)]
    for number in range(100):
        if len({_prefix(rig) for rig in rigs}) == PROCESSES:
            return rigs
        rigs.append(await devnet.rig(f"{LOGIN}.more{number}"))
    raise AssertionError("all connections are dealt to one process")


def _stored(devnet: Devnet) -> list[bytes]:
    with devnet.database() as connection:
        return list(connection.execute(select(tables.shares.c.header_hash)).scalars())


async def _all_stored(devnet: Devnet, rigs: list[Rig]) -> None:
    """Every answered share is in the books, once, and nothing that nobody sent."""
    answered = {header_hash for rig in rigs for header_hash in rig.accepted}
    await devnet.until(lambda: answered <= set(_stored(devnet)), f"{len(answered)} shares are in the books", 60)
    stored = _stored(devnet)
    assert len(stored) == len(set(stored)), "a share is counted twice"
    assert set(stored) - answered <= {header_hash for rig in rigs for header_hash in rig.unanswered}
    with devnet.database() as connection:
        assert audit(connection) == []


async def test_devnet_front_ends_send_the_same_jobs_and_share_one_book(make_devnet: Any) -> None:
    devnet = await _start(make_devnet)
    rigs = await _rigs(devnet)
    steps.info("the same job at every process, never the same extranonce1")
    (tip_hex,) = await devnet.advance(PARENT)
    jobs = [await rig.job_on(tip_hex) for rig in rigs]
    firsts = {job.job_id: job for job in jobs}
    assert len({(job.job_id, job.coinb1, job.coinb2, job.time) for job in firsts.values()}) == len(firsts)
    assert len({rig.client.extranonce1 for rig in rigs}) == len(rigs)
    assert {_prefix(rig) for rig in rigs} <= set(_pids(devnet))

    steps.info("one hash at one of them: a block of every chain, credited by the mother")
    _, blocks = await devnet.solve_all(rigs[0])
    for chain in CHAINS:
        block = await devnet.block(chain, blocks[chain]["hash"])
        assert sum(credit["amount"] for credit in block["credits"]) + block["fee"] == block["reward"]

    steps.info("figures are sums")
    for rig in rigs:
        await rig.share(above=devnet.target(PARENT))
    answered = sum(len(rig.accepted) for rig in rigs)

    async def counted() -> bool:
        shares = await devnet.metric("shares_total")
        return shares['reason="",result="accepted"'] == answered

    await devnet.until(counted, f"{answered} shares are counted")
    status = await devnet.api("/pool")
    assert status["connections"] == len(rigs), status
    parts = await devnet.metric("front_end_connections")
    assert sum(parts.values()) == len(rigs) and min(parts.values()) > 0, parts
    await _all_stored(devnet, rigs)

    steps.info("everything ends in order")
    pids = _pids(devnet)
    assert await devnet.stop_pool() == 0
    assert not [pid for pid in pids.values() if _is_ours(pid)]
    assert TRACEBACK not in devnet.logs()


@pytest.mark.nightly
async def test_devnet_front_ends_are_reached_by_the_operator(make_devnet: Any) -> None:
    devnet = await _start(make_devnet, bits=NO_BLOCKS)
    rigs = await _rigs(devnet)

    numbers = count()

    async def asked(*words: str) -> str:
        command = pool_command("operator", *words, "-c", str(devnet.config_path))
        child = devnet.child(f"operator-{next(numbers)}", command)
        assert await devnet.exit_code_of(child) == 0, child.log_text()
        return child.log_text()

    async def told(*words: str) -> Any:
        return json.loads(await asked(*words, "--json"))

    steps.info("everybody is in the list, page by page, and one of them is told something")
    seen: list[dict[str, Any]] = []
    after = 0
    while after is not None:
        page = await told("connections", "--limit", "3", "--after", str(after))
        assert (page["total"], page["missing"]) == (len(rigs), [])
        seen, after = seen + page["items"], page["after"]
    names = [login["worker"] for item in seen for login in item["logins"]]
    assert sorted(names) == sorted(rig.login.rpartition(".")[2] for rig in rigs)
    assert await told("message", "to one", "--login", LOGIN, "--worker", names[0]) == {
        "connections_told": 1, "missing": [],
    }  # fmt: skip
    assert await told("message", "to all") == {"connections_told": len(rigs), "missing": []}

    steps.info("one that hangs is named, and nobody waits for it")
    hung, pid = next(iter(_pids(devnet).items()))
    rest = sum(_prefix(rig) != hung for rig in rigs)
    os.kill(pid, signal.SIGSTOP)
    page, lines = await asyncio.gather(told("connections"), asked("message", "to who is there"))
    os.kill(pid, signal.SIGCONT)
    assert (len(page["items"]), page["total"], page["missing"]) == (rest, rest, [hung])
    assert f"{rest} connections were told" in lines and f"front end {hung} did not answer in time" in lines

    async def goes_on() -> bool:
        return not (await told("connections"))["missing"]

    await devnet.until(goes_on, "it answers again")

    steps.info("a ban ends connections everywhere, and holds for a front end that is started later")
    await asked("bans", "add", "127.0.0.0/24", "--seconds", "600", "--reason", "test")
    await devnet.until(lambda: all(rig.client.closed.is_set() for rig in rigs), "all of them are gone")
    pids = _pids(devnet)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    await devnet.until(lambda: len(set(_pids(devnet).values()) - set(pids.values())) == PROCESSES, "both are new")
    await _all_at_work(devnet, PROCESSES)
    with pytest.raises((OSError, StratumError)):
        await devnet.rig(LOGIN)
    devnet.rigs.pop()
    await asked("bans", "remove", "127.0.0.0/24")
    rigs = [await _rig(devnet, f"{LOGIN}.rig{number}") for number in range(4)]

    steps.info("a drain shuts the ports, the end of it opens them")
    await asked("drain", "--over-s", "0")
    await devnet.until(lambda: all(rig.client.closed.is_set() for rig in rigs), "all of them went", 60)
    with pytest.raises(OSError):
        await devnet.rig(LOGIN)
    devnet.rigs.pop()
    await asked("undrain")
    await (await _rig(devnet, LOGIN)).share()

    steps.info("the books are the mother's")
    host, _, port = devnet.config.operator.bind.rpartition(":")
    client = OperatorClient((devnet.data_dir / "operator.token").read_text().strip(), (host, int(port)))
    assert await asyncio.to_thread(client.call, "GET", "/closings") == {"items": [], "after": 0}


async def test_devnet_front_ends_take_over_another_configuration(make_devnet: Any) -> None:
    devnet = await _start(make_devnet)
    rigs = await _rigs(devnet)
    text = devnet.config_path.read_text()
    config = YAML(typ="safe").load(text)
    del config["chains"]["beta"]
    steps.info("a chain goes by SIGHUP, and comes back")
    for number, content in enumerate((json.dumps(config), text), 1):  # JSON is YAML too
        devnet.config_path.write_text(content)
        assert devnet.pool is not None
        os.kill(devnet.pool.pid, signal.SIGHUP)
        await devnet.until(
            lambda number=number: devnet.logs().count("configuration taken over") == number, "it is taken over"
        )
        (tip_hex,) = await devnet.advance(PARENT)
        for rig in rigs:
            await rig.job_on(tip_hex)
    await devnet.all_chains_mined()
    await devnet.solve_all(rigs[0])
    for rig in rigs:
        await rig.share(above=devnet.target(PARENT))
    await _all_stored(devnet, rigs)
    assert "cannot be made here" not in devnet.logs()


async def test_devnet_front_ends_fewer_later_keep_no_block_waiting(make_devnet: Any) -> None:
    devnet = await _start(make_devnet)
    rigs = await _rigs(devnet)
    for rig in rigs:
        await rig.share(above=devnet.target(PARENT))
    assert await devnet.stop_pool() == 0
    steps.info("one process: what the others' folders hold is in the books, and windows do not wait for them")
    devnet.pool = devnet.spawn_pool(stratum__processes="1")
    await devnet.pool_answers()
    await devnet.all_chains_mined()
    alone = await devnet.rig(f"{LOGIN}.alone")
    _, blocks = await devnet.solve_all(alone)
    assert set(blocks) == set(CHAINS)
    await _all_stored(devnet, [*rigs, alone])


async def test_devnet_front_ends_killed_lose_no_answered_share(make_devnet: Any) -> None:
    devnet = await _start(make_devnet, bits=NO_BLOCKS)
    rigs: list[Rig] = []
    streams: list[tuple[Rig, asyncio.Task[None]]] = []
    for number in range(ROUNDS):
        while len(streams) < 4:
            rig = await _rig(devnet, f"{LOGIN}.rig{len(rigs)}")
            rigs.append(rig)
            streams.append((rig, asyncio.ensure_future(rig.stream())))
        await asyncio.sleep(0.6)
        slot, pid = sorted(_pids(devnet).items())[number % PROCESSES]
        steps.info("kill -9 of front end %d", slot)
        os.kill(pid, signal.SIGKILL)
        await devnet.until(lambda slot=slot, pid=pid: _pids(devnet).get(slot, pid) != pid, "it is started again")
        await _all_at_work(devnet, PROCESSES)
        streams = [(rig, task) for rig, task in streams if not task.done()]
    await asyncio.sleep(0.5)
    for rig, task in streams:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await rig.close()
    assert sum(len(rig.accepted) for rig in rigs) > 10 * ROUNDS
    await _all_stored(devnet, rigs)
    assert "a front end died, it is started again" in devnet.logs()


async def test_devnet_front_ends_a_dead_ones_block_is_submitted_by_the_mother(make_devnet: Any) -> None:
    devnet = await _start(make_devnet)

    async def found_without_a_node() -> tuple[int, str]:
        """The slot that has a block of the parent on its disk, and the block's hash."""
        rig = (await _rigs(devnet))[0]
        slot = _prefix(rig)
        found = await rig.find(devnet.target(PARENT), job=(await devnet.full_job(rig))[0])
        await devnet.kill_node(PARENT)
        await rig.submit(found)
        folder = devnet.data_dir / "front-ends" / str(slot) / "solutions" / "open"
        await devnet.until(lambda: any(PARENT in path.name for path in folder.iterdir()), "its record is on disk")
        return slot, found.hash_hex

    steps.info("a block is found while its node is away, and its front end dies")
    slot, hash_hex = await found_without_a_node()
    pid = _pids(devnet)[slot]
    os.kill(pid, signal.SIGKILL)
    await devnet.until(lambda: _pids(devnet).get(slot, pid) != pid, "it is started again")
    await devnet.start_node(PARENT)
    block = await devnet.in_state(PARENT, hash_hex, "immature")
    assert block["credits"]
    assert devnet.logs().count("resuming submission") >= 1

    steps.info("another one, and all processes of the pool die")
    await _all_at_work(devnet, PROCESSES)
    _, hash_hex = await found_without_a_node()
    pids = _pids(devnet)
    await devnet.kill_pool()
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    await devnet.until(lambda: not _pids(devnet), "nobody is left")
    await devnet.start_node(PARENT)
    await devnet.start_pool()
    assert (await devnet.in_state(PARENT, hash_hex, "immature"))["credits"]


async def test_devnet_front_ends_serve_on_while_the_mother_is_killed_and_end_without_one(make_devnet: Any) -> None:
    devnet = await _start(make_devnet, bits=NO_BLOCKS)
    rigs = await _rigs(devnet)
    pids = _pids(devnet)
    await devnet.kill_pool()
    for rig in rigs:
        await rig.share()
    assert _pids(devnet) == pids
    steps.info("the next mother takes them over, and moves their miners to her own")
    (tip_hex,) = await devnet.advance(PARENT)
    devnet.pool = devnet.spawn_pool()
    for rig in rigs:
        await rig.job_on(tip_hex)  # her jobs reach the front ends of the one before
    await devnet.pool_answers()
    for rig in rigs:
        with suppress(StratumError):
            await rig.share()
    await devnet.until(lambda: not set(_pids(devnet).values()) & set(pids.values()), "the old ones have ended", 60)
    await _all_at_work(devnet, PROCESSES)
    again = await _rigs(devnet)
    for rig in again:
        await rig.share()
    await _all_stored(devnet, rigs + again)


async def test_devnet_front_ends_restart_gracefully(make_devnet: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * IDLE + 1000)), hard))
    devnet = await _start(make_devnet, bits=NO_BLOCKS)
    idle = [_Idle(devnet, f"{LOGIN}.idle{number}") for number in range(IDLE)]
    idle_tasks = [asyncio.ensure_future(one.run()) for one in idle]
    await devnet.until(lambda: all(one.has_job for one in idle), f"{IDLE} more are connected", 120)
    miners = [_Miner(devnet, f"{LOGIN}.rig{number}") for number in range(20)]
    tasks = [asyncio.ensure_future(miner.run()) for miner in miners]
    await devnet.until(lambda: all(miner.shares for miner in miners), "all of them mine")
    before = _pids(devnet)
    assert devnet.pool is not None
    pid = devnet.pool.pid
    os.kill(pid, signal.SIGUSR2)
    await devnet.until(lambda: not set(_pids(devnet).values()) & set(before.values()), "the old ones have ended", 90)
    assert devnet.pool.exit_code() is None and devnet.pool.pid == pid
    news = set(_pids(devnet))

    def back() -> bool:
        return sum(one.has_job and one.slot in news for one in idle) >= 0.99 * IDLE

    await devnet.until(back, f"99 % of {IDLE} are back", 60)
    assert sum(one.refused for one in idle) == 0, "the port was refused"
    for task in idle_tasks:
        task.cancel()
    await asyncio.gather(*idle_tasks, return_exceptions=True)
    await _all_at_work(devnet, PROCESSES)
    for miner in miners:
        miner.shares = 0
    await devnet.until(lambda: all(miner.shares for miner in miners), "all of them mine again")
    for miner in miners:
        miner.stopped = True
    await asyncio.gather(*tasks)
    assert sum(miner.refused for miner in miners) == 0, "the port was refused"
    await _all_stored(devnet, [rig for miner in miners for rig in miner.rigs])


@pytest.mark.nightly
async def test_devnet_front_ends_a_miner_goes_on_at_its_difficulty_wherever_it_comes_back(make_devnet: Any) -> None:
    def searching(config: dict[str, Any]) -> None:
        _several(config)
        # an interval so long that nothing but the first shares moves a difficulty
        config["stratum"]["ports"][0].update(vardiff=True, maximum_difficulty=1e9, share_interval_s=60)

    devnet = await _start(make_devnet, bits=NO_BLOCKS, edit=searching)
    rig = await devnet.rig(f"{LOGIN}.rig")
    start = rig.client.difficulty
    while rig.client.difficulty == start:
        await rig.share()
    faster = rig.client.difficulty
    slot, extranonce1 = _prefix(rig), rig.client.extranonce1
    assert faster > 10 * start and extranonce1 is not None
    answer, _ = await rig.client.request("mining.subscribe", "rig")
    session_id = answer[0][1][1]

    async def back(slots: set[int], shown: str = session_id) -> _Returned:
        """A connection that shows the session id, at one of these front ends."""
        async def came() -> _Returned | None:
            with suppress(OSError, asyncio.IncompleteReadError):
                found = await _Returned.come(devnet, f"{LOGIN}.back", shown)
                if found.extranonce1[0] in slots:
                    return found
                found.writer.close()
            return None

        found: _Returned = await devnet.until(came, f"one is back at {slots}", 90)
        return found

    async def is_told() -> bool:
        found = await back(set(_pids(devnet)) - {slot})
        found.writer.close()
        return found.difficulty == faster

    await devnet.until(is_told, "the other front end knows", 60)

    steps.info("its front end dies: at the other one it has another extranonce1, and its difficulty")
    pid = _pids(devnet)[slot]
    os.kill(pid, signal.SIGKILL)
    there = await back(set(_pids(devnet)) - {slot})
    assert there.difficulty == faster and there.extranonce1 != extranonce1
    assert await there.submit(there.job_id) == 21, "work of before is stale"

    steps.info("its successor gives it both back")
    await devnet.until(lambda: _pids(devnet).get(slot, pid) != pid, "it is started again")
    here = await back({slot})
    assert (here.difficulty, here.extranonce1) == (faster, extranonce1)

    steps.info("a graceful restart: other slots, the same difficulty")
    olds = _pids(devnet)
    assert devnet.pool is not None
    os.kill(devnet.pool.pid, signal.SIGUSR2)
    await devnet.until(lambda: not set(_pids(devnet).values()) & set(olds.values()), "the old ones have ended", 90)
    await _all_at_work(devnet, PROCESSES)
    again = await back(set(_pids(devnet)), here.session_id)
    assert again.difficulty == faster and again.extranonce1[0] not in olds
    stranger = await back(set(_pids(devnet)), "0" * 24)
    assert stranger.difficulty == start
    for one in (there, here, again, stranger):
        one.writer.close()
    await _all_stored(devnet, [rig])


class _Returned:
    """A connection that showed a session id at its subscribe, with its first job."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, login: str) -> None:
        self._reader, self.writer, self._login = reader, writer, login
        self.session_id = self.job_id = self._time = ""
        self.extranonce1 = b""
        self.difficulty = 0.0

    @classmethod
    async def come(cls, devnet: Devnet, login: str, session_id: str) -> _Returned:
        found = cls(*await asyncio.open_connection(*devnet.config.stratum.ports[0].address), login)
        found._send("mining.subscribe", "back", session_id)
        found._send("mining.authorize", login, "x")
        while not found.job_id:
            message = await found._read()
            if message.get("id") == "mining.subscribe":
                subscriptions, extranonce1_hex, _ = message["result"]
                found.session_id, found.extranonce1 = subscriptions[1][1], bytes.fromhex(extranonce1_hex)
            elif message.get("method") == "mining.set_difficulty":
                [found.difficulty] = message["params"]
            elif message.get("method") == "mining.notify":
                found.job_id, found._time = message["params"][0], message["params"][7]
        return found

    async def submit(self, job_id: str) -> int:
        """The error of a share that has nothing to it."""
        self._send("mining.submit", self._login, job_id, "00000000", self._time, "00000000")
        while (message := await self._read()).get("id") != "mining.submit":
            pass
        code: int = message["error"][0]
        return code

    def _send(self, method: str, *params: str) -> None:
        self.writer.write(json.dumps({"id": method, "method": method, "params": params}).encode() + b"\n")

    async def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self._reader.readuntil())
        return found


class _Idle:
    """A connection that waits for a share, and comes back when it is asked to go or hung up on."""

    def __init__(self, devnet: Devnet, login: str) -> None:
        self._address = devnet.config.stratum.ports[0].address
        self._login = login
        self.slot = self.refused = 0
        self.has_job = False

    async def run(self) -> None:
        while True:
            self.has_job = False
            try:
                await self._stay()
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass
            await asyncio.sleep(0.1)

    async def _stay(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(b'{"id":1,"method":"mining.subscribe","params":["idle"]}\n')
            writer.write(json.dumps({"id": 2, "method": "mining.authorize", "params": [self._login, "x"]}).encode())
            writer.write(b"\n")
            while line := await reader.readline():
                message = json.loads(line)
                if message.get("id") == 1:
                    self.slot = bytes.fromhex(message["result"][1])[0]
                elif message.get("method") == "mining.notify":
                    self.has_job = True
                elif message.get("method") == "client.reconnect":
                    return
        finally:
            writer.close()


class _Miner:
    """Firmware in short: mines, and connects anew at once when its connection ends or it is asked to."""

    def __init__(self, devnet: Devnet, login: str) -> None:
        self._devnet = devnet
        self._login = login
        self.rigs: list[Rig] = []
        self.shares = self.refused = 0
        self.stopped = False

    async def run(self) -> None:
        while not self.stopped:
            rig = Rig(*self._devnet.config.stratum.ports[0].address, self._login, "x")
            self.rigs.append(rig)
            try:
                await rig.connect()
                while not self.stopped:
                    found = await rig.find()
                    if await rig.submit(found) is None:
                        self.shares += 1
                    await asyncio.sleep(0.2)
            except ConnectionRefusedError:
                self.refused += 1
            except (StratumError, OSError):
                pass
            finally:
                await rig.close()


async def _rig(devnet: Devnet, login: str) -> Rig:
    """A miner that tries until it is taken: a process that dies refuses whom it had not let in."""
    async def tried() -> Rig | None:
        try:
            rig: Rig = await devnet.rig(login)
            return rig
        except (OSError, StratumError):
            devnet.rigs.pop()
            return None

    found: Rig = await devnet.until(tried, "the pool takes a miner")
    return found
