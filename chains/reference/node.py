"""A reference node: chain, mempool and wallet behind the verbs that the RPC and the tests need.

`submit`, `propose`, `advance`, `reorganise`, `refuse_next` are the surface; time is asked from the clock handed in. The
node remembers everything in a store and is the same again after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from chains.primitives.header import Header
from chains.primitives.merkle import merkle_root
from chains.primitives.script import height_push, push
from chains.primitives.target import bits_to_target, work_of
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut, parse_transaction
from chains.reference.block import Block, BlockForm, parse_block
from chains.reference.chain import Chain, Entry, Outcome
from chains.reference.checks import COMMITMENT_MARK, MAX_WEIGHT, RESERVED_VALUE, witness_commitment
from chains.reference.difficulty import UNWORKED_NONCE
from chains.reference.mempool import Mempool
from chains.reference.rules import Rules
from chains.reference.store import Record, RecordKind, Store
from chains.reference.wallet import OWN_BLOCK_KEY, TRICKLE_KEY, InsufficientFundsError, Wallet

# A node mines for itself only where that costs nothing; a harder chain is advanced without proof of work.
MAX_OWN_WORK_HASHES = 2**16
COINBASE_WEIGHT_RESERVE = 8000  # as Core's block assembler keeps free
TRICKLE_SAT = 20_000


class TooHardError(Exception):
    """The chain's bits ask for more hashes than a node spends on its own block."""


@dataclass(slots=True)
class Faults:
    """Misbehaviour on demand, for tests of the pool. `refusals` holds (where, reason): where is submit or proposal."""

    syncing: bool = False
    hang_s: float = 0
    chain: str | None = None
    garbage: bool = False
    http_500: bool = False
    refuse_containing: bytes = b""
    refusals: list[tuple[str, str]] = field(default_factory=list)


class ReferenceNode:
    """`tip_listeners` are called after the tip or the mempool changed."""

    def __init__(self, rules: Rules, form: BlockForm, directory: Path, clock: Callable[[], int]) -> None:
        self.rules = rules
        self.form = form
        self.clock = clock
        self.chain = Chain(rules, form)
        self.mempool = Mempool(self.chain)
        self.wallet = Wallet(self.chain, self.mempool)
        self.faults = Faults()
        self.last_refusal = ""
        self.listeners: list[Callable[[], None]] = []
        self.nowhere: dict[bytes, Transaction] = {}  # transactions that left the chain and do not wait either
        self._extra_nonce = 0
        self._store = Store(directory, self.chain.genesis_hash)
        self._replaying = True
        for record in self._store.records:
            self._replay(record)
        self._replaying = False
        self._store.records.clear()

    def close(self) -> None:
        self._store.close()

    # Blocks that come from outside

    def submit(self, block: Block) -> str | None:
        """Judge and keep a block; the BIP22 reason word, None when it is the new tip."""
        return self.accept(block).reason

    def accept(self, block: Block) -> Outcome:
        """As `submit`, with the whole outcome."""
        refusal = self._refusal("submit", block)
        outcome = Outcome(refusal) if refusal else self._accept(block, RecordKind.BLOCK)
        if outcome.reason is not None and not outcome.stored:
            self.last_refusal = outcome.reason
        return outcome

    def propose(self, block: Block) -> str | None:
        """BIP23: would this block be good, proof of work aside? None when yes."""
        return self._refusal("proposal", block) or self.chain.check_proposal(block, self.clock())

    def refuse_next(self, reason: str, where: str = "submit") -> None:
        """Answer the next submission or proposal with this reason, whatever it is."""
        self.faults.refusals.append((where, reason))

    # Blocks that the node builds

    def build_block(
        self, script: bytes, *, time_s: int | None = None, transactions: Iterable[Transaction] | None = None
    ) -> Block:
        """A block on the tip that pays subsidy and fees to a script; without transactions given, those waiting."""
        tip = self.chain.tip
        fees_sat = 0
        others: list[Transaction]
        if transactions is None:
            others, fees_sat = self.selected()
        else:
            others = list(transactions)
        height = tip.height + 1
        # The size of the tree grows with every block kept and is the same again after a restart, so that no two blocks
        # of one chain ever have the same coinbase.
        self._extra_nonce += 1
        script_sig = height_push(height) + push(struct.pack("<II", len(self.chain), self._extra_nonce))
        outputs = [TxOut(self.rules.subsidy_sat + fees_sat, script)]
        if self.rules.witness:
            outputs.append(TxOut(0, self.commitment_script(others)))
        stack = (RESERVED_VALUE,) if self.rules.witness else ()
        coinbase = Transaction(2, (TxIn(NULL_HASH, NULL_INDEX, script_sig, witness=stack),), tuple(outputs))
        header = Header(
            version=self.form.template_version(self.rules.version),
            previous_hash=tip.hash,
            merkle_root=merkle_root([coinbase.txid, *(t.txid for t in others)]),
            time=self.block_time() if time_s is None else time_s,
            bits=self.chain.next_bits(tip),
            nonce=0,
        )
        return Block(header, (coinbase, *others))

    def block_time(self) -> int:
        """What a new block's time should be: now, but later than the median of the last eleven."""
        return max(self.clock(), self.chain.median_time(self.chain.tip) + 1)

    def selected(self) -> tuple[list[Transaction], int]:
        """The waiting transactions that fit into a block, and their fees."""
        transactions: list[Transaction] = []
        fees_sat = 0
        free = MAX_WEIGHT - COINBASE_WEIGHT_RESERVE
        for waiting in self.mempool:
            weight = waiting.transaction.weight
            if weight <= free:
                free -= weight
                transactions.append(waiting.transaction)
                fees_sat += waiting.fee_sat
        return transactions, fees_sat

    def commitment_script(self, others: list[Transaction]) -> bytes:
        return COMMITMENT_MARK + witness_commitment(others)

    def generate(self, count: int, script: bytes) -> list[bytes]:
        """Mine blocks to a script with a real proof of work. Raises TooHardError when the bits forbid it."""
        return [self.generate_one(self.build_block(script)) for _ in range(count)]

    def generate_one(self, block: Block) -> bytes:
        """Mine a block that was built on the tip. Raises TooHardError, and ValueError with the reason when one of its
        transactions breaks a rule."""
        target = bits_to_target(block.header.bits)
        if work_of(target) > MAX_OWN_WORK_HASHES:
            raise TooHardError(f"bits {block.header.bits:08x}: use devnet_advance")
        reason = self.chain.coins.check(block.transactions, self.chain.tip.height + 1)[0]
        if reason is not None:
            raise ValueError(reason)
        header, proof = self.form.mine(block.header, target)
        outcome = self._accept(Block(header, block.transactions, proof), RecordKind.BLOCK)
        assert outcome.reason is None, outcome.reason
        return self.form.block_hash(header)

    def advance(self, count: int, script: bytes) -> list[bytes]:
        """Extend the chain by blocks of our own without proof of work, whatever the bits."""
        return [self._extend(self.build_block(script), UNWORKED_NONCE) for _ in range(count)]

    def reorganise(self, depth: int) -> list[bytes]:
        """Replace the last `depth` blocks by `depth` + 1 empty ones without proof of work; the new hashes.

        The new blocks carry the times and nonces of those they replace, so retargeting gives them the same bits, and
        the extra one makes their work greater.
        """
        replaced = [self.chain.tip]
        while len(replaced) < depth:
            parent = replaced[0].parent
            if parent is None or parent.height == 0:
                raise ValueError(f"the chain has only {self.chain.tip.height} blocks")
            replaced.insert(0, parent)
        if depth < 1 or replaced[0].height == 0:
            raise ValueError("depth must be between 1 and the height of the chain")
        script = self.wallet.script(OWN_BLOCK_KEY)
        self.invalidate(replaced[0])
        hashes = [
            self._extend(self.build_block(script, time_s=old.header.time, transactions=()), old.header.nonce)
            for old in replaced
        ]
        hashes.append(self._extend(self.build_block(script, transactions=()), UNWORKED_NONCE))
        self.reconsider(replaced[0])
        return hashes

    def invalidate(self, entry: Entry) -> None:
        self._change_tip(lambda: self.chain.invalidate(entry))
        self._record(RecordKind.INVALIDATE, entry.hash)

    def reconsider(self, entry: Entry) -> None:
        self._change_tip(lambda: self.chain.reconsider(entry))
        self._record(RecordKind.RECONSIDER, entry.hash)

    # The wallet

    def send(self, outputs: list[TxOut]) -> bytes:
        """Pay outputs from the wallet; the txid. Raises InsufficientFundsError."""
        transaction = self.wallet.pay(outputs)
        reason = self.take_transaction(transaction)
        assert reason is None, reason
        return transaction.txid

    def take_transaction(self, transaction: Transaction) -> str | None:
        """Put a transaction into the mempool; the reason word when it is refused."""
        reason = self._take(transaction, self.clock(), policy=True)
        if reason is None:
            self._record(RecordKind.TRANSACTION, transaction.serialize())
            self._tell()
        return reason

    def _take(self, transaction: Transaction, time_s: int, *, policy: bool) -> str | None:
        """Into the mempool; what it replaces there is remembered, as a wallet does."""
        before = {waiting.transaction.txid: waiting.transaction for waiting in self.mempool}
        judgement = self.mempool.add(transaction, time_s, policy=policy)
        if judgement.reason is None:
            self.nowhere.update((txid, before[txid]) for txid in judgement.replaced)
            self.nowhere.pop(transaction.txid, None)
        return judgement.reason

    def trickle(self) -> bool:
        """One small payment of the wallet to itself, so that templates are not empty; False when it has no coins."""
        try:
            self.send([TxOut(TRICKLE_SAT + len(self.mempool), self.wallet.script(TRICKLE_KEY))])
        except InsufficientFundsError:
            return False
        return True

    def new_address(self) -> str:
        fresh = self.wallet.new_address()
        self._record(RecordKind.ADDRESS, struct.pack("<I", self.wallet.next_fresh))
        return fresh

    def new_change_address(self) -> str:
        """As `new_address`; payments to it count as change."""
        self.wallet.reserve_change(self.wallet.next_fresh)
        self._record(RecordKind.CHANGE_ADDRESS, struct.pack("<I", self.wallet.next_fresh - 1))
        return self.wallet.address(self.wallet.next_fresh - 1)

    # Inside

    def _refusal(self, where: str, block: Block) -> str | None:
        for index, (place, reason) in enumerate(self.faults.refusals):
            if place == where:
                del self.faults.refusals[index]
                return reason
        marker = self.faults.refuse_containing
        if marker and block.transactions and marker in block.coinbase.serialize():
            return "bad-cb-refused-by-devnet"
        return None

    def _extend(self, block: Block, nonce: int) -> bytes:
        block = replace(block, header=replace(block.header, nonce=nonce), proof=self.form.unworked_proof())
        outcome = self._accept(block, RecordKind.OWN_BLOCK)
        assert outcome.reason is None, outcome.reason
        return self.form.block_hash(block.header)

    def _accept(self, block: Block, kind: RecordKind) -> Outcome:
        now_s = self.clock()
        outcome = Outcome(None)

        def accept() -> None:
            nonlocal outcome
            outcome = self.chain.accept(block, now_s, trusted=kind is RecordKind.OWN_BLOCK)

        self._change_tip(accept)
        if outcome.stored:
            self._record(kind, block.serialize(), now_s)
        return outcome

    def _change_tip(self, change: Callable[[], None]) -> None:
        before = self.chain.tip
        change()
        after = self.chain.tip
        if after is before:
            return
        fork = self.chain.fork_point(before, after)
        disconnected = self.chain.path(fork, before)
        dropped = [self.chain.block(entry).coinbase for entry in disconnected]
        dropped += self.mempool.tip_moved(disconnected)
        self.nowhere.update((transaction.txid, transaction) for transaction in dropped)
        self._offer_again()
        self._tell()

    def _offer_again(self) -> None:
        """What had to leave chain and mempool for a while (a spent coinbase immature again) is tried at every tip, as a
        wallet sends its payments again."""
        for txid, transaction in list(self.nowhere.items()):
            if self.chain.place_of(txid) is not None:
                del self.nowhere[txid]
                continue
            if not transaction.is_coinbase:
                self._take(transaction, self.clock(), policy=False)

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def _record(self, kind: RecordKind, payload: bytes, time_s: int | None = None) -> None:
        if not self._replaying:
            self._store.append(Record(kind, self.clock() if time_s is None else time_s, payload))

    def _replay(self, record: Record) -> None:
        """Let happen again what happened; what was accepted then must be accepted now."""
        if record.kind in (RecordKind.BLOCK, RecordKind.OWN_BLOCK):
            block = parse_block(record.payload, self.form)
            # The proof of work was checked when the block came; checking it again would only slow the start.
            self._change_tip(lambda: self._replay_block(block, record.time_s))
        elif record.kind in (RecordKind.INVALIDATE, RecordKind.RECONSIDER):
            entry = self.chain.get(record.payload)
            assert entry is not None, "the log names a block that it does not hold"
            act = self.chain.invalidate if record.kind is RecordKind.INVALIDATE else self.chain.reconsider
            self._change_tip(lambda: act(entry))
        elif record.kind is RecordKind.TRANSACTION:
            self._take(parse_transaction(record.payload), record.time_s, policy=True)
        elif record.kind is RecordKind.ADDRESS:
            self.wallet.reserve(struct.unpack("<I", record.payload)[0])
        elif record.kind is RecordKind.CHANGE_ADDRESS:
            self.wallet.reserve_change(struct.unpack("<I", record.payload)[0])

    def _replay_block(self, block: Block, now_s: int) -> None:
        outcome = self.chain.accept(block, now_s, trusted=True)
        assert outcome.stored, f"a block of the log is refused: {outcome.reason}"
