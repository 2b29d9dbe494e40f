"""The miner of a local network of our own nodes: `python -m pool.devnet.network_miner --kind bk --rate 20000 NODE...`,
NODE being RPC_PORT:DATA_DIR of a node of this machine.

Each node has a miner of its own, with the node's own account and, for B_k, a leader key and a signer of its own, so
that blocks come from all over the network. All together they make `rate` hashes a second and no more: the target
decides how often something is found, and the processor has other things to do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import build_tree
from chains.node_rpc import JsonRpc, NodeUnavailableError, RpcError
from chains.parallel.manifest import read_manifest
from chains.parallel.proof import root_coinbase, root_wire
from chains.peers.program import COOKIE_NAME
from chains.primitives.hashes import from_displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.serialize import Reader
from chains.signer.signer import AlreadyPromisedError, Signer, open_signer

log = logging.getLogger("parapool.devnet.miner")

SLICE_S = 0.1
WAIT_S = 20
PAUSE_S = 1.0  # after a node did not answer
NONCES = 2**32
_COINBASE_START = bytes.fromhex("0100000001" + "00" * 32 + "ffffffff")


class Hasher:
    """A header's nonces, in slices."""

    def __init__(self, header: bytes, target: int) -> None:
        self._start = header[:76]
        self._target = target
        self._nonce = 0

    def look(self, count: int) -> bytes | None:
        """A solved header among the next `count`, or None. The header is used up afterwards."""
        for nonce in range(self._nonce, min(self._nonce + count, NONCES)):
            header = self._start + nonce.to_bytes(4, "little")
            if int.from_bytes(sha256d(header), "little") <= self._target:
                self._nonce = nonce + 1
                return header
        self._nonce += count
        return None

    @property
    def used_up(self) -> bool:
        return self._nonce >= NONCES


class NodeMiner(ABC):
    """What both kinds need: the node's calls, and how much to hash in a slice."""

    def __init__(self, port: int, data_dir: Path, rate: float) -> None:
        self.data_dir = data_dir
        self.rpc = JsonRpc(
            f"http://127.0.0.1:{port}", cookie_file=data_dir / COOKIE_NAME, timeout_s=15, name=data_dir.name
        )
        self.template: Any = None
        self._rate = rate
        self._salt = itertools.count(random.SystemRandom().getrandbits(48))
        self._budget = 0.0
        self._at_s = time.monotonic()

    def salt(self) -> bytes:
        return next(self._salt).to_bytes(8, "little")

    async def slice(self) -> int:
        """Waits for the next slice; how many hashes it has."""
        await asyncio.sleep(SLICE_S * random.uniform(0.5, 1.5))
        now_s = time.monotonic()
        self._budget = min(self._budget + (now_s - self._at_s) * self._rate, self._rate)
        self._at_s = now_s
        count = int(self._budget)
        self._budget -= count
        return count

    @abstractmethod
    def parts(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What its kind does all the time, side by side."""

    async def run(self) -> None:
        """For ever. A node that is away is waited for; what a node refuses is told and passed over."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    for part in self.parts():
                        group.create_task(part)
            except* (NodeUnavailableError, RpcError) as errors:
                log.info("mining waits node=%s: %s", self.data_dir.name, errors.exceptions[0])
            self.template = None
            await asyncio.sleep(PAUSE_S)


class BkMiner(NodeMiner):
    """Votes, and blocks where its own vote leads."""

    def __init__(self, port: int, data_dir: Path, rate: float) -> None:
        super().__init__(port, data_dir, rate)
        folder = data_dir / "miner"
        folder.mkdir(parents=True, exist_ok=True)
        self._signer: Signer = open_signer(folder / "leader.key", folder / "promises")
        self._key_hex = self._signer.public_key.hex()

    def parts(self) -> Sequence[Coroutine[Any, Any, None]]:
        return self._follow(), self._vote(), self._lead()

    async def _script(self) -> str:
        return str((await self.rpc.call("listaccounts"))[0]["script"])

    async def _follow(self) -> None:
        script = await self._script()
        self.template = await self.rpc.call("getvotetemplate", self._key_hex, script)
        while True:
            previous = self.template["previousblockhash"]
            self.template = await self.rpc.call(
                "waitfortemplate", self._key_hex, script, previous, WAIT_S, timeout_s=WAIT_S + 15
            )

    async def _vote(self) -> None:
        hasher, made_for, finish = None, None, None
        while True:
            count, template = await self.slice(), self.template
            if template is None:
                continue
            if hasher is None or made_for != template["datum"] or hasher.used_up:
                hasher, finish = self._work(template)
                made_for = template["datum"]
            header = hasher.look(count)
            if header is not None and finish is not None:
                hasher = None
                result = await self.rpc.call("submitvote", made_for, finish(header))
                log.debug("vote node=%s result=%s", self.data_dir.name, result or "accepted")

    def _work(self, template: Mapping[str, Any]) -> tuple[Hasher, Any]:
        """What to hash, and how a solved header becomes a proof (hex)."""
        datum, context = bytes.fromhex(template["datum"]), bytes.fromhex(template["context"])
        aux_hash = sha256d(datum)
        tree = build_tree({context: aux_hash})
        coinbase = (
            _COINBASE_START + b"\x08" + self.salt() + b"\xff" * 4 + b"\x01" + bytes(8) + b"\x2a\x6a\x28" + tree.root
            + self.salt() + bytes(4)
        )  # fmt: skip
        header = Header(0x20000000, bytes(32), sha256d(coinbase), int(time.time()), 0x207FFFFF, 0).serialize()

        def finish(solved: bytes) -> str:
            return serialize(build_proof(solved, coinbase, (), tree.links[context], aux_hash)).hex()

        return Hasher(header, int(template["target"], 16)), finish

    async def _lead(self) -> None:
        signed: dict[bytes, tuple[Any, ...]] = {}
        while True:
            found = await self.rpc.call("waitforproposal", self._key_hex, WAIT_S, timeout_s=WAIT_S + 15)
            if found is None:
                continue
            slot = from_displayed(found["previousblockhash"]) + from_displayed(found["leader_vote"])
            try:
                signature = self._signer.sign("bk-block", slot, bytes.fromhex(found["digest"])).hex()
                signed = {slot: (found["header"], signature, found["votes"], found["body"])}
            except AlreadyPromisedError:
                if slot not in signed:  # signed before a restart: others lead, or another vote
                    await asyncio.sleep(PAUSE_S)
                    continue
            result = await self.rpc.call("submitblock", *signed[slot])
            log.info("led node=%s height=%s result=%s", self.data_dir.name, found["height"], result or "accepted")
            if result is not None:
                await asyncio.sleep(PAUSE_S)


class ParallelMiner(NodeMiner):
    """Consensus proofs of root mode that collect all chains that the node follows."""

    def parts(self) -> Sequence[Coroutine[Any, Any, None]]:
        return self._follow(), self._mine()

    async def _follow(self) -> None:
        view = await self.rpc.call("getchainview")
        scripts = {}
        for chain in view["chains"]:
            accounts = await self.rpc.call("listaccounts", chain["chain"])
            scripts[chain["chain"]] = accounts[0]["address"]
        newest = self.template = await self.rpc.call("getconsensustemplate", scripts)
        while True:
            newest = self.template = await self.rpc.call(
                "waitforconsensustemplate", scripts, newest["longpollid"], WAIT_S, timeout_s=WAIT_S + 15
            )

    async def _mine(self) -> None:
        hasher, made_for, coinbase = None, None, b""
        while True:
            count, template = await self.slice(), self.template
            if template is None:
                continue
            if hasher is None or made_for is not template or hasher.used_up:
                made_for = template
                commitment = bytes.fromhex(template["commitment"])
                coinbase = root_coinbase(template["height"], commitment, b"/devnet/", self.salt())
                previous, bits = from_displayed(template["previousblockhash"]), int(template["bits"], 16)
                time_s = max(int(time.time()), template["mintime"])
                header = Header(template["version"], previous, sha256d(coinbase), time_s, bits, 0)
                hasher = Hasher(header.serialize(), int(template["target"], 16))
            solved = hasher.look(count)
            if solved is not None:
                hasher = None
                await self._submit(made_for, solved, coinbase)

    async def _submit(self, template: Mapping[str, Any], solved: bytes, coinbase: bytes) -> None:
        manifest = read_manifest(Reader(bytes.fromhex(template["manifest"])))
        nonce = int.from_bytes(solved[76:], "little")
        previous, root = solved[4:36], solved[36:68]
        time_s, bits = int.from_bytes(solved[68:72], "little"), int.from_bytes(solved[72:76], "little")
        wire = root_wire(Header(template["version"], previous, root, time_s, bits, nonce), coinbase, manifest)
        bodies = {one["context"]: one["transactions"] for one in template["chains"]}
        answer = await self.rpc.call("submitconsensusproof", wire.hex(), bodies)
        log.info("proof node=%s height=%s result=%s", self.data_dir.name, template["height"], answer["result"])
        if self.template is template:
            self.template = None  # until _follow has the next one: mining on would only fork


MINERS: dict[str, type[NodeMiner]] = {"bk": BkMiner, "parallel": ParallelMiner}


async def _mine(kind: str, rate: float, nodes: Sequence[str]) -> None:
    miners = []
    for node in nodes:
        port, _, folder = node.partition(":")
        miners.append(MINERS[kind](int(port), Path(folder), rate / len(nodes)))
    print("READY", flush=True)
    try:
        await asyncio.gather(*(miner.run() for miner in miners))
    finally:
        for miner in miners:
            await miner.rpc.close()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pool.devnet.network_miner", description="Mine a local network.")
    parser.add_argument("--kind", required=True, choices=sorted(MINERS))
    parser.add_argument("--rate", type=float, required=True, help="hashes a second of all miners together")
    parser.add_argument("nodes", nargs="+", metavar="RPC_PORT:DATA_DIR")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    async def until_told() -> None:
        task = asyncio.ensure_future(_mine(given.kind, given.rate, given.nodes))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await task

    try:
        asyncio.run(until_told())
    except asyncio.CancelledError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
