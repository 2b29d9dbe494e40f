"""The account that pays on a chain with accounts: ChainWallet over its nodes, and a key that never leaves this process.

A node tells what is in the chain and takes signed transfers; it holds no key and chooses nothing. The account is seen
as coins (chains/accounts/coins.py), for which the wallet asks the books what each transfer of ours took; the balance
must bear them out, to the unit. What a transfer is to be, the pool says in bytes:

    unsigned = chain id (32) ‖ the transfer without its signature;  signed = chain id ‖ the transfer

so that the id of a payment is known before it is signed, and on no other chain the same. Every transfer of an account
has a number, its nonce, and one of each is ever applied: two transfers of one nonce exclude each other as two
transactions do that spend one coin, and the same bytes may be sent as often as one likes.

A refusal is WalletRefusedError, an outage NodeUnavailableError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from coincurve import PrivateKey

from chains.account_node import ID_SIZE, AccountNode
from chains.accounts.coins import Line, Spend, coins_of
from chains.accounts.transfer import Transfer, is_signed, owns, read_transfer, sign
from chains.node_rpc import NodeUnavailableError
from chains.payment_nodes import best_of
from chains.primitives.address import AddressFormat, address_to_script
from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError
from chains.wallet import (
    Coin,
    ForeignSpendError,
    Outpoint,
    SendAnswer,
    Tip,
    Turn,
    WalletRefusedError,
    WalletTransaction,
)

DEEP = 200
"""Lines so many blocks below the tip are asked for once; the block that the last of them is in tells whether they are
still true."""

READS = 3
"""So often is the account read again when a block came in between."""

MAX_BEHIND = 2  # blocks on their way from one node to the other
GLANCE_TIMEOUT_S = 5.0  # for a look at another node, which decides nothing when it hangs

Spends = Callable[[], Awaitable[Mapping[bytes, Spend]]]
"""What the books say of every transfer of ours that was ever signed, by id."""


@dataclass(frozen=True, slots=True)
class AccountLook:
    """What an account has now, how many transfers the chain has of it, and how many wait."""

    spendable: int
    nonce: int
    waiting: int


class AccountWallet:
    """One chain's (chains/wallet.py says what each method promises). `address` is the account that pays and that the
    chain's blocks pay, `secret` its key. The first node is believed; payments are sent to the others as well.
    `maturity` is after how many blocks the pool takes a reward for spendable: a chain that waits longer is refused.
    `waits_for_bodies` says whether nothing is decided while bodies below the tip are missing (docs/adr/0019), `alone`
    whether the node needs no peer. `spends` is what the books say; who has them sets it before the coins are asked
    for."""

    def __init__(
        self,
        chain: str,
        address: str,
        addresses: AddressFormat,
        secret: bytes,
        nodes: Sequence[AccountNode],
        *,
        maturity: int,
        waits_for_bodies: bool = True,
        alone: bool = False,
    ) -> None:
        self.chain = chain
        self.address = address
        self.addresses = addresses
        self.script = address_to_script(address, addresses)
        self.public_key = _public_key(secret, self.script)
        self._secret = secret
        self.spends: Spends = _no_books
        self._node = nodes[0]
        self._nodes = tuple(nodes)
        self._maturity = maturity
        self._waits_for_bodies = waits_for_bodies
        self._alone = alone
        self._deep: list[Line] = []  # lines that are not asked for again

    async def tip(self) -> Tip:
        state = await self._node.state()
        if state.syncing:
            raise WalletRefusedError("the node is not synced: initial block download")
        if not state.peers and not self._alone:
            raise WalletRefusedError("the node has no peers, so it cannot know the best block")
        if state.maturity > self._maturity:
            raise WalletRefusedError(
                f"the chain's rewards can be spent after {state.maturity} blocks, the pool waits for {self._maturity}"
            )
        if state.holes and self._waits_for_bodies:
            raise WalletRefusedError(f"{state.holes} bodies below the chain's tip are missing, and may undo it")
        for node in self._nodes[1:]:
            ahead = 0
            with suppress(WalletRefusedError, NodeUnavailableError):  # which says nothing about the wallet's own node
                ahead = (await node.state(GLANCE_TIMEOUT_S)).height - state.height
            if ahead > MAX_BEHIND:
                raise WalletRefusedError(f"the wallet's node is {ahead} blocks behind {node.name}")
        return Tip(state.height, state.tip_hex)

    async def look(self) -> AccountLook:
        """For people."""
        balance = await self._node.balance(self.address)
        return AccountLook(balance.spendable, balance.nonce, balance.next_nonce - balance.nonce)

    async def turn(self) -> Turn:
        state = await self._node.state()
        balance = await self._node.balance(self.address)
        return Turn(state.chain_id, self.script, self.public_key, balance.nonce)

    # -- what there is ------------------------------------------------------------------------------------------------

    async def coins(self) -> list[Coin]:
        for _ in range(READS):
            state = await self._node.state()
            lines = await self._history(state.height)
            balance = await self._node.balance(self.address)
            if (await self._node.state()).tip_hex == state.tip_hex:
                break
        else:
            raise NodeUnavailableError("the chain moves faster than the account can be read")
        found = coins_of(lines, await self.spends(), script=self.script, height=state.height, maturity=state.maturity)
        if found.strangers:
            first, more = found.strangers[0], len(found.strangers) - 1
            raise ForeignSpendError(
                f"transfer {displayed(first.id or b'')} of height {first.height} took {-first.amount} from the account"
                f" and is none of the books'{f'; and {more} more' if more else ''}"
            )
        if found.balance != balance.spendable:
            raise WalletRefusedError(
                f"the account's history gives {found.balance}, and the node says that it holds {balance.spendable}"
            )
        return list(found.coins)

    async def is_ours(self, script: bytes) -> bool:
        return script == self.script

    async def has_sent(self) -> bool:
        return (await self._node.balance(self.address)).next_nonce > 0

    async def is_unspent(self, outpoint: Outpoint) -> bool:
        """Of the account's own coins only: nothing is swept out of it and stays in the books."""
        return any(coin.outpoint == outpoint for coin in await self.coins())

    # -- paying -------------------------------------------------------------------------------------------------------

    async def sign(self, unsigned: bytes, coins: Sequence[Coin]) -> bytes:
        chain_id, transfer = unsigned[:ID_SIZE], _read(unsigned, signed=False)
        if (transfer.sender, transfer.public_key) != (self.script, self.public_key):
            raise WalletRefusedError("the transfer is not of this account")
        if (await self._node.state()).chain_id != chain_id:
            raise WalletRefusedError("the transfer is of another chain than the node's")
        signed = sign(transfer, chain_id, self._secret)
        if not is_signed(signed, chain_id):
            raise WalletRefusedError("the signature is not the account's")
        return chain_id + signed.serialize()

    async def accepts(self, raw: bytes) -> str | None:
        """The nodes have no call that tells beforehand; a transfer that they refuse waits, and harms nobody."""
        return None

    async def broadcast(self, raw: bytes) -> SendAnswer:
        transfer = _read(raw)
        transfer_id = transfer.id_on(raw[:ID_SIZE])
        return await best_of(node.send(transfer, transfer_id) for node in self._nodes)

    async def transaction(self, txid: bytes) -> WalletTransaction | None:
        """Without its bytes. Also a block by its id, for what its rewards brought is a coin of that name."""
        found = await self._node.transfer(txid)
        if found is not None:
            return found
        state = await self._node.state()
        for line in await self._history(state.height):
            if line.id is None and line.block == txid:
                return WalletTransaction(txid, b"", state.height - line.height + 1, displayed(txid), line.height)
        return None

    async def transactions_since(self, height: int) -> list[WalletTransaction]:
        """What left the account above a height, with the bytes that prove it. What came in, and what waits, is not
        among it."""
        state = await self._node.state()
        found = []
        for line in await self._history(state.height):
            if line.height <= height or line.id is None or line.amount >= 0:
                continue
            raw = state.chain_id + await self._node.transfer_bytes(line.id)
            if _read(raw).id_on(state.chain_id) != line.id:
                raise WalletRefusedError(f"transfer {displayed(line.id)}: the node answers with another one")
            confirmations = state.height - line.height + 1
            found.append(WalletTransaction(line.id, raw, confirmations, displayed(line.block), line.height))
        return found

    async def fee_rate(self, target_blocks: int) -> int | None:
        """What the node asks before it relays: blocks take whatever is relayed, the best first."""
        fee, size = await self._node.relay_fee(self.address, self.public_key)
        return -(-fee * 1000 // size)

    async def change_script(self) -> bytes:
        return self.script

    async def close(self) -> None:
        for node in self._nodes:
            await node.close()

    async def _history(self, height: int) -> list[Line]:
        """All lines up to a height. Deep ones are remembered, as long as the block of the last of them is there."""
        if self._deep and not await self._node.holds(self._deep[-1]):
            self._deep = []
        known = list(self._deep)
        lines = [*known, *await self._node.lines_above(self.address, known[-1].height if known else 0)]
        self._deep = [line for line in lines if line.height <= height - DEEP]
        return [line for line in lines if line.height <= height]


async def _no_books() -> Mapping[bytes, Spend]:
    raise AssertionError("the coins of an account are known to who has its books")


def _read(raw: bytes, *, signed: bool = True) -> Transfer:
    try:
        return read_transfer(raw[ID_SIZE:], signed=signed)
    except MalformedError as error:
        raise WalletRefusedError(f"no transfer: {error}") from error


def _public_key(secret: bytes, script: bytes) -> bytes:
    """The key as a transfer of this account names it. Raises WalletRefusedError when it is another account's."""
    key = PrivateKey(secret).public_key.format()
    for candidate in (key, b"\x02" + key[1:]):
        if owns(candidate, script):
            return candidate
    raise WalletRefusedError("the key is not that of the chain's address")
