"""Five real processes with a toy core: whatever links and strangers do, honest nodes end with the same set."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from support.gossip import GENESIS, NETWORK, GossipCore
from support.network import NodeChild, RealNetwork, python, until
from support.ports import free_port

from chains.node_rpc import NodeUnavailableError
from chains.peers.core import MessageType
from chains.peers.frames import frame
from chains.peers.hello import Hello, Role, node_key_of
from chains.peers.session import FIRST_NAMED, Message, Over, Proven, Session


def gossip(node: NodeChild) -> list[str]:
    return python("-m", "support.gossip_node", str(node.data), str(node.port), str(node.rpc_port), *node.peers)


async def agree(network: RealNetwork, least: int) -> int:
    """All nodes have the same items, at least so many; how many."""

    async def same() -> int | None:
        found = [await node.call("getitems") for node in network.nodes]
        return found[0]["count"] if all(one == found[0] and one["count"] >= least for one in found) else None

    return int(await until(same, f"all nodes have the same {least} items or more"))


class Stranger:
    """A connection in the test's hand, with a key of its own."""

    def __init__(self, port: int, number: int, network: bytes = NETWORK, types: tuple[MessageType, ...] = ()) -> None:
        secret = number.to_bytes(32, "big")
        messages = types or GossipCore.messages
        names = tuple(message.name for message in messages)
        hello = Hello(network, GENESIS, node_key_of(secret), os.urandom(32), names)
        self.session = Session(hello, secret, messages, Role.DIALLED, 0)
        self.port = port
        self.key = hello.node_key
        self.seen: list[object] = []
        self.closed = asyncio.Event()

    async def connect(self) -> Stranger:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._task = asyncio.create_task(self._read())
        self.flush()
        return self

    def flush(self) -> None:
        self.writer.write(self.session.take())

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                self.seen += self.session.receive(data, 0)
                self.flush()
        except ConnectionError:
            pass
        self.closed.set()

    async def proven(self) -> Stranger:
        async def is_proven() -> bool:
            return any(isinstance(event, Proven) for event in self.seen)

        await until(is_proven, "the hello is proven")
        return self

    async def ended(self) -> str:
        """Why, as the node said it."""
        async with asyncio.timeout(60):
            await self.closed.wait()
        self.writer.close()
        return next((event.reason for event in self.seen if isinstance(event, Over)), "cut")


async def test_network_nodes_agree_through_loss_partition_kill_and_restart(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 5, free_port, gossip, loss=0.2) as network:
        for number, node in enumerate(network.nodes):
            await node.call("add", f"first {number}")
        await agree(network, 5)
        network.partition([0, 1], [2, 3, 4])
        await network.nodes[0].call("add", "left")
        await network.nodes[4].call("add", "right")
        await network.nodes[2].call("waitforitems", 6, 30)
        assert (await network.nodes[1].call("waitforitems", 6, 30))["count"] == 6
        network.nodes[3].kill()
        network.nodes[0].kill()
        network.heal()
        await network.nodes[2].call("add", "while two are down")
        await network.nodes[3].start()
        await network.nodes[0].start()
        assert await agree(network, 8) == 8
        for victim in range(5):  # each once, while a large item is on its way
            await network.nodes[(victim + 1) % 5].call("add", random.Random(victim).randbytes(150_000).hex())
            network.nodes[victim].kill()
            await network.nodes[victim].start()
        assert await agree(network, 13) == 13
        assert sum(link.lost for link in network.links.values()) > 0
        for node in network.nodes:
            assert "Traceback" not in node.log() and "banned" not in node.log()


async def test_network_attackers_are_refused_scored_and_banned(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 3, free_port, gossip) as network:
        port = network.nodes[0].port

        flooder = await (await Stranger(port, 1001).connect()).proven()
        for number in range(1000):
            flooder.raw(frame(FIRST_NAMED + 2, b"flood %d" % number))
        assert await flooder.ended() in ("peer says: banned", "cut")
        again = await Stranger(port, 1001).connect()
        assert await again.ended() == "peer says: banned"
        banned = [entry["name"] for entry in await network.nodes[0].call("listbanned")]
        assert banned == [f"key:{flooder.key.hex()}"]

        oversize = await (await Stranger(port, 1002).connect()).proven()
        oversize.raw(frame(FIRST_NAMED + 3, bytes(101)) * 2)
        assert await oversize.ended() == "peer says: banned"

        evil = await (await Stranger(port, 1003).connect()).proven()
        evil.raw(frame(FIRST_NAMED + 2, b"evil"))
        assert await evil.ended() == "peer says: banned"

        garbage = await Stranger(port, 1004).connect()
        garbage.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        assert "frame of" in await garbage.ended()

        huge = await (await Stranger(port, 1005).connect()).proven()
        huge.raw(b"\xff\xff\xff\x7f" + bytes(1000))
        assert "limit" in await huge.ended()

        foreigner = await Stranger(port, 1006, network=b"X" * 32).connect()
        assert "another network" in await foreigner.ended()

        mute = await Stranger(port, 1007, types=GossipCore.messages[:1]).connect()
        assert "does not speak want, item" in await mute.ended()

        more = (MessageType("news", "", 10, 1, 1, required=False), *GossipCore.messages)
        newer = await (await Stranger(port, 1008, types=more).connect()).proven()
        newer.raw(frame(FIRST_NAMED, b"unknown") + frame(FIRST_NAMED + 3, b"known"))  # news, and item by its number

        await network.nodes[1].call("add", "honest")
        burst = GossipCore.messages[2].burst
        assert await agree(network, burst + 2) < 1000  # some of the flood, "known" and "honest"
        assert any(isinstance(event, Message) for event in newer.seen)
        newer.writer.close()
        for node in network.nodes:
            assert "Traceback" not in node.log()


async def test_network_ban_outlives_a_restart_and_can_be_lifted(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 1, free_port, gossip) as network:
        node = network.nodes[0]
        evil = await (await Stranger(node.port, 7).connect()).proven()
        evil.raw(frame(FIRST_NAMED + 2, b"evil"))
        assert await evil.ended() == "peer says: banned"
        node.kill()
        await node.start()
        assert await (await Stranger(node.port, 7).connect()).ended() == "peer says: banned"
        await node.call("setban", evil.key.hex(), "remove")
        await (await Stranger(node.port, 7).connect()).proven()


async def test_network_slow_reader_is_cut(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 1, free_port, gossip) as network:
        node = network.nodes[0]
        item = random.Random(1).randbytes(60_000).hex()
        await node.call("add", item)
        slow = await (await Stranger(node.port, 8).connect()).proven()
        slow._task.cancel()  # reads no more
        from hashlib import sha256

        want = frame(FIRST_NAMED + 1, sha256(item.encode()).digest() * 500)
        for _ in range(4):
            slow.raw(want)

        async def is_cut() -> bool:
            return "it does not read" in node.log()

        await until(is_cut, "the slow reader is cut")
        assert await node.peer_count() == 0
        slow.writer.close()


async def test_network_damaged_store_is_set_aside_and_synced_anew(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 2, free_port, gossip) as network:
        for number in range(20):
            await network.nodes[0].call("add", f"{number} " + "x" * 5000)
        await agree(network, 20)
        victim = network.nodes[1]
        victim.kill()
        database = victim.data / "records.db"
        os.truncate(database, database.stat().st_size // 2)
        for side in ("-wal", "-shm"):
            (victim.data / f"records.db{side}").unlink(missing_ok=True)
        await victim.start()
        await agree(network, 20)
        assert "store damaged and set aside" in victim.log()


async def test_network_second_process_on_the_same_folder_is_told_why(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 1, free_port, gossip) as network:
        other = NodeChild("node0", tmp_path, free_port(), free_port(), gossip)
        other.log_path = tmp_path / "other.log"
        other.spawn()

        async def has_ended() -> bool:
            return other.exit_code() is not None

        await until(has_ended, "the second process ends")
        assert other.exit_code() == 1
        assert "is in use by another process" in other.log()
        assert await network.nodes[0].call("uptime") >= 0


async def test_network_node_stops_at_once_while_somebody_waits(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 1, free_port, gossip) as network:
        node = network.nodes[0]
        waiting = asyncio.create_task(node.call("waitforitems", 5, 25))
        await asyncio.sleep(0.5)
        node.terminate()

        async def has_ended() -> bool:
            return node.exit_code() is not None

        await until(has_ended, "the node ends", 15)
        with pytest.raises(NodeUnavailableError):
            await waiting


async def test_network_call_stop_ends_the_node_in_order(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 1, free_port, gossip) as network:
        node = network.nodes[0]
        assert (node.data / ".cookie").stat().st_mode & 0o777 == 0o600
        assert await node.call("stop") == "node stopping"

        async def has_ended() -> bool:
            return node.exit_code() == 0

        await until(has_ended, "the node ends with 0")
        assert not (node.data / ".cookie").exists()


def test_network_gossip_limits_fit_the_tests() -> None:
    """The flood above is beyond the burst, and the large item within its limit."""
    assert GossipCore.messages[2].burst < 1000 and GossipCore.messages[2].limit_bytes >= 300_000
