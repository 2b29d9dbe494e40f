"""A node's wallet: keys made from a seed text, so that configuration can name an address before the node has run.

Key `index` of a seed is SHA-256 of a fixed prefix, the seed and the index. Indexes below FIRST_FRESH are for
configuration; `getnewaddress` gives the ones from there on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from embit import ec

from chains.primitives.address import pay_to_pubkey_hash, script_to_address
from chains.primitives.hashes import hash160
from chains.primitives.transaction import Transaction, TxIn, TxOut
from chains.reference.chain import Chain
from chains.reference.coins import Coin, Outpoint
from chains.reference.mempool import Mempool
from chains.reference.rules import LEGACY_ADDRESSES, WITNESS_ADDRESSES
from chains.reference.signature import sign_input

FIRST_FRESH = 32
TRICKLE_KEY, OWN_BLOCK_KEY = 30, 31  # what the node does of itself stays apart from a pool's addresses
FEE_RATE_SAT = 2  # per virtual byte; above Core's least relay fee of 1
SEQUENCE = 0xFFFFFFFD  # as Core's wallet writes it: replaceable, no relative lock
DUST_SAT = 546
# Virtual bytes of an input, an output and the rest of a transaction: with and without witness.
_WITNESS_SIZES = (68, 31, 11)
_LEGACY_SIZES = (148, 34, 10)


def private_key(seed: str, index: int) -> ec.PrivateKey:
    return ec.PrivateKey(sha256(f"parapool devnet wallet\n{seed}\n{index}".encode()).digest())


def script(seed: str, index: int, *, witness: bool = True) -> bytes:
    """The output script of a key: P2WPKH, or P2PKH for a chain without segwit."""
    pubkey = private_key(seed, index).get_public_key().sec()
    return pay_to_pubkey_hash(pubkey) if witness else b"\x76\xa9\x14" + hash160(pubkey) + b"\x88\xac"


def address(seed: str, index: int, *, witness: bool = True) -> str:
    """The regtest address of a key: `bcrt1...`, or base58 (`m...`, `n...`) for a chain without segwit."""
    form = WITNESS_ADDRESSES if witness else LEGACY_ADDRESSES
    encoded = script_to_address(script(seed, index, witness=witness), form)
    assert encoded is not None
    return encoded


class InsufficientFundsError(Exception):
    """The confirmed, mature, unspent coins do not cover the amount and its fee."""


class Wallet:
    """Spends confirmed mature coins of its own keys, oldest first. `next_fresh` is the next key for getnewaddress."""

    def __init__(self, chain: Chain, mempool: Mempool) -> None:
        self._chain = chain
        self._mempool = mempool
        self._index_of: dict[bytes, int] = {}
        self._change: set[bytes] = set()
        self.next_fresh = FIRST_FRESH
        self._watch()

    def _watch(self) -> None:
        for index in range(len(self._index_of), self.next_fresh):
            self._index_of[self.script(index)] = index

    def script(self, index: int) -> bytes:
        return script(self._chain.rules.seed, index, witness=self._chain.rules.witness)

    def address(self, index: int) -> str:
        return address(self._chain.rules.seed, index, witness=self._chain.rules.witness)

    def reserve(self, next_fresh: int) -> None:
        """Watch every key below this index."""
        self.next_fresh = max(self.next_fresh, next_fresh)
        self._watch()

    def reserve_change(self, index: int) -> None:
        """Watch every key up to this one, which is for change."""
        self.reserve(index + 1)
        self._change.add(self.script(index))

    def is_change(self, output_script: bytes) -> bool:
        return output_script in self._change

    def new_address(self) -> str:
        self.reserve(self.next_fresh + 1)
        return self.address(self.next_fresh - 1)

    def owns(self, output_script: bytes) -> bool:
        return output_script in self._index_of

    def key_of(self, output_script: bytes) -> ec.PrivateKey | None:
        """The key of an address of ours."""
        index = self._index_of.get(output_script)
        return None if index is None else private_key(self._chain.rules.seed, index)

    def coins(self) -> Iterator[tuple[Outpoint, Coin]]:
        """Every confirmed coin of ours, mature or not, spent by a waiting transaction or not."""
        return (item for item in self._chain.coins.items() if item[1].output.script in self._index_of)

    def is_mature(self, coin: Coin) -> bool:
        """Whether the wallet spends it: as Core's does, one block later than the consensus rule allows."""
        return not coin.coinbase or self._chain.tip.height - coin.height >= self._chain.rules.maturity

    def spendable(self) -> list[tuple[Outpoint, Coin]]:
        """Oldest first, ties by outpoint, so that equal states make equal transactions."""
        free = [(o, c) for o, c in self.coins() if self.is_mature(c) and not self._mempool.spends(o)]
        return sorted(free, key=lambda item: (item[1].height, item[0]))

    def waiting(self) -> list[tuple[Outpoint, TxOut]]:
        """Outputs of waiting transactions that are ours: nothing spends them here, since only confirmed coins are."""
        return [
            ((w.transaction.txid, index), output)
            for w in self._mempool
            for index, output in enumerate(w.transaction.outputs)
            if self.owns(output.script)
        ]

    def balances_sat(self) -> tuple[int, int]:
        """What can be spent (confirmed, or change and receipts of waiting transactions) and what is immature."""
        trusted = sum(coin.output.amount_sat for _, coin in self.spendable())
        trusted += sum(output.amount_sat for _, output in self.waiting())
        return trusted, sum(coin.output.amount_sat for _, coin in self.coins() if not self.is_mature(coin))

    def pay(self, outputs: list[TxOut]) -> Transaction:
        """A signed transaction with these outputs and a change output last; change below dust goes to the fee.
        Raises InsufficientFundsError."""
        per_input, per_output, rest = _WITNESS_SIZES if self._chain.rules.witness else _LEGACY_SIZES
        amount_sat = sum(output.amount_sat for output in outputs)
        chosen: list[tuple[Outpoint, Coin]] = []
        total_sat = 0
        for outpoint, coin in self.spendable():
            chosen.append((outpoint, coin))
            total_sat += coin.output.amount_sat
            size = rest + per_input * len(chosen) + per_output * (len(outputs) + 1)
            change_sat = total_sat - amount_sat - FEE_RATE_SAT * size
            if change_sat >= 0:
                change = [TxOut(change_sat, chosen[0][1].output.script)] if change_sat >= DUST_SAT else []
                return self._sign(chosen, [*outputs, *change])
        raise InsufficientFundsError

    def _sign(self, sources: list[tuple[Outpoint, Coin]], outputs: list[TxOut]) -> Transaction:
        inputs = tuple(TxIn(txid, index, b"", SEQUENCE) for (txid, index), _ in sources)
        return self.sign(Transaction(2, inputs, tuple(outputs)))

    def source_of(self, i: TxIn) -> TxOut | None:
        """The confirmed or waiting output that an input names, spent by a waiting transaction or not."""
        coin = self._chain.coins.get((i.previous_txid, i.previous_index))
        if coin is not None:
            return coin.output
        waiting = self._mempool.get(i.previous_txid)
        if waiting is None or i.previous_index >= len(waiting.transaction.outputs):
            return None
        return waiting.transaction.outputs[i.previous_index]

    def sign(self, transaction: Transaction) -> Transaction:
        """The transaction with every input signed that the wallet has the key and the output of."""
        signed = []
        for position, i in enumerate(transaction.inputs):
            source = self.source_of(i)
            if source is not None and source.script in self._index_of:
                key = private_key(self._chain.rules.seed, self._index_of[source.script])
                script_sig, witness = sign_input(transaction, position, source, key)
                i = replace(i, script_sig=script_sig, witness=witness)
            signed.append(i)
        return replace(transaction, inputs=tuple(signed))
