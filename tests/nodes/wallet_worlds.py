"""Wallets of daemons for tests: ours to pay with through the pool's own edge, and what a test does behind its back."""

from __future__ import annotations

import http.client
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from node_daemons import START_S, RealNode, RpcFailure, free_ports, start_litecoind

from chains.families import network
from chains.node_rpc import JsonRpc
from chains.node_wallet import NodeWallet, wallet_url
from chains.primitives.address import address_to_script, script_to_address
from chains.primitives.hashes import displayed
from chains.primitives.transaction import Transaction, TxIn, TxOut
from chains.wallet import Coin
from chains.wallet_signer import Signing
from pool.devnet.demo.children import Child

FEE = 100_000
SEQUENCE = 0xFFFFFFFD
MATURITY = 10  # of devnet
MINER_SCRIPT = bytes.fromhex("76a914") + bytes(range(20, 40)) + bytes.fromhex("88ac")


_numbers = count(1)


@dataclass
class WalletWorld:
    """A daemon with a wallet that owns mature coins. `maturity` is what the chain asks of a coinbase; `wallet_name`
    empty for daemons with one wallet only; `old` for a wallet of the age of Dogecoin 1.14, which cannot try a payment
    beforehand."""

    node: RealNode
    wallet_name: str
    maturity: int
    old: bool = False
    _open: list[NodeWallet] = field(default_factory=list)
    _height: int = 0

    def wallet(
        self,
        *,
        signing: Signing = Signing.AUTO,
        passphrase: Callable[[], str] | None = None,
        timeout_s: float = 60.0,
        user: str | None = None,
        password: str | None = None,
    ) -> NodeWallet:
        """The pool's edge to the wallet; closed with the world."""
        node = self.node
        url = wallet_url(node.url, self.wallet_name) if self.wallet_name else node.url
        login = {"user": user or node.user, "password": password or node.password}
        rpc = JsonRpc(url, timeout_s=timeout_s, name=node.name, **login)
        wallet = NodeWallet("paid", node.network, rpc, signing=signing, passphrase=passphrase)
        self._open.append(wallet)
        return wallet

    async def close(self) -> None:
        for wallet in self._open:
            await wallet.close()

    def mine(self, blocks: int = 1) -> list[str]:
        """Blocks that pay somebody else, another address each time: no block is ever the one that was invalidated."""
        hashes: list[str] = self.node.call("generatetoaddress", blocks, self._somebody())
        return hashes

    def mine_to_wallet(self, blocks: int) -> None:
        self.node.call("generatetoaddress", blocks, self.node.call("getnewaddress"))

    def mine_only(self, *raws: bytes) -> str:
        """One block with these transactions and nothing that waits; its hash."""
        answer = self.node.call("generateblock", self._somebody(), [raw.hex() for raw in raws])
        hash_hex: str = answer["hash"]
        return hash_hex

    def _somebody(self) -> str:
        script = b"\x76\xa9\x14" + next(_numbers).to_bytes(20, "big") + b"\x88\xac"
        address = script_to_address(script, self.node.network.addresses)
        assert address is not None
        return address

    def kill(self) -> None:
        """kill -9 of the wallet's daemon. A peer of a litecoind lives on, which has all blocks: from there it gets back
        those that it had not written to disk yet."""
        self._height = self.node.call("getblockcount")
        deadline_s = time.monotonic() + START_S
        while len(self.node.launches) > 1 and self._peer().call("getblockcount") < self._height:
            assert time.monotonic() < deadline_s, "the peer did not get the blocks"
            time.sleep(0.05)
        process = self.node.processes[0].process
        process.kill()
        process.wait()

    def _peer(self) -> RealNode:
        command, _ = self.node.launches[1]
        port = next(word.removeprefix("-rpcport=") for word in command if word.startswith("-rpcport="))
        return replace(self.node, url=f"http://127.0.0.1:{port}/")

    def start_again(self) -> None:
        """After kill(); waits until the daemon has all blocks again."""
        command, directory = self.node.launches[0]
        self.node.processes[0] = Child(self.node.name, command, directory / "output.txt")
        self.wait_for_blocks()

    def wait_for_blocks(self) -> None:
        deadline_s = time.monotonic() + START_S
        while not self._has_blocks():
            assert time.monotonic() < deadline_s, f"{self.node.name} did not come up"
            time.sleep(0.1)

    def _has_blocks(self) -> bool:
        try:
            blocks: int = self.node.call("getblockcount")
        except (OSError, http.client.HTTPException, ValueError, RpcFailure):
            return False
        return blocks >= self._height


def payment(
    coins: Sequence[Coin], amount: int, change_script: bytes, *, fee: int = FEE, to: bytes = MINER_SCRIPT
) -> bytes:
    """Unsigned: the amount to a miner, the rest back."""
    inputs = tuple(TxIn(coin.outpoint.txid, coin.outpoint.vout, b"", SEQUENCE) for coin in coins)
    rest = sum(coin.amount for coin in coins) - amount - fee
    assert rest > 0
    outputs = (TxOut(amount, to), TxOut(rest, change_script))
    return Transaction(2, inputs, outputs).serialize()


def own_script(world: WalletWorld) -> bytes:
    return address_to_script(world.node.call("getnewaddress"), world.node.network.addresses)


def shown(coin: Coin) -> str:
    return f"{displayed(coin.outpoint.txid)}:{coin.outpoint.vout}"


@asynccontextmanager
async def litecoin_wallet(
    directory: Path, name: str, *options: str, funded: bool = True
) -> AsyncIterator[WalletWorld]:
    """A litecoind (with further `options` of its command line) whose wallet of this name, loaded again at each start,
    has six mature coins of its three kinds, or none."""
    node = start_litecoind(directory, *options)
    world = WalletWorld(node, name, 100)
    try:
        node.call("createwallet", name, False, False, "", False, None, True)
        if funded:
            for kind in ("bech32", "legacy", "p2sh-segwit"):
                for _ in range(2):
                    node.call("generatetoaddress", 1, node.call("getnewaddress", "", kind))
            world.mine(world.maturity + 1)
        yield world
    finally:
        await world.close()
        node.stop()


REFERENCE = ("bitcoin", "namecoin", "dogecoin", "mm2")


@asynccontextmanager
async def reference_wallet(which: str, directory: Path, *, funded: bool = True) -> AsyncIterator[WalletWorld]:
    """A reference node of devnet whose wallet has six mature coins, or none: a parent, an MM1 chain of either dialect,
    an MM2 chain."""
    kind = "auxpow" if which in ("namecoin", "dogecoin") else which
    (port,) = free_ports(1)
    family = "dogecoin" if which == "dogecoin" else "devnet"
    node = RealNode(which, f"http://127.0.0.1:{port}/", "u", secrets.token_hex(8), network(family, "regtest"))
    command = [sys.executable, "-m", "chains.reference.run", "--kind", kind, "--name", which, "--port", str(port)]
    command += ["--user", node.user, "--password", node.password, "--data", str(directory / which), "--seed", which]
    command += ["--context-name", which] if kind == "mm2" else []
    command += ["--dialect", which] if kind == "auxpow" else []
    world = WalletWorld(node, "", MATURITY, which == "dogecoin")
    node.launches.append((command, directory))
    node.processes.append(Child(which, command, directory / "output.txt"))
    try:
        world.wait_for_blocks()
        if funded:
            for _ in range(6):
                world.mine_to_wallet(1)
            world.mine(world.maturity + 1)
        yield world
    finally:
        await world.close()
        node.stop()
