"""The wallet of a daemon that grew out of Bitcoin Core: ChainWallet over its JSON-RPC, for parents and children alike.

The wallet is asked for coins, signatures and change scripts and never pays by itself (no sendtoaddress, no sendmany,
no funding calls), so its `rpcwhitelist` needs nothing that could. Every answer is judged before it is believed:
amounts are exact, a coin is what the transaction that made it says (wallet_answers.py), a signed transaction differs
from the unsigned one in its signatures only (signed_form.py). Which methods a daemon has, it is asked, the newest
first.

A refusal is WalletRefusedError, an outage NodeUnavailableError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from chains import wallet_answers as answers
from chains.block_lookup import RPC_INVALID_PARAMETER, RPC_METHOD_NOT_FOUND, RPC_NOT_FOUND
from chains.kind import Network
from chains.node_rpc import NodeUnavailableError, RpcError, one_line
from chains.payment_nodes import PaymentNodes
from chains.primitives.address import AddressError, address_to_script, script_to_address
from chains.primitives.fields import MAX_HEIGHT
from chains.primitives.hashes import displayed
from chains.primitives.transaction import Transaction
from chains.send_answer import NODE_TROUBLE, already_there
from chains.signed_form import check_signed, check_unsigned
from chains.synced_tip import synced_tip
from chains.wallet import (
    Coin,
    Outpoint,
    SendAnswer,
    Tip,
    Turn,
    WalletRefusedError,
    WalletTransaction,
)
from chains.wallet_signer import Signing, WalletSigner

GLANCE_TIMEOUT_S = 5.0  # for a look at another node, which decides nothing when it hangs
MAX_BEHIND = 2  # blocks on their way from one node to the other
NO_ESTIMATE = -1  # what 0.14 answers instead of an error


def wallet_url(node_url: str, wallet_name: str) -> str:
    """Where a daemon answers for one of its wallets; the unnamed wallet of old data directories is ''."""
    return f"{node_url.rstrip('/')}/wallet/{quote(wallet_name, safe='')}"


class Rpc(Protocol):
    """What is needed of chains/node_rpc.py's JsonRpc."""

    name: str

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Source:
    """A transaction that made coins of ours, as its bytes say it."""

    transaction: Transaction
    coinbase: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """A transaction of the wallet's as the contract shows it, and what else there is to know."""

    shown: WalletTransaction
    parsed: Transaction
    spends_ours: bool


class NodeWallet:
    """One chain's wallet (chains/wallet.py says what each method promises). `rpc` speaks to the wallet's own node, with
    `/wallet/NAME` behind its address where the wallet has a name; `other_rpcs` are the chain's further nodes, which
    payments are sent to as well. `passphrase` is asked each time that the wallet is to be unlocked, and what it gives
    is kept nowhere; None for a wallet that is not encrypted."""

    def __init__(
        self,
        chain: str,
        network: Network,
        rpc: Rpc,
        other_rpcs: Sequence[Rpc] = (),
        *,
        signing: Signing = Signing.AUTO,
        passphrase: Callable[[], str] | None = None,
    ) -> None:
        self.chain = chain
        self.network = network
        self._rpc = rpc
        self._nodes = (rpc, *other_rpcs)
        self._payments = PaymentNodes(chain, self._nodes)
        self._signer = WalletSigner(chain, self._call, signing, passphrase)
        self._sources: dict[bytes, _Source] = {}  # of the coins that the last coins() saw

    async def tip(self) -> Tip:
        tip = await synced_tip(self._call, self.network)
        for node in self._nodes[1:]:  # one that is away says nothing about the wallet's own
            with suppress(RpcError, NodeUnavailableError):
                height = await node.call("getblockcount", timeout_s=GLANCE_TIMEOUT_S)
                if type(height) is int and height > tip.height + MAX_BEHIND:
                    raise WalletRefusedError(f"the wallet's node is {height - tip.height} blocks behind {node.name}")
        return tip

    async def coins(self) -> list[Coin]:
        claims: dict[Outpoint, answers.Unspent] = {}
        for record in answers.listing(await self._ask("listunspent", 0), "listunspent"):
            claim = answers.unspent(record)
            if claim is None:
                continue
            if claim.outpoint in claims:
                raise WalletRefusedError(f"listunspent: {displayed(claim.outpoint.txid)} is there twice")
            claims[claim.outpoint] = claim
        sources: dict[bytes, _Source] = {}
        coins: list[Coin] = []
        for outpoint in sorted(claims):
            if outpoint.txid not in sources:
                source = self._sources.get(outpoint.txid) or await self._source(outpoint.txid)
                if source is None:
                    raise WalletRefusedError(f"the wallet lists a coin of an unknown {displayed(outpoint.txid)}")
                sources[outpoint.txid] = source
            source = sources[outpoint.txid]
            coins.append(answers.prove(claims[outpoint], source.transaction, coinbase=source.coinbase))
        self._sources = sources
        return coins

    async def is_ours(self, script: bytes) -> bool:
        address = script_to_address(script, self.network.addresses)
        if address is None:
            return False
        try:
            answer = await self._call("getaddressinfo", address)
        except RpcError as error:
            if error.code != RPC_METHOD_NOT_FOUND:
                raise WalletRefusedError(f"getaddressinfo: {error}") from error
            answer = await self._ask("validateaddress", address)
        return answers.mapping(answer, "getaddressinfo").get("ismine") is True

    async def has_sent(self) -> bool:
        """Of what paid nobody but the wallet's own change `listsinceblock` tells nothing."""
        answer = answers.mapping(await self._ask("listsinceblock"), "listsinceblock")
        most = answers.MAX_CONFIRMATIONS
        for record in answers.listing(answer.get("transactions"), "listsinceblock"):
            entry = answers.mapping(record, "listsinceblock")
            if entry.get("category") != "send" or entry.get("abandoned") is True:
                continue
            if answers.integer(entry, "confirmations", -most, most, "listsinceblock") >= 0:
                return True
        return False

    async def is_unspent(self, outpoint: Outpoint) -> bool:
        answer = await self._ask("gettxout", displayed(outpoint.txid), outpoint.vout, True)
        return answer is not None and "value" in answers.mapping(answer, "gettxout")

    async def sign(self, unsigned: bytes, coins: Sequence[Coin]) -> bytes:
        transaction = check_unsigned(unsigned, coins)
        for coin in coins:  # proven once more: the plan may be older than what coins() remembers
            source = self._sources.get(coin.outpoint.txid) or await self._source(coin.outpoint.txid)
            if source is None:
                raise WalletRefusedError(f"the wallet does not know the coin of {displayed(coin.outpoint.txid)}")
            claim = answers.Unspent(coin.outpoint, coin.amount, coin.script, coin.confirmations)
            answers.prove(claim, source.transaction, coinbase=source.coinbase)
        signed = await self._signer.sign(unsigned)
        check_signed(transaction, signed, coins)
        return signed

    async def accepts(self, raw: bytes) -> str | None:
        try:
            verdicts = await self._call("testmempoolaccept", [raw.hex()])
        except RpcError as error:
            if error.code == RPC_METHOD_NOT_FOUND:  # before 0.17
                return None
            return str(error)
        verdict = answers.mapping(next(iter(answers.listing(verdicts, "testmempoolaccept")), None), "testmempoolaccept")
        if verdict.get("allowed") is True:
            return None
        reason = one_line(verdict.get("reject-details") or verdict.get("reject-reason") or "no reason given")
        return None if already_there(reason) else reason

    async def broadcast(self, raw: bytes) -> SendAnswer:
        return await self._payments.send(raw)

    async def transaction(self, txid: bytes) -> WalletTransaction | None:
        found = await self._transaction(txid)
        return None if found is None else found.shown

    async def transactions_since(self, height: int) -> list[WalletTransaction]:
        """Besides what `listsinceblock` tells, the transactions that paid nobody but the wallet's change, which it
        leaves out: each of them has a coin that is unspent, or spent by another one that is found here."""
        waiting_room = list(dict.fromkeys([*await self._listed_since(height), *await self._young_coins(height)]))
        seen = set(waiting_room)
        found: list[WalletTransaction] = []
        for txid in waiting_room:  # grows on the way
            known = await self._transaction(txid)
            if known is None:
                continue
            waits = known.shown.confirmations == 0 and not known.parsed.is_coinbase
            if not waits and (known.shown.height is None or known.shown.height <= height):
                continue
            found.append(known.shown)
            if known.spends_ours:
                sources = {i.previous_txid for i in known.parsed.inputs} - seen
                seen |= sources
                waiting_room += sorted(sources)
        return found

    async def fee_rate(self, target_blocks: int) -> int | None:
        try:
            answer = await self._call("estimatesmartfee", target_blocks)
        except RpcError as error:
            if error.code != RPC_METHOD_NOT_FOUND:
                raise WalletRefusedError(f"estimatesmartfee: {error}") from error
            answer = {"feerate": await self._ask("estimatefee", target_blocks)}
        rate = answers.mapping(answer, "estimatesmartfee").get("feerate")
        if rate is None or rate == NO_ESTIMATE:
            return None
        return answers.units(rate, "estimatesmartfee: feerate") or None

    async def change_script(self) -> bytes:
        address = await self._ask("getrawchangeaddress")
        if not isinstance(address, str):
            raise WalletRefusedError("getrawchangeaddress: expected an address")
        try:
            script = address_to_script(address, self.network.addresses)
        except AddressError as error:
            raise WalletRefusedError(f"getrawchangeaddress: {one_line(address)!r}: {error}") from error
        return script

    async def turn(self) -> Turn | None:
        return None

    async def close(self) -> None:
        for node in self._nodes:
            await node.close()

    # Calls

    async def _call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        """As the RPC's, but what says something about the node only is an outage."""
        try:
            return await self._rpc.call(method, *params, timeout_s=timeout_s)
        except RpcError as error:
            if error.code in NODE_TROUBLE and error.code != RPC_METHOD_NOT_FOUND:
                raise NodeUnavailableError(f"{method}: {error}") from error
            raise

    async def _ask(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        """A call for which "no" is no answer to go on with."""
        try:
            return await self._call(method, *params, timeout_s=timeout_s)
        except RpcError as error:
            raise WalletRefusedError(f"{method}: {error}") from error

    # Transactions

    async def _details(self, txid: bytes) -> tuple[dict[str, Any], Transaction] | None:
        """`gettransaction` and the transaction itself; None when the wallet does not know it, or as one that is wholly
        inside Litecoin's extension."""
        try:
            record = await self._call("gettransaction", displayed(txid))
        except RpcError as error:
            if error.code == RPC_NOT_FOUND:
                return None
            raise WalletRefusedError(f"gettransaction: {error}") from error
        entry = dict(answers.mapping(record, "gettransaction"))
        transaction = answers.transaction_of(entry.get("hex"), txid)
        return None if transaction is None else (entry, transaction)

    async def _source(self, txid: bytes) -> _Source | None:
        found = await self._details(txid)
        return None if found is None else _Source(found[1], found[1].is_coinbase)

    async def _transaction(self, txid: bytes) -> _Known | None:
        found = await self._details(txid)
        if found is None:
            return None
        entry, transaction = found
        most = answers.MAX_CONFIRMATIONS
        confirmations = answers.integer(entry, "confirmations", -most, most, "gettransaction")
        hash_hex, height = None, None
        if confirmations > 0:
            hash_hex = displayed(answers.hash_of(entry, "blockhash", "gettransaction"))
            if "blockheight" not in entry:  # before 0.19
                header = answers.mapping(await self._ask("getblockheader", hash_hex), "getblockheader")
                entry["blockheight"] = header.get("height")
            height = answers.integer(entry, "blockheight", 0, MAX_HEIGHT, "gettransaction")
        shown = WalletTransaction(txid, transaction.serialize(), confirmations, hash_hex, height)
        return _Known(shown, transaction, "fee" in entry)  # told of what we paid ourselves, in whole or in part

    async def _listed_since(self, height: int) -> list[bytes]:
        """The txids of `listsinceblock` from the main chain's block at a height, or from the tip when the chain is
        shorter now; an old wallet's fourth parameter is unknown, so what left the chain may be among them."""
        try:
            hash_hex = await self._call("getblockhash", max(0, height))
        except RpcError as error:
            if error.code != RPC_INVALID_PARAMETER:
                raise WalletRefusedError(f"getblockhash: {error}") from error
            hash_hex = await self._ask("getbestblockhash")
        answer = answers.mapping(await self._ask("listsinceblock", hash_hex, 1), "listsinceblock")
        records = answers.listing(answer.get("transactions"), "listsinceblock")
        entries = [answers.mapping(record, "listsinceblock") for record in records]
        return [answers.hash_of(entry, "txid", "listsinceblock") for entry in entries]

    async def _young_coins(self, height: int) -> list[bytes]:
        """The txids of coins that are confirmed above a height or wait."""
        records = answers.listing(await self._ask("listunspent", 0), "listunspent")
        claims = [answers.unspent(record) for record in records]
        tip = answers.integer({"height": await self._ask("getblockcount")}, "height", 0, MAX_HEIGHT, "getblockcount")
        return [claim.outpoint.txid for claim in claims if claim is not None and claim.confirmations <= tip - height]
