"""A wallet and its node in memory (chains/wallet.py is the contract): blocks, mempool, reorgs, thieves, bad lines.

Every call passes a point before and after its effect, at which a test can crash the caller, keep the answer back, or
answer an error; `deliver` brings a transaction at any time. `paid` and `holds` are the oracle's: they look at the chain
and at nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction
from chains.wallet import (
    Coin,
    Outpoint,
    SendAnswer,
    SendResult,
    Tip,
    Turn,
    WalletRefusedError,
    WalletTransaction,
)

Point = Callable[[str], None]
"""Called with `before NAME` and `after NAME`; whatever it raises is what the caller meets."""


def no_faults(_name: str) -> None:
    """Nothing goes wrong."""


def own_script(number: int) -> bytes:
    """A script of the wallet's own."""
    return b"\x00\x14" + b"\xee" + number.to_bytes(19, "big")


class FakeWallet:
    """Blocks are lists of transactions, the coinbase first; `tip` has the height of the last one."""

    def __init__(self, chain: str = "alpha", *, maturity: int = 10, point: Point = no_faults) -> None:
        self.chain = chain
        self.maturity = maturity
        self.point = point
        self.blocks: list[list[Transaction]] = []
        self.mempool: dict[bytes, Transaction] = {}
        self.known: dict[bytes, Transaction] = {}
        self.synced = True
        self.rate: int | None = 1000
        self.refuses: str | None = None  # the answer of `accepts`
        self.fee_too_low = False
        self.tampers: Callable[[Transaction], Transaction] | None = None
        self.signed: list[bytes] = []
        self.sent: list[bytes] = []
        self._numbers = itertools.count(1)
        self._salt = itertools.count(1)

    # -- the world's side ---------------------------------------------------------------------------------------------

    def hash_at(self, height: int) -> str:
        """Displayed hash of the block at a height; another one after a reorganisation."""
        return self.blocks[height][0].txid.hex()

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def mine(self, count: int = 1, *, reward: int = 0, empty: bool = False) -> str:
        """Blocks with everything that waits; the first one's coinbase pays `reward` to the wallet. Its hash."""
        first = ""
        for number in range(count):
            salt = next(self._salt).to_bytes(8, "little")
            outputs = [TxOut(0, b"\x6a\x08" + salt)]
            if reward and not number:
                outputs.insert(0, TxOut(reward, own_script(next(self._numbers))))
            coinbase = Transaction(2, (TxIn(bytes(32), 0xFFFFFFFF, salt),), tuple(outputs))
            taken = [] if empty else list(self.mempool.values())
            self.blocks.append([coinbase, *taken])
            self.mempool = {} if not empty else self.mempool
            first = first or self.hash_at(self.height)
        return first

    def reorganise(self, depth: int, *, forget: bool = False, grow: int = 1) -> None:
        """The last blocks are replaced by empty ones, one (`grow`) more. Their transactions wait again, or are gone."""
        lost = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        if not forget:
            back = {t.txid: t for block in lost for t in block[1:]}
            self.mempool = back | self.mempool
        self.mine(depth + grow, empty=True)

    def forget_mempool(self) -> None:
        self.mempool = {}

    def deposit(self, amount: int) -> Outpoint:
        """A stranger sends something."""
        source = TxIn(next(self._salt).to_bytes(32, "big"), 0, b"\x01")
        transaction = Transaction(2, (source,), (TxOut(amount, own_script(next(self._numbers))),))
        self._take(transaction)
        return Outpoint(transaction.txid, 0)

    def send_again(self, txid: bytes) -> None:
        """Whoever made a transaction sends it once more, unless it is in the chain."""
        if not any(t.txid == txid for t in self.confirmed()):
            self._take(self.known[txid])

    def steal(self, outpoint: Outpoint, *, drop: bool = True) -> bytes:
        """Somebody with the keys spends a coin; a transaction of ours that wanted it leaves the mempool."""
        amount = self._outputs()[outpoint].amount_sat
        transaction = Transaction(
            2, (TxIn(*outpoint, b"", 0xFFFFFFFF, (b"thief", next(self._salt).to_bytes(4, "big"))),),
            (TxOut(amount - 200, b"\x00\x14" + b"\x66" * 20),),
        )  # fmt: skip
        if drop:
            self.mempool = {
                txid: t for txid, t in self.mempool.items() if outpoint not in {_spent(i) for i in t.inputs}
            }
        self._take(transaction)
        return transaction.txid

    def bring_back(self, swept: Sequence[Outpoint], *, fee: int, keep: int = 0, add: int = 0) -> bytes:
        """The operator's cold wallet spends coins, and `add` of others, to the hot one, less what it keeps; the txid.
        The coin that it keeps is output 1."""
        outputs = self._outputs()
        total = sum(outputs[outpoint].amount_sat for outpoint in swept) + add - fee - keep
        inputs = [TxIn(*outpoint, b"", 0, (b"cold",)) for outpoint in swept]
        if add:
            inputs.append(TxIn(next(self._salt).to_bytes(32, "big"), 0, b"\x01"))
        made = [TxOut(total, own_script(next(self._numbers)))] if total else [TxOut(0, b"\x6a")]
        if keep:
            made.append(TxOut(keep, b"\x00\x14\xcc" + bytes(19)))
        transaction = Transaction(2, tuple(inputs), tuple(made))
        self._take(transaction)
        return transaction.txid

    def _take(self, transaction: Transaction) -> None:
        self.mempool[transaction.txid] = transaction
        self.known[transaction.txid] = transaction

    # -- the oracle's side --------------------------------------------------------------------------------------------

    def confirmed(self) -> list[Transaction]:
        return [t for block in self.blocks for t in block]

    def paid(self, script: bytes) -> list[int]:
        """The amounts of all outputs in the chain to a script."""
        return [o.amount_sat for t in self.confirmed() for o in t.outputs if o.script == script]

    def holds(self) -> int:
        """What the wallet's unspent outputs in the chain hold."""
        return sum(output.amount_sat for outpoint, output in self._unspent(self.confirmed()).items())

    # -- the contract -------------------------------------------------------------------------------------------------

    async def tip(self) -> Tip:
        self.point("before tip")
        if not self.synced:
            raise WalletRefusedError("the node is not synced")
        answer = Tip(self.height, self.hash_at(self.height))
        self.point("after tip")
        return answer

    async def coins(self) -> list[Coin]:
        self.point("before coins")
        found = []
        for outpoint, output in self._unspent([*self.confirmed(), *self.mempool.values()]).items():
            confirmations, coinbase = self._depth(outpoint.txid)
            if not coinbase or confirmations > self.maturity:
                found.append(Coin(outpoint, output.amount_sat, output.script, confirmations, coinbase))
        self.point("after coins")
        return sorted(found, key=lambda coin: coin.outpoint)

    async def is_ours(self, script: bytes) -> bool:
        return script[:3] == b"\x00\x14\xee"

    async def has_sent(self) -> bool:
        known = self._outputs()
        spent = [known.get(_spent(i)) for t in [*self.confirmed(), *self.mempool.values()] for i in t.inputs]
        return any(output is not None and output.script[:3] == b"\x00\x14\xee" for output in spent)

    async def is_unspent(self, outpoint: Outpoint) -> bool:
        self.point("before is_unspent")
        everything = [*self.confirmed(), *self.mempool.values()]
        spent = {_spent(i) for t in everything for i in t.inputs}
        answer = outpoint not in spent and any(t.txid == outpoint.txid for t in everything)
        self.point("after is_unspent")
        return answer

    async def sign(self, unsigned: bytes, coins: Sequence[Coin]) -> bytes:
        self.point("before sign")
        transaction = parse_transaction(unsigned)
        assert [_spent(i) for i in transaction.inputs] == [coin.outpoint for coin in coins]
        inputs = tuple(
            TxIn(i.previous_txid, i.previous_index, b"", i.sequence, (b"\x30" * 72, b"\x02" * 33))
            for i in transaction.inputs
        )
        signed = Transaction(transaction.version, inputs, transaction.outputs, transaction.lock_time)
        if self.tampers is not None:
            signed = self.tampers(signed)
        self.signed.append(signed.txid)
        self.point("after sign")
        return signed.serialize()

    async def accepts(self, raw: bytes) -> str | None:
        self.point("before accepts")
        transaction = parse_transaction(raw)
        missing = self._missing(transaction)
        poor = not missing and self._pays_too_little(transaction)
        self.point("after accepts")
        return self.refuses or ("missing-inputs" if missing else "insufficient fee" if poor else None)

    async def broadcast(self, raw: bytes) -> SendAnswer:
        self.point("before broadcast")
        answer = self.deliver(raw)
        self.point("after broadcast")
        return answer

    def deliver(self, raw: bytes) -> SendAnswer:
        """What the node does with a transaction, whoever it comes from."""
        transaction = parse_transaction(raw)
        self.sent.append(transaction.txid)
        if any(t.txid == transaction.txid for t in self.confirmed()):
            return SendAnswer(SendResult.CONFIRMED, "already in block chain")
        if transaction.txid in self.mempool:
            return SendAnswer(SendResult.KNOWN, "txn-already-in-mempool")
        if self._missing(transaction):
            return SendAnswer(SendResult.MISSING_INPUTS, "bad-txns-inputs-missingorspent")
        if self.fee_too_low:
            return SendAnswer(SendResult.FEE_TOO_LOW, "mempool min fee not met")
        if self._pays_too_little(transaction):
            return SendAnswer(SendResult.FEE_TOO_LOW, "insufficient fee, rejecting replacement")
        self.mempool = {txid: t for txid, t in self.mempool.items() if txid not in self._rivals(transaction)}
        self._take(transaction)
        return SendAnswer(SendResult.SENT)

    async def transaction(self, txid: bytes) -> WalletTransaction | None:
        self.point("before transaction")
        answer = self._shown(txid)
        self.point("after transaction")
        return answer

    async def transactions_since(self, height: int) -> list[WalletTransaction]:
        self.point("before transactions_since")
        answers = [self._shown(t.txid) for t in [*self.confirmed(), *self.mempool.values()] if self._concerns(t)]
        self.point("after transactions_since")
        return [a for a in answers if a is not None and (a.height is None or a.height > height)]

    async def fee_rate(self, target_blocks: int) -> int | None:
        self.point("before fee_rate")
        self.point("after fee_rate")
        return self.rate

    async def change_script(self) -> bytes:
        self.point("before change_script")
        script = own_script(next(self._numbers))
        self.point("after change_script")
        return script

    async def turn(self) -> Turn | None:
        return None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _outputs(self) -> dict[Outpoint, TxOut]:
        everything = [*self.confirmed(), *self.mempool.values()]
        return {Outpoint(t.txid, vout): output for t in everything for vout, output in enumerate(t.outputs)}

    def _unspent(self, transactions: Sequence[Transaction]) -> dict[Outpoint, TxOut]:
        spent = {_spent(i) for t in transactions for i in t.inputs}
        return {
            Outpoint(t.txid, vout): output
            for t in transactions
            for vout, output in enumerate(t.outputs)
            if output.script[:3] == b"\x00\x14\xee" and Outpoint(t.txid, vout) not in spent
        }

    def _missing(self, transaction: Transaction) -> bool:
        spent = {_spent(i) for t in self.confirmed() for i in t.inputs}
        rivals = self._rivals(transaction)
        if not all(any(i.sequence < 0xFFFFFFFE for i in self.mempool[txid].inputs) for txid in rivals):
            return True  # a node says "txn-mempool-conflict"
        outputs = self._outputs()
        return any(_spent(i) in spent or _spent(i) not in outputs for i in transaction.inputs)

    def _rivals(self, transaction: Transaction) -> set[bytes]:
        """What waits and spends a coin of the transaction."""
        wanted = {_spent(i) for i in transaction.inputs}
        return {
            txid
            for txid, t in self.mempool.items()
            if txid != transaction.txid and wanted & {_spent(i) for i in t.inputs}
        }

    def _pays_too_little(self, transaction: Transaction) -> bool:
        """BIP125, rules 3, 4 and 6: a replacement pays what it replaces, its own way, and a higher rate."""
        rivals = [self.mempool[txid] for txid in self._rivals(transaction)]
        fee, size = self.fee(transaction), -(-transaction.weight // 4)
        if rivals and fee < sum(self.fee(t) for t in rivals) + size:
            return True
        return any(fee * (-(-t.weight // 4)) <= self.fee(t) * size for t in rivals)

    def fee(self, transaction: Transaction) -> int:
        """What a transaction of confirmed or waiting coins leaves to the miner; a stranger's costs nothing here."""
        outputs = self._outputs()
        taken = [outputs[_spent(i)].amount_sat for i in transaction.inputs if _spent(i) in outputs]
        return max(0, sum(taken) - sum(output.amount_sat for output in transaction.outputs))

    def _depth(self, txid: bytes) -> tuple[int, bool]:
        for height, block in enumerate(self.blocks):
            for place, transaction in enumerate(block):
                if transaction.txid == txid:
                    return self.height - height + 1, place == 0
        return 0, False

    def _concerns(self, transaction: Transaction) -> bool:
        ours = any(output.script[:3] == b"\x00\x14\xee" for output in transaction.outputs)
        known = self._outputs()
        return ours or any(
            (output := known.get(_spent(i))) is not None and output.script[:3] == b"\x00\x14\xee"
            for i in transaction.inputs
        )

    def _shown(self, txid: bytes) -> WalletTransaction | None:
        for height, block in enumerate(self.blocks):
            for transaction in block:
                if transaction.txid == txid:
                    depth = self.height - height + 1
                    return WalletTransaction(txid, transaction.serialize(), depth, self.hash_at(height), height)
        waiting = self.mempool.get(txid) or self.known.get(txid)
        if waiting is None:
            return None
        wanted = {_spent(i) for i in waiting.inputs}
        for height, block in enumerate(self.blocks):
            if any(_spent(i) in wanted for t in block for i in t.inputs):
                return WalletTransaction(txid, waiting.serialize(), -(self.height - height + 1), None, None)
        return WalletTransaction(txid, waiting.serialize(), 0, None, None)


def _spent(tx_in: TxIn) -> Outpoint:
    return Outpoint(tx_in.previous_txid, tx_in.previous_index)
