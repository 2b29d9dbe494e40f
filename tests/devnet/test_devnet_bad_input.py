"""What no pool should fall over: anything on the Stratum port, and anything as a node's answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from support.devnet import CHAINS, PARENT, RARE_BITS, Devnet, devnet_in, steps
from support.lying_node import Lie, LyingNode
from support.ports import free_port
from support.rig import LIMIT_S, STALE, Found, Rig

from chains.primitives.hashes import sha256d
from chains.reference.wallet import address
from pool.mining_client.client import header_for
from pool.storage import tables

ERROR_CODES = {20, 21, 22, 23, 24, 25, -3}
HONEST, HOSTILE = address("honest", 0), address("hostile", 0)
LYING = (PARENT, "regnmc", "alpha")
METHODS = {PARENT: "getblocktemplate", "regnmc": "createauxblock", "alpha": "createmm2block"}


class World:
    """One devnet for this file: three of its nodes speak through somebody who lies, and an honest miner never stops."""

    def __init__(self, devnet: Devnet, liars: dict[str, LyingNode], rig: Rig) -> None:
        self.devnet = devnet
        self.liars = liars
        self.rig = rig
        self._mining: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._mining = asyncio.ensure_future(self._mine())

    async def _mine(self) -> None:
        while True:
            refusal = await self.rig.submit(await self.rig.find())
            assert refusal is None or refusal.code == STALE, refusal  # the tip moves now and then
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Raises what went wrong for the honest miner."""
        assert self._mining is not None
        self._mining.cancel()
        await asyncio.gather(self._mining, return_exceptions=True)
        if not self._mining.cancelled():
            self._mining.result()

    async def unaffected(self) -> None:
        """The honest miner still gets its shares accepted, one after the other."""
        count = len(self.rig.accepted)
        await self.devnet.until(lambda: len(self.rig.accepted) >= count + 2, "the honest miner goes on")
        assert not self.rig.client.closed.is_set()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    ports = {name: free_port() for name in LYING}

    def _through_liars(config: dict[str, Any]) -> None:
        for name, port in ports.items():
            config["chains"][name]["nodes"][0]["url"] = f"http://127.0.0.1:{port}"
            config["chains"][name]["poll_interval_s"] = 0.05

    directory = tmp_path_factory.mktemp("bad-input")
    rare = dict.fromkeys(CHAINS, RARE_BITS)
    async with devnet_in(directory, edit=_through_liars, bits=rare, start=False) as devnet:
        liars = {name: LyingNode(devnet.ports[name], port) for name, port in ports.items()}
        for liar in liars.values():
            await liar.start()
        await devnet.start()
        world = World(devnet, liars, await devnet.rig(f"{HONEST}.rig"))
        world.start()
        yield world
        await world.stop()
        for liar in liars.values():
            await liar.close()
        assert await devnet.stop_pool() == 0
        with devnet.database() as connection:
            stored = set(connection.execute(select(tables.shares.c.header_hash)).scalars())
        assert set(world.rig.accepted) <= stored <= {*world.rig.accepted, *world.rig.unanswered}, "another has a share"


_NO_ID = object()


class Stranger:
    """A raw connection. `answers` are the lines that came back, decoded; `closed` when the pool hung up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.answers: list[dict[str, Any]] = []
        self.extranonce1 = b""
        self.closed = False

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            self.closed = True

    async def listen(self, *, until_id: object = _NO_ID, limit_s: float = LIMIT_S) -> None:
        """Take lines until the answer to this id, or the end of the connection."""
        async with asyncio.timeout(limit_s):
            while not self.closed:
                try:
                    line = await self.reader.readline()
                except OSError:
                    line = b""
                if not line:
                    self.closed = True
                    return
                message = json.loads(line)
                assert isinstance(message, dict), line
                if "method" in message:
                    continue
                self.answers.append(message)
                if message["id"] == until_id:
                    return

    def end(self) -> None:
        self.writer.close()


async def _stranger(world: World, *, login: bool = False) -> Stranger:
    host, port = world.devnet.config.stratum.ports[0].address
    stranger = Stranger(*await asyncio.open_connection(host, port, limit=2**20))
    if login:
        rolling = [["version-rolling"], {"version-rolling.mask": "ffffffff"}]
        await stranger.send(_request("a", "mining.configure", rolling))
        await stranger.send(_request("b", "mining.subscribe", []) + _request("c", "mining.authorize", [HOSTILE, "x"]))
        await stranger.listen(until_id="c")
        assert [answer["error"] for answer in stranger.answers] == [None] * 3
        stranger.extranonce1 = bytes.fromhex(stranger.answers[1]["result"][1])
        stranger.answers.clear()
    return stranger


def _request(request_id: object, method: str, params: Any) -> bytes:
    return json.dumps({"id": request_id, "method": method, "params": params}).encode() + b"\n"


NOT_REQUESTS: dict[str, bytes] = {
    "not JSON": b"hello pool\n",
    "half an object": b'{"id": 1, "method": "mining.submit", \n',
    "a list": b"[1, 2, 3]\n",
    "a number": b"7\n",
    "text": b'"mining.subscribe"\n',
    "null": b"null\n",
    "NaN": b'{"id": 1, "method": "mining.suggest_difficulty", "params": [NaN]}\n',
    "Infinity": b'{"id": 1, "method": "mining.suggest_difficulty", "params": [-Infinity]}\n',
    "a huge integer": b'{"id": 1, "method": "mining.suggest_difficulty", "params": [' + b"9" * 3000 + b"]}\n",
    "a huge exponent": b'{"id": 1, "method": "mining.suggest_difficulty", "params": [1e999999]}\n',
    "a huge id": b'{"id": ' + b"1" * 400 + b', "method": "mining.ping", "params": []}\n',
    "an object as id": b'{"id": {"a": [1]}, "method": "mining.ping", "params": []}\n',
    "deep lists": b'{"id": 1, "method": "mining.submit", "params": ' + b"[" * 1900 + b"]" * 1900 + b"}\n",
    "deep objects": b'{"id": 1, "method": "mining.submit", "params": ' + b'{"a":' * 700 + b"1" + b"}" * 700 + b"}\n",
    "deep and unended": b"[" * 4000 + b"\n",
    "64 kB in a line": b'{"id": 1, "method": "mining.submit", "params": ["' + b"a" * 65_536 + b'"]}\n',
    "64 kB without a line end": b"a" * 65_536,
    "a lone surrogate": b'{"id": 1, "method": "mining.authorize", "params": ["\\ud800", "x"]}\n',
    "a lone surrogate as method": b'{"id": 1, "method": "\\udfff", "params": []}\n',
    "not UTF-8": b'{"id": 1, "method": "mining.authorize", "params": ["\xff\xfe\xc0", "x"]}\n',
    "zero bytes": bytes(300) + b"\n",
    "an equal key": b'{"id": 1, "id": 2, "method": "mining.ping", "params": []}\n',
    "a method that is none": b'{"id": 1, "method": ["mining.submit"], "params": []}\n',
    "HTTP": b"GET / HTTP/1.1\r\nHost: pool\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(100),
}


async def test_devnet_strangers_lines_get_an_error_or_a_disconnect(world: World) -> None:
    for when in ("first", "logged in"):
        steps.info("lines that are no request, %s", when)
        for what, line in NOT_REQUESTS.items():
            stranger = await _stranger(world, login=when == "logged in")
            await stranger.send(line + b"\n" + _request("end", "mining.ping", []))
            await stranger.listen(until_id="end")
            errors = [answer for answer in stranger.answers if answer["error"] is not None]
            assert stranger.closed or errors, f"{what}, {when}: {stranger.answers}"
            assert all(error["error"][0] in ERROR_CODES and error["result"] is None for error in errors), what
            stranger.end()
    await world.unaffected()
    steps.info("nine bad lines end the connection, eight do not")
    stranger = await _stranger(world, login=True)
    await stranger.send(b"?\n" * 8 + _request("end", "mining.ping", []))
    await stranger.listen(until_id="end")
    assert len(stranger.answers) == 9 and not stranger.closed
    await stranger.send(b"?\n")
    await stranger.listen()
    assert stranger.closed
    await world.unaffected()


ODD: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63, 2**64, 1.5, 1e308, -1e-308, "", "x", "\x00", "é" * 40, "\U0001f525",
    "f" * 2000, [], [[]], {}, {"a": 1}, [None] * 300, "00000000", "-1", "0x10", " " * 8,
]  # fmt: skip
GOOD: dict[str, list[Any]] = {
    "mining.configure": [["version-rolling", "minimum-difficulty"], {"version-rolling.mask": "1fffe000"}],
    "mining.subscribe": ["miner/1.0", None, "host", 3333],
    "mining.authorize": [HOSTILE, "x"],
    "mining.submit": [HOSTILE, "1", "00000000", "00000000", "00000000", "00000000"],
    "mining.suggest_difficulty": [1],
    "mining.suggest_target": ["00"],
    "mining.extranonce.subscribe": [],
    "mining.get_transactions": ["1"],
    "mining.multi_version": [1],
    "mining.ping": [],
    "client.show_message": ["x"],
    "no.such.method": [1],
}


async def test_devnet_wrong_types_in_every_parameter_get_one_answer_each(world: World) -> None:
    requests = [
        (method, [*good[:place], odd, *good[place + 1 :]])
        for method, good in GOOD.items()
        for place in range(len(good) + 1)
        for odd in ODD
    ]
    requests += [(method, odd) for method in GOOD for odd in ODD]
    steps.info("%d requests", len(requests))
    stranger = await _stranger(world, login=True)
    for number, (method, params) in enumerate(requests):
        if stranger.closed:
            stranger = await _stranger(world, login=True)
        await stranger.send(_request(number, method, params))
        await stranger.listen(until_id=number)
        if stranger.closed:
            continue
        answer = stranger.answers.pop()
        assert not stranger.answers, f"two answers to {method} {params!r:.80}"
        assert answer["error"] is None or answer["error"][0] in ERROR_CODES, (method, params, answer)
        assert method != "mining.submit" or answer["error"] is not None, f"{params!r:.200} was accepted"
    stranger.end()
    await world.unaffected()


async def test_devnet_submits_out_of_place_are_refused(world: World) -> None:
    found = await world.rig.find()
    job = found.job
    words = [found.solution.extranonce2.hex(), f"{found.solution.ntime:08x}", f"{found.solution.nonce:08x}"]
    cases: list[tuple[bool, list[Any], int]] = [
        (False, [HOSTILE, job.job_id, *words], 25),  # before subscribe
        (True, [HOSTILE, "ffffffff", *words], 21),
        (True, [HOSTILE, "", *words], 21),
        (True, [f"{HONEST}.rig", job.job_id, *words], 24),  # another's worker
        (True, [f"{HOSTILE}.other", job.job_id, *words], 24),
        (True, [HOSTILE, job.job_id, words[0] + "00", *words[1:]], 20),
        (True, [HOSTILE, job.job_id, words[0], "ffffffff", words[2]], 20),  # a time two hours ahead
        (True, [HOSTILE, job.job_id, *words, "00000001"], 20),  # version bits outside the mask
    ]
    for login, params, code in cases:
        stranger = await _stranger(world, login=login)
        await stranger.send(_request(1, "mining.submit", params))
        await stranger.listen(until_id=1)
        assert stranger.answers[-1]["error"][0] == code, (params, stranger.answers)
        stranger.end()
    steps.info("another connection's share is not a share of this one")
    stranger = await _stranger(world, login=True)
    while _meets(stranger, found):  # one in 256 is a share of both
        found = await world.rig.find(job=job)
    words = [found.solution.extranonce2.hex(), f"{found.solution.ntime:08x}", f"{found.solution.nonce:08x}"]
    await stranger.send(_request(1, "mining.submit", [HOSTILE, job.job_id, *words]))
    await stranger.listen(until_id=1)
    assert stranger.answers[-1]["error"][0] == 23, "another extranonce1 is another hash"
    stranger.end()
    await world.unaffected()


def _meets(stranger: Stranger, found: Found) -> bool:
    """Whether the stranger's own extranonce1 happens to make a share of it as well."""
    job, solution = found.job, found.solution
    header = header_for(job, stranger.extranonce1, solution.extranonce2, solution.ntime, solution.nonce)
    return int.from_bytes(sha256d(header), "little") <= job.share_target()


# -- nodes ----------------------------------------------------------------------------------------------------------

# What each node plays at the same time, turn by turn.
NODE_FAULTS: list[dict[str, dict[str, Any]]] = [
    {PARENT: {"garbage": True}, "regdoge": {"http_500": True}, "beta": {"syncing": True}},
    {PARENT: {"chain": "main"}, "regdoge": {"garbage": True}, "beta": {"http_500": True}},
    {PARENT: {"hang_s": 20}, "regdoge": {"hang_s": 20}, "beta": {"garbage": True}},
]


async def test_devnet_nodes_that_fail_are_told_once_and_miners_keep_their_job(world: World) -> None:
    devnet = world.devnet

    async def states() -> dict[str, bool]:
        return {c["name"]: c["state"] == "ok" and c["in_tree"] for c in (await devnet.api("/chains"))["items"]}

    async def nobody_is_well() -> bool:
        found = [chain for chain in (await devnet.api("/chains"))["items"] if chain["name"] in faults]
        return all(chain["state"] != "ok" for chain in found)

    async def all_well() -> bool:
        return all((await states()).values())

    for faults in NODE_FAULTS:
        before = len(devnet.logs().splitlines())
        for name, fault in faults.items():
            await devnet.fault(name, **fault)
        await devnet.until(nobody_is_well, "it is noticed")
        assert (await devnet.http("/healthz"))[0] == 503
        await world.unaffected()
        for name in faults:
            await devnet.rpc(name, "devnet_clear")
        await devnet.until(all_well, "all are well again")
        told = devnet.logs().splitlines()[before:]
        for name in faults:
            about = [line.split(" ", 2)[2] for line in told if f"node={name}[0]" in line or f"chain={name} " in line]
            loud = [line for line in about if line.startswith(("WARNING", "ERROR"))]
            # A busy machine may let a chain go in and out of the tree more than once.
            troubles = max(1, sum("chain leaves" in line for line in about))
            assert 0 < len(loud) <= 4 * troubles, about
            assert len(about) == len(set(about)) or troubles > 1, f"told twice: {about}"
            _told_once(about, "chain leaves", "chain joins")
            _told_once(about, "node is away", "node is back")
            _told_once(about, "no template", "templates again")
            _told_once(about, *(f"chain node {state} " for state in ("ok", "syncing", "down", "wrong_network")))
    await world.unaffected()


def _told_once(told: list[str], *states: str) -> None:
    """Of the lines that tell a state, none is followed by the same one: each tells a change."""
    lines = [line for line in told if any(state in line for state in states)]
    assert all(line != after for line, after in pairwise(lines)), f"told twice: {lines}"


BAD_FIELDS: dict[str, dict[str, list[Any]]] = {
    PARENT: {
        "version": [None, "x", 2**40, True, 1.5],
        "previousblockhash": [None, "zz" * 32, "00", 5, {}],
        "height": [None, -1, 10**30, "5", True, 0],
        "bits": [None, "", "00000000", "ff123456", "1d00ffff00", 5],
        "target": ["00" * 32, "zz", 5],
        "coinbasevalue": [None, -1, 2**70, "5", 1.5],
        "curtime": [None, -1, 2**40, "now"],
        "mintime": [None, -1, 2**40],
        "transactions": [None, {}, [5], [{"data": "00"}], [{"data": "zz", "txid": "00" * 32, "hash": "00" * 32}]],
        "default_witness_commitment": ["zz", 5, "6a", "00" * 5000],
        "rules": [["!unheardof"], 5, [5]],
        "longpollid": [{}, 5],
        "coinbaseaux": [5, {"flags": "zz"}, {"flags": "00" * 200}],
    },
    "regnmc": {
        "hash": [None, "00", "zz" * 32, 5],
        "chainid": [None, -1, 99, "1", 2**70],
        "previousblockhash": [None, "zz", 5],
        "coinbasevalue": [None, -1, 2**70, "5"],
        "bits": [None, "00000000", "x", 5],
        "height": [None, -1, "1", 10**30],
        "_target": [None, "00" * 32, "zz" * 32, 5],
    },
    "alpha": {
        "hash": [None, "00", "zz" * 32, 5],
        "context": [None, "00" * 32, 5],
        "previousblockhash": [None, "zz", 5],
        "coinbasevalue": [None, -1, 2**70, "5"],
        "target": [None, "00" * 32, "ff" * 33, 5],
        "height": [None, -1, "1", 10**30],
    },
}
NO_ANSWERS: list[Any] = [None, 5, "x", [], {}, [[[[]]]], {"result": {}}]


async def _tell(world: World, name: str, lie: Lie) -> None:
    """Let one template of the chain be a lie; the parent's long poll ends with a new block."""
    telling = asyncio.ensure_future(world.liars[name].tell(lie, METHODS[name]))
    if name == PARENT:
        await asyncio.sleep(0)
        await world.devnet.advance(PARENT)
    await telling


async def test_devnet_templates_that_cannot_be_leave_the_last_good_state(world: World) -> None:
    devnet = world.devnet
    for name, fields in BAD_FIELDS.items():
        steps.info("bad templates of %s", name)
        wrong = [{field: value} for field, values in fields.items() for value in values]
        for lie in wrong:

            def changed(method: str, params: list[Any], result: Any, name: str = name, lie: Any = lie) -> Any:
                return result | lie if method == METHODS[name] and isinstance(result, dict) else result

            await _tell(world, name, changed)
        for answer in NO_ANSWERS:

            def replaced(method: str, params: list[Any], result: Any, name: str = name, answer: Any = answer) -> Any:
                return answer if method == METHODS[name] else result

            await _tell(world, name, replaced)
        world.liars[name].lie = None

        async def well(name: str = name) -> bool:
            chain = await devnet.chain(name)
            return chain["state"] == "ok" and bool(chain["in_tree"])

        await devnet.until(well, f"{name} is well again")
        await world.unaffected()

    async def healthy() -> bool:
        return (await devnet.http("/healthz"))[0] == 200

    await devnet.until(healthy, "the pool is healthy")


async def test_devnet_node_that_repeats_a_lie_is_told_once(world: World) -> None:
    devnet = world.devnet
    before = len(devnet.logs())

    def told() -> list[str]:
        """What is said about alpha's templates, without the times."""
        return re.findall(r"(no template chain=alpha .*|templates again chain=alpha .*)", devnet.logs()[before:])

    def lie(method: str, params: list[Any], result: Any) -> Any:
        return result | {"target": "zz"} if method == "createmm2block" else result

    await world.liars["alpha"].tell(lie, "createmm2block", 8)
    world.liars["alpha"].lie = None
    await devnet.until(lambda: told() and told()[-1].startswith("templates again"), "alpha gives templates again")
    refused, *others = [line for line in told() if "target" in line]
    # Told again only where something else was told in between, as of a machine too busy to answer in time.
    assert set(others) <= {refused} and not [line for line, after in pairwise(told()) if line == after], told()
    assert len(told()) == 2 or any("no template within" in line for line in told()), told()
    await world.unaffected()


async def test_devnet_template_that_changes_its_mind_costs_nobody_anything(world: World) -> None:
    """Every answer says something else: another value, other bits, another block before it."""
    devnet = world.devnet
    first = await devnet.rpc(PARENT, "getblockhash", 1)
    minds: list[dict[str, Any]] = [
        {"coinbasevalue": 49 * 10**8}, {}, {"bits": "1f00ffff", "target": "00" * 2 + "ffff" + "00" * 28}, {},
        {"previousblockhash": first, "height": 2}, {}, {"curtime": 1_900_000_000}, {"version": 0x20000004},
    ]  # fmt: skip
    changes = 0

    def lie(method: str, params: list[Any], result: Any) -> Any:
        nonlocal changes
        if method != "getblocktemplate" or not isinstance(result, dict):
            return result
        changes += 1
        return result | minds[changes % len(minds)] | {"longpollid": f"mind{changes}"}

    liar = world.liars[PARENT]
    liar.lie = lie
    for _ in range(2 * len(minds)):
        before = changes
        await devnet.advance(PARENT)
        await devnet.until(lambda before=before: changes > before, "the pool asks again")  # type: ignore[misc]
    liar.lie = None
    tip_hex = (await devnet.advance(PARENT))[0]
    rig = await devnet.rig(f"{HONEST}.late")
    assert await rig.submit(await rig.find(job=await rig.job_on(tip_hex))) is None
    world.rig.accepted += rig.accepted
    assert not world.rig.client.closed.is_set()
