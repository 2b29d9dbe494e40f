"""A chain with accounts and its node in memory, and the product's wallet over it: a drop-in for support/fake_wallet.py.

Ledger, mempool and calls are the nodes' own (chains/accounts); blocks are as many as a test wants. Every call of the
wallet's, and every call to the node that it makes, passes a point before and after its effect.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

from coincurve import PrivateKey

from chains.account_node import ID_SIZE, AccountNode
from chains.account_wallet import AccountWallet
from chains.accounts import wallet as calls
from chains.accounts.coins import Spend
from chains.accounts.ledger import Accounts, LedgerBlock, LedgerUndo
from chains.accounts.mempool import Mempool, Refused
from chains.accounts.transfer import Payment, Transfer, read_transfer, sign
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import pay_to_pubkey_hash
from chains.primitives.hashes import displayed, from_displayed, sha256d
from chains.walk.outcome import Applied
from chains.wallet import Coin, Outpoint, SendAnswer, SendResult, Tip, Turn, WalletRefusedError, WalletTransaction
from support.fake_wallet import Point, no_faults

T = TypeVar("T")
CHAIN_ID = b"\x77" * 32
SECRET = bytes(31) + b"\x07"
SCRIPT = pay_to_pubkey_hash(PrivateKey(SECRET).public_key.format())
NOBODY = b"\x51"
STRANGERS = 30
"""So many deposits there can be, each of another account that has a million million."""

RELAY_RATE = 1000
NO_RATE = 10**12


@dataclass(slots=True)
class Block:
    id: bytes
    record: LedgerBlock
    undo: LedgerUndo


@dataclass(frozen=True, slots=True)
class Output:
    """As oracles look at outputs of transactions."""

    script: bytes
    amount_sat: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A transfer as oracles look at transactions."""

    txid: bytes
    outputs: tuple[Output, ...]


def _stranger(number: int) -> bytes:
    return (10_000 + number).to_bytes(32, "big")


def _account(secret: bytes) -> tuple[bytes, bytes]:
    key = PrivateKey(secret).public_key.format()
    return key, pay_to_pubkey_hash(key)


@dataclass(slots=True)
class FakeAccountChain:
    """The world's side and the oracle's: blocks, mempool, reorgs, strangers, a thief."""

    maturity: int = 10
    accounts: Accounts = field(init=False)
    mempool_: Mempool = field(init=False)
    blocks: list[Block] = field(default_factory=list)
    known: dict[bytes, Transfer] = field(default_factory=dict)
    synced: bool = True
    refuses: str | None = None
    has_proofs: bool = False
    holes: int = 0
    peers: int = 1
    sent: list[bytes] = field(default_factory=list)
    addresses: Any = field(default_factory=lambda: calls.address_format("pa"))
    _salt: Any = field(default_factory=lambda: itertools.count(1))
    _strangers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.accounts = Accounts(CHAIN_ID, self.maturity)
        self.mempool_ = Mempool(self.accounts, RELAY_RATE)
        self._block(tuple(Payment(_account(_stranger(n))[1], 10**12) for n in range(1, STRANGERS + 1)), ())
        self.mine(self.maturity + 1)

    # -- the world's side ---------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        return self.accounts.height

    def block_names(self, height: int) -> dict[str, bytes]:
        """As kind parallel has them: the pool goes by the proof, where there is one."""
        found = self.blocks[height - 1].id
        return {"block": sha256d(found), "proof": found} if self.has_proofs else {"block": found}

    def hash_at(self, height: int) -> str:
        """Displayed id of the block at a height; another one after a reorganisation. Of genesis, zeros."""
        return displayed(self.blocks[height - 1].id) if height else "00" * 32

    def _block(self, rewards: tuple[Payment, ...], transfers: tuple[Transfer, ...]) -> None:
        record = LedgerBlock(self.height + 1, rewards, NOBODY, transfers)
        done = self.accounts.apply(record)
        assert isinstance(done, Applied), done
        self.blocks.append(Block(sha256d(next(self._salt).to_bytes(8, "little")), record, done.undo))

    def mine(self, count: int = 1, *, reward: int = 0, empty: bool = False) -> str:
        """Blocks with everything that waits; the first one pays `reward` to the account, as two votes. Its hash."""
        first = ""
        for number in range(count):
            transfers = () if empty else self.mempool_.choose(10**7)
            paid = (Payment(SCRIPT, reward - reward // 3), Payment(SCRIPT, reward // 3)) if not number else ()
            self._block(tuple(one for one in paid if one.amount), transfers)
            self.mempool_.follow()
            first = first or self.hash_at(self.height)
        return first

    def reorganise(self, depth: int, *, forget: bool = False, grow: int = 1) -> None:
        """The last blocks are replaced by empty ones, one (`grow`) more. Their transfers wait again, or are gone."""
        back: list[Transfer] = []
        for _ in range(depth):
            block = self.blocks.pop()
            self.accounts.undo(block.undo)
            back = [*block.record.transfers, *back]
        if forget:
            self.mempool_.follow()
        else:
            self.mempool_.follow(back)
        self.mine(depth + grow, empty=True)

    def forget_mempool(self) -> None:
        self.mempool_ = Mempool(self.accounts, self.mempool_._fee_rate)

    @property
    def rate(self) -> int:
        return self.mempool_._fee_rate

    @rate.setter
    def rate(self, rate: int | None) -> None:
        self.mempool_._fee_rate = NO_RATE if self.fee_too_low else rate or RELAY_RATE

    @property
    def fee_too_low(self) -> bool:
        return self.mempool_._fee_rate == NO_RATE

    @fee_too_low.setter
    def fee_too_low(self, is_so: bool) -> None:
        if is_so != self.fee_too_low:
            self.mempool_._fee_rate = NO_RATE if is_so else RELAY_RATE

    def deposit(self, amount: int) -> Outpoint:
        """A stranger sends something."""
        number = next(self._strangers)
        key, script = _account(_stranger(number))
        transfer = sign(Transfer(script, key, 0, 10**7, (Payment(SCRIPT, amount),)), CHAIN_ID, _stranger(number))
        return Outpoint(self._take(transfer), 0)

    def steal(self, amount: int, *, fee: int = 10**5, nonce: int | None = None) -> bytes:
        """Somebody with the key sends something out of the account; the id."""
        key, _ = _account(SECRET)
        turn = self.accounts.account(SCRIPT).nonce if nonce is None else nonce
        outputs = (Payment(b"\x00\x14" + b"\x66" * 20, amount - fee),)
        return self._take(sign(Transfer(SCRIPT, key, turn, fee, outputs), CHAIN_ID, SECRET))

    def _take(self, transfer: Transfer) -> bytes:
        transfer_id = transfer.id_on(CHAIN_ID)
        self.known[transfer_id] = transfer
        self._add(transfer)
        assert transfer_id in self.mempool_
        return transfer_id

    def _add(self, transfer: Transfer) -> None:
        """Whatever our node asks for relaying, somebody's takes it."""
        rate, self.mempool_._fee_rate = self.mempool_._fee_rate, 0
        self.mempool_.add(transfer)
        self.mempool_._fee_rate = rate

    def send_again(self, txid: bytes) -> None:
        """Whoever made a transfer sends it once more, unless it is in the chain."""
        if self.accounts.height_of(txid) is None:
            self._add(self.known[txid])

    def deliver(self, raw: bytes) -> SendAnswer:
        """What the node does with a payment's bytes, whoever it has them from."""
        transfer = read_transfer(raw[ID_SIZE:])
        self.sent.append(transfer.id_on(raw[:ID_SIZE]))
        return SendAnswer(SendResult.SENT if self.send(transfer) == "sent" else SendResult.KNOWN)

    def send(self, transfer: Transfer) -> str:
        """sendtransfer's result. Raises RpcError."""
        transfer_id = transfer.id_on(CHAIN_ID)
        if self.accounts.height_of(transfer_id) is not None:
            return "confirmed"
        if self.refuses is not None and transfer_id not in self.mempool_:
            raise RpcError(calls.VERIFY_REJECTED, self.refuses)
        taken = self.mempool_.add(transfer)
        if isinstance(taken, Refused):
            if taken.reason != "known":
                raise RpcError(calls.VERIFY_REJECTED, taken.reason)
            return "known"
        self.known[transfer_id] = transfer
        return "sent"

    # -- the oracle's side --------------------------------------------------------------------------------------------

    @property
    def mempool(self) -> Mapping[bytes, Seen]:
        return {one.id: _seen(one.transfer) for one in self.mempool_.all()}

    def confirmed(self) -> list[Seen]:
        return [_seen(transfer) for block in self.blocks for transfer in block.record.transfers]

    def paid(self, script: bytes) -> list[int]:
        return [o.amount_sat for t in self.confirmed() for o in t.outputs if o.script == script]

    def holds(self) -> int:
        """What the account has, immature rewards included."""
        return self.accounts.account(SCRIPT).balance + self.accounts.immature(SCRIPT)


def _seen(transfer: Transfer) -> Seen:
    outputs = tuple(Output(one.script, one.amount) for one in transfer.outputs)
    return Seen(transfer.id_on(CHAIN_ID), outputs)


class FakeRpc:
    """The node's calls, in the words of one of the two kinds: with `chain_name`, kind parallel's."""

    def __init__(self, chain: FakeAccountChain, point: Point, chain_name: str | None = None) -> None:
        self.name = "node"
        self._chain = chain
        self._point = point
        self._chain_name = chain_name

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self._point(f"before {method}")
        try:
            answer = self._answer(method, params)
        except calls.CallRefusedError as error:
            raise RpcError(error.code, error.reason) from error
        self._point(f"after {method}")
        return answer

    async def close(self) -> None:
        pass

    def _answer(self, method: str, params: Sequence[Any]) -> Any:
        chain: Any = SimpleNamespace(
            addresses=self._chain.addresses, accounts=self._chain.accounts, mempool=self._chain.mempool_,
            block_names=self._chain.block_names,
        )  # fmt: skip
        if method == "getchainview":
            where = {"chain": self._chain_name, "chain_id": CHAIN_ID.hex(), "height": self._chain.height}
            where |= {"tip": self._chain.hash_at(self._chain.height), "maturity_blocks": self._chain.maturity}
            where |= {"unresolved": self._chain.holes}
            known = {"initialblockdownload": not self._chain.synced, "peers": self._chain.peers}
            return known | {"chains": [{"chain": "another"}, where]}
        if method == "getblockchaininfo":
            where = {"genesis": displayed(CHAIN_ID), "blocks": self._chain.height}
            where |= {"bestblockhash": self._chain.hash_at(self._chain.height), "connections": self._chain.peers}
            return where | {
                "maturity_blocks": self._chain.maturity, "initialblockdownload": not self._chain.synced
            }  # fmt: skip
        if self._chain_name is not None:
            assert params[0] == self._chain_name
            params = params[1:]
        if method == "getblockhash":
            if not 0 < params[0] <= self._chain.height:
                raise calls.CallRefusedError(calls.INVALID_PARAMETER, "Block height out of range")
            return displayed(self._chain.block_names(params[0])["block"])
        if method == "gettransferproof":
            wanted = from_displayed(params[0])
            if chain.accounts.height_of(wanted) is None:
                raise calls.CallRefusedError(calls.INVALID_ADDRESS, "Transfer not confirmed")
            key = "transfer" if self._chain_name is None else "transaction"
            return {key: self._chain.known[wanted].serialize().hex()}
        if method == "sendtransfer":
            transfer = calls.parse(params[0])
            self._chain.sent.append(transfer.id_on(CHAIN_ID))
            told = displayed(transfer.id_on(CHAIN_ID))
            result = self._chain.send(transfer)
            return told if self._chain_name is None else {"id": told, "result": result}
        functions: Mapping[str, Callable[..., Any]] = {
            "getbalance": calls.get_balance, "listtransfers": calls.list_transfers, "gettransfer": calls.get_transfer,
            "createtransfer": calls.create_transfer,
        }  # fmt: skip
        return functions[method](chain, *params)


async def _no_spends() -> Mapping[bytes, Spend]:
    return {}


class FakeAccountWallet(FakeAccountChain):
    """The product's AccountWallet over the chain, with a point before and after each of its calls. `spends` is to be
    set to what the books tell."""

    def __init__(
        self, chain: str = "alpha", *, maturity: int = 10, point: Point = no_faults, chain_name: str | None = None
    ) -> None:
        super().__init__(maturity, has_proofs=chain_name is not None)
        self.chain = chain
        self.point = point
        self.spends: Callable[[], Awaitable[Mapping[bytes, Spend]]] = _no_spends
        self.signed: list[bytes] = []
        node = AccountNode(FakeRpc(self, lambda name: self.node_point(name), chain_name), chain_name)
        address = calls.address_of(SimpleNamespace(addresses=self.addresses), SCRIPT)
        self.real = AccountWallet(chain, address, self.addresses, SECRET, (node,), maturity=maturity)
        self.real.spends = self._ask_spends
        self.node_point: Point = no_faults

    async def _ask_spends(self) -> Mapping[bytes, Spend]:
        return await self.spends()

    async def _pointed(self, name: str, effect: Awaitable[T]) -> T:
        try:
            self.point(f"before {name}")
            answer = await effect
        finally:
            if hasattr(effect, "close"):
                effect.close()
        self.point(f"after {name}")
        return answer

    async def tip(self) -> Tip:
        return await self._pointed("tip", self.real.tip())

    async def coins(self) -> list[Coin]:
        return await self._pointed("coins", self.real.coins())

    async def is_ours(self, script: bytes) -> bool:
        return await self.real.is_ours(script)

    async def has_sent(self) -> bool:
        return await self.real.has_sent()

    async def is_unspent(self, outpoint: Outpoint) -> bool:
        return await self._pointed("is_unspent", self.real.is_unspent(outpoint))

    async def sign(self, unsigned: bytes, coins: Sequence[Coin]) -> bytes:
        raw = await self._pointed("sign", self.real.sign(unsigned, coins))
        self.signed.append(read_transfer(raw[ID_SIZE:]).id_on(CHAIN_ID))
        return raw

    async def accepts(self, raw: bytes) -> str | None:
        return await self._pointed("accepts", self.real.accepts(raw))

    async def broadcast(self, raw: bytes) -> SendAnswer:
        return await self._pointed("broadcast", self.real.broadcast(raw))

    async def transaction(self, txid: bytes) -> WalletTransaction | None:
        return await self._pointed("transaction", self.real.transaction(txid))

    async def transactions_since(self, height: int) -> list[WalletTransaction]:
        return await self._pointed("transactions_since", self.real.transactions_since(height))

    async def fee_rate(self, target_blocks: int) -> int | None:
        return await self._pointed("fee_rate", self.real.fee_rate(target_blocks))

    async def change_script(self) -> bytes:
        return await self._pointed("change_script", self.real.change_script())

    async def turn(self) -> Turn | None:
        return await self._pointed("turn", self.real.turn())


__all__ = ["FakeAccountChain", "FakeAccountWallet", "NodeUnavailableError", "WalletRefusedError"]
