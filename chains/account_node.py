"""One chain with accounts at one node: where it stands, what an account has and had, and transfers sent to it.

The kinds with accounts have the same calls; those of kind `parallel`, whose nodes follow several chains, name one of
them first and tell where it stands in `getchainview`. What makes no sense is refused with WalletRefusedError, naming
the field; an outage is NodeUnavailableError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from chains import wallet_answers as answers
from chains.accounts.coins import Line
from chains.accounts.transfer import MAX_AMOUNT, Transfer
from chains.block_lookup import RPC_INVALID_PARAMETER, RPC_NOT_FOUND
from chains.node_rpc import NodeUnavailableError, RpcError, one_line
from chains.primitives import fields
from chains.primitives.fields import MAX_HEIGHT
from chains.primitives.hashes import displayed
from chains.send_answer import NODE_TROUBLE
from chains.wallet import SendAnswer, SendResult, WalletRefusedError, WalletTransaction

ID_SIZE = 32
PAGE_LINES = 5000  # of an account's history, about a megabyte

# The mempool's words (chains/accounts/mempool.py). A used nonce says that another transfer has our turn, or that ours
# has been applied: the payer looks up its own id before it believes either.
_WORDS = {
    "known": SendResult.KNOWN,
    "nonce-used": SendResult.MISSING_INPUTS,
    "fee-too-low": SendResult.FEE_TOO_LOW,
    "replacement-fee-too-low": SendResult.FEE_TOO_LOW,
    "mempool-full": SendResult.FEE_TOO_LOW,
}
_RESULTS = {"confirmed": SendResult.CONFIRMED, "known": SendResult.KNOWN}


class Rpc(Protocol):
    """What is needed of chains/node_rpc.py's JsonRpc."""

    name: str

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where a node stands. `chain_id` is in every transfer's id; rewards can be spent after `maturity` blocks. `holes`
    are bodies below the tip that nobody shows: one that comes may undo what stands above it. `peers` are those that the
    node is connected to."""

    chain_id: bytes
    height: int
    tip_hex: str
    maturity: int
    syncing: bool
    peers: int
    holes: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has: `spendable` by transfers from now on; `nonce` counts those that the chain has of it, and
    `next_nonce` those that wait besides."""

    spendable: int
    nonce: int
    next_nonce: int


class AccountNode:
    """`chain_name` is the chain's own name at a node of kind `parallel`, None for one of kind `bk`. A node of a network
    with another `context`, where that is given, is refused."""

    def __init__(self, rpc: Rpc, chain_name: str | None = None, context: bytes | None = None) -> None:
        self.name = rpc.name
        self._rpc = rpc
        self._chain_name = chain_name
        self._context = context
        self._first = () if chain_name is None else (chain_name,)

    async def close(self) -> None:
        await self._rpc.close()

    # -- where the chain stands ---------------------------------------------------------------------------------------

    async def state(self, timeout_s: float | None = None) -> ChainState:
        if self._chain_name is None:
            info = answers.mapping(await self._call("getblockchaininfo", timeout_s=timeout_s), "getblockchaininfo")
            self._check_context(info)
            return ChainState(
                answers.hash_of(info, "genesis", "getblockchaininfo"),
                answers.integer(info, "blocks", 0, MAX_HEIGHT, "getblockchaininfo"),
                displayed(answers.hash_of(info, "bestblockhash", "getblockchaininfo")),
                answers.integer(info, "maturity_blocks", 1, MAX_HEIGHT, "getblockchaininfo"),
                info.get("initialblockdownload") is not False,
                answers.integer(info, "connections", 0, MAX_HEIGHT, "getblockchaininfo"),
            )
        view = answers.mapping(await self._call("getchainview", timeout_s=timeout_s), "getchainview")
        self._check_context(view)
        records = answers.listing(view.get("chains"), "getchainview")
        chains = [answers.mapping(record, "getchainview") for record in records]
        info = next((chain for chain in chains if self._chain_name in (chain.get("chain"), chain.get("context"))), {})
        if not info:
            raise WalletRefusedError(f"the node does not follow the chain {one_line(self._chain_name)}")
        chain_id = fields.parse_hex(info.get("chain_id"))
        if chain_id is None or len(chain_id) != ID_SIZE:
            raise WalletRefusedError("getchainview: chain_id: expected 32 bytes in hex")
        return ChainState(
            chain_id,
            answers.integer(info, "height", 0, MAX_HEIGHT, "getchainview"),
            displayed(answers.hash_of(info, "tip", "getchainview")),
            answers.integer(info, "maturity_blocks", 1, MAX_HEIGHT, "getchainview"),
            view.get("initialblockdownload") is not False,
            answers.integer(view, "peers", 0, MAX_HEIGHT, "getchainview"),
            answers.integer(info, "unresolved", 0, MAX_HEIGHT, "getchainview"),
        )

    def _check_context(self, answer: Mapping[str, Any]) -> None:
        if self._context is not None and answer.get("context") != self._context.hex():
            found = one_line(answer.get("context"))
            raise WalletRefusedError(f"{self.name}'s chain is another one: its context is {found}")

    async def holds(self, line: Line) -> bool:
        """Whether the block of a line is in the chain, at its height."""
        try:
            found = await self._rpc.call("getblockhash", *self._first, line.height)
        except RpcError as error:
            if error.code in (RPC_INVALID_PARAMETER, RPC_NOT_FOUND):
                return False
            raise _trouble("getblockhash", error) from error
        return bool(found == displayed(line.own_id or line.block))

    # -- an account ---------------------------------------------------------------------------------------------------

    async def balance(self, address: str) -> Balance:
        record = answers.mapping(await self._ask("getbalance", address), "getbalance")
        return Balance(*(answers.integer(record, key, 0, MAX_AMOUNT, "getbalance")
                         for key in ("spendable", "nonce", "next_nonce")))  # fmt: skip

    async def lines_above(self, address: str, since: int) -> list[Line]:
        """An account's history above a height, oldest first, with the rewards of a block as one line; page by page. Of
        a page that is full the last height may be cut, and is asked for again."""
        found: list[Line] = []
        limit = PAGE_LINES
        while True:
            answer = answers.listing(await self._ask("listtransfers", address, since, limit), "listtransfers")
            page = [_line(record) for record in answer]
            if len(page) < limit:
                return [*found, *_merged(page)]
            whole = [line for line in page if line.height < page[-1].height]
            if whole:
                found += _merged(whole)
                since = whole[-1].height
            else:
                limit *= 2

    async def relay_fee(self, address: str, public_key: bytes) -> tuple[int, int]:
        """The least fee that the node relays a small transfer of an account for, and that transfer's bytes."""
        output = {"address": address, "amount": 1}
        answer = await self._ask("createtransfer", public_key.hex(), address, [output])
        draft = answers.mapping(answer, "createtransfer")
        raw = fields.parse_hex(draft.get("hex"))
        if not raw:
            raise WalletRefusedError("createtransfer: expected hex digits")
        return answers.integer(draft, "fee", 0, MAX_AMOUNT, "createtransfer"), len(raw) + 64  # its signature comes

    # -- transfers ----------------------------------------------------------------------------------------------------

    async def transfer(self, transfer_id: bytes) -> WalletTransaction | None:
        """Where a transfer is, without its bytes; None when the node does not know it."""
        record = answers.mapping(await self._ask("gettransfer", displayed(transfer_id)), "gettransfer")
        if record.get("state") == "waiting":
            return WalletTransaction(transfer_id, b"", 0, None, None)
        if record.get("state") != "confirmed":
            return None
        return WalletTransaction(
            transfer_id,
            b"",
            answers.integer(record, "confirmations", 1, answers.MAX_CONFIRMATIONS, "gettransfer"),
            displayed(answers.hash_of(record, _known_by(record), "gettransfer")),
            answers.integer(record, "height", 0, MAX_HEIGHT, "gettransfer"),
        )

    async def transfer_bytes(self, transfer_id: bytes) -> bytes:
        """A confirmed transfer; whether it is this one, its id says."""
        proof = answers.mapping(await self._ask("gettransferproof", displayed(transfer_id)), "gettransferproof")
        raw = fields.parse_hex(proof.get("transfer", proof.get("transaction")))
        if not raw:
            raise WalletRefusedError("gettransferproof: expected a transfer in hex")
        return raw

    async def send(self, transfer: Transfer, transfer_id: bytes) -> SendAnswer:
        try:
            answer = await self._rpc.call("sendtransfer", *self._first, transfer.serialize().hex())
        except RpcError as error:
            if error.code in NODE_TROUBLE:
                raise NodeUnavailableError(f"sendtransfer: {error}") from error
            return SendAnswer(_WORDS.get(error.message, SendResult.REJECTED), str(error))
        told, word = (answer.get("id"), answer.get("result")) if isinstance(answer, Mapping) else (answer, None)
        if told != displayed(transfer_id):
            raise NodeUnavailableError("sendtransfer: an answer that is not the transfer's id")
        return SendAnswer(_RESULTS.get(str(word), SendResult.SENT))

    # -- calls --------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, *params: Any) -> Any:
        """About the chain."""
        return await self._call(method, *self._first, *params)

    async def _call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        """A call for which "no" is no answer to go on with."""
        try:
            return await self._rpc.call(method, *params, timeout_s=timeout_s)
        except RpcError as error:
            raise _trouble(method, error) from error


def _trouble(method: str, error: RpcError) -> Exception:
    kind = NodeUnavailableError if error.code in NODE_TROUBLE else WalletRefusedError
    return kind(f"{method}: {error}")


def _merged(lines: Sequence[Line]) -> list[Line]:
    """A block may pay an account for each of its votes; what matters is what it paid."""
    found: list[Line] = []
    for line in lines:
        last = found[-1] if found else None
        if last is not None and line.id is None and last.id is None and last.block == line.block:
            found[-1] = replace(last, amount=last.amount + line.amount)
        else:
            found.append(line)
    return found


def _known_by(record: Mapping[str, Any]) -> str:
    """Under which key the pool's name of a block is: that of the consensus proof where there is one."""
    return "proof" if "proof" in record else "block"


def _line(record: Any) -> Line:
    entry = answers.mapping(record, "listtransfers")
    amount = entry.get("amount")
    if type(amount) is not int or not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
        raise WalletRefusedError("listtransfers: amount: expected a whole number")
    return Line(
        answers.integer(entry, "height", 0, MAX_HEIGHT, "listtransfers"),
        answers.hash_of(entry, _known_by(entry), "listtransfers"),
        None if entry.get("id") is None else answers.hash_of(entry, "id", "listtransfers"),
        amount,
        answers.hash_of(entry, "block", "listtransfers") if "proof" in entry else None,
    )
