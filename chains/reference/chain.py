"""The block tree of a reference node: every block it was given, the best chain among them, and its coins.

Rule kept here: the tip is the valid block with most work; of equals the one that came first. A block is judged in
Bitcoin Core's order (checks.py, coins.py), so that the first failing rule gives the same reason word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from chains.primitives.hashes import sha256d
from chains.primitives.header import Header
from chains.primitives.merkle import merkle_root
from chains.primitives.script import height_push, push
from chains.primitives.target import bits_to_target, work_of
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut
from chains.reference.block import Block, BlockForm, parse_block
from chains.reference.checks import MUTATED, check_alone, check_header_in_context, check_in_context
from chains.reference.coins import Coins, Outpoint, Undo
from chains.reference.difficulty import next_bits
from chains.reference.rules import GENESIS_TIME_S, MEDIAN_TIME_SPAN, Rules


@dataclass(eq=False, slots=True)
class Entry:
    """A block in the tree. `raw` is its wire form (empty for a header whose block was refused); `failed` says why it
    can never be part of the best chain; `undo` is there while it is connected; `arrival` orders equal work."""

    hash: bytes
    header: Header
    proof: bytes
    height: int
    work: int
    arrival: int
    parent: Entry | None
    raw: bytes
    txids: tuple[bytes, ...]
    size: int = 0
    failed: str | None = None
    undo: Undo | None = None


class Acceptance(StrEnum):
    """What became of a block that was not refused."""

    CONNECTED = ""
    STORED = "inconclusive"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a block: BIP22's `reason` word (None: it is the new tip), and whether the tree keeps it."""

    reason: str | None
    stored: bool = False


def genesis_block(rules: Rules) -> Block:
    """A first block of this chain's own, made of all its rules; its work is not checked."""
    script = height_push(0) + push(sha256d(repr(rules).encode()))
    coinbase = Transaction(1, (TxIn(NULL_HASH, NULL_INDEX, script),), (TxOut(0, b"\x6a"),))
    header = Header(1, NULL_HASH, merkle_root([coinbase.txid]), GENESIS_TIME_S, rules.start_bits, 0)
    return Block(header, (coinbase,))


@dataclass(slots=True)
class _Tree:
    entries: dict[bytes, Entry] = field(default_factory=dict)
    active: list[Entry] = field(default_factory=list)
    place: dict[bytes, Entry] = field(default_factory=dict)
    size: int = 0


class Chain:
    """The tree; time is handed in. `rules` and `form` say which chain it is."""

    def __init__(self, rules: Rules, form: BlockForm) -> None:
        self.rules = rules
        self.form = form
        self.coins = Coins(rules)
        self._tree = _Tree()
        genesis = genesis_block(rules)
        entry = self._new_entry(genesis, None)
        self._tree.active.append(entry)

    @property
    def tip(self) -> Entry:
        return self._tree.active[-1]

    @property
    def genesis_hash(self) -> bytes:
        return self._tree.active[0].hash

    def __len__(self) -> int:
        """How many headers the tree knows."""
        return len(self._tree.entries)

    @property
    def size(self) -> int:
        """Bytes of all blocks in the tree."""
        return self._tree.size

    def get(self, block_hash: bytes) -> Entry | None:
        """The entry of a block that the tree holds whole (not of a refused one)."""
        entry = self._tree.entries.get(block_hash)
        return entry if entry is not None and entry.raw else None

    def at(self, height: int) -> Entry | None:
        """The active chain's block at a height."""
        return self._tree.active[height] if 0 <= height < len(self._tree.active) else None

    def is_active(self, entry: Entry) -> bool:
        return self.at(entry.height) is entry

    def block(self, entry: Entry) -> Block:
        return parse_block(entry.raw, self.form)

    def place_of(self, txid: bytes) -> Entry | None:
        """The active block that holds a transaction."""
        return self._tree.place.get(txid)

    def spender_of(self, outpoint: Outpoint) -> Entry | None:
        """The active block that spends a coin of an earlier block."""
        for entry in reversed(self._tree.active):
            if entry.undo is not None and any(spent == outpoint for spent, _ in entry.undo.spent):
                return entry
        return None

    def leaves(self) -> list[Entry]:
        """Every block that nothing stands on."""
        parents = {id(e.parent) for e in self._tree.entries.values()}
        return [e for e in self._tree.entries.values() if id(e) not in parents]

    def median_time(self, entry: Entry) -> int:
        """The median of the last eleven block times up to this block (BIP113)."""
        times: list[int] = []
        current: Entry | None = entry
        while current is not None and len(times) < MEDIAN_TIME_SPAN:
            times.append(current.header.time)
            current = current.parent
        return sorted(times)[len(times) // 2]

    def next_bits(self, parent: Entry) -> int:
        before = parent.parent
        time_before = before.header.time if before is not None and before.height > 0 else None
        return next_bits(self.rules, parent.header, time_before)

    def accept(self, block: Block, now_s: int, *, trusted: bool = False) -> Outcome:
        """Judge a block as Core's submitblock does and keep it when it is sound. `trusted` leaves out the proof of work
        (blocks that this node builds itself)."""
        block_hash = self.form.block_hash(block.header)
        known = self._tree.entries.get(block_hash)
        if known is not None:
            return Outcome("duplicate-invalid" if known.failed else "duplicate")
        reason = (None if trusted else self._check_work(block)) or check_alone(block)
        if reason is not None:
            return Outcome(reason)
        parent = self._tree.entries.get(block.header.previous_hash)
        if parent is None:
            return Outcome("prev-blk-not-found")
        if parent.failed:
            return Outcome("bad-prevblk")
        median = self.median_time(parent)
        reason = check_header_in_context(block, self.next_bits(parent), median, now_s)
        if reason is not None:
            return Outcome(reason)
        reason = check_in_context(block, parent.height + 1, median, self.rules.witness)
        if reason is not None:
            if reason not in MUTATED:
                self._new_entry(block, parent, failed=reason)
            return Outcome(reason)
        entry = self._new_entry(block, parent)
        if entry.work <= self.tip.work:
            return Outcome(Acceptance.STORED.value, stored=True)
        self._switch_to(entry)
        return Outcome(entry.failed, stored=True)

    def check_proposal(self, block: Block, now_s: int) -> str | None:
        """Core's answer to a block proposal: everything but the proof of work, on the current tip only."""
        known = self._tree.entries.get(self.form.block_hash(block.header))
        if known is not None:
            return "duplicate-invalid" if known.failed else "duplicate"
        if block.header.previous_hash != self.tip.hash:
            return "inconclusive-not-best-prevblk"
        median = self.median_time(self.tip)
        height = self.tip.height + 1
        return (
            check_header_in_context(block, self.next_bits(self.tip), median, now_s)
            or check_alone(block)
            or check_in_context(block, height, median, self.rules.witness)
            or self.coins.check(block.transactions, height)[0]
        )

    def invalidate(self, entry: Entry) -> None:
        """Forbid a block and all that stand on it; the best of the others becomes the tip."""
        if entry.parent is None:
            raise ValueError("the genesis block cannot be invalidated")
        for member in self._descendants(entry):
            member.failed = member.failed or "invalidated"
        self._activate_best()

    def reconsider(self, entry: Entry) -> None:
        """Forgive a block, its ancestors and all that stand on it, and take the best chain again."""
        ancestor: Entry | None = entry
        while ancestor is not None:
            ancestor.failed = None if ancestor.raw else ancestor.failed
            ancestor = ancestor.parent
        for member in self._descendants(entry):
            member.failed = None if member.raw else member.failed
        self._activate_best()

    def fork_point(self, one: Entry, other: Entry) -> Entry:
        """The last common ancestor."""
        while one is not other:
            if one.height >= other.height:
                assert one.parent is not None
                one = one.parent
            else:
                assert other.parent is not None
                other = other.parent
        return one

    def path(self, base: Entry, top: Entry) -> list[Entry]:
        """The blocks above `base` up to `top`, lowest first."""
        blocks = []
        while top is not base:
            blocks.append(top)
            assert top.parent is not None
            top = top.parent
        return blocks[::-1]

    def _check_work(self, block: Block) -> str | None:
        try:
            target = bits_to_target(block.header.bits)
        except ValueError:
            return "high-hash"
        if target > self.rules.max_target:
            return "high-hash"
        return self.form.check_work(block.header, block.proof, target)

    def _new_entry(self, block: Block, parent: Entry | None, failed: str | None = None) -> Entry:
        raw = b"" if failed else block.serialize()
        entry = Entry(
            hash=self.form.block_hash(block.header),
            header=block.header,
            proof=block.proof,
            height=0 if parent is None else parent.height + 1,
            work=work_of(bits_to_target(block.header.bits)) + (0 if parent is None else parent.work),
            arrival=len(self._tree.entries),
            parent=parent,
            raw=raw,
            txids=tuple(transaction.txid for transaction in block.transactions),
            size=len(raw),
            failed=failed,
        )
        self._tree.entries[entry.hash] = entry
        self._tree.size += entry.size
        return entry

    def _descendants(self, root: Entry) -> list[Entry]:
        """A block and all that stand on it; parents arrive before children, so one pass in order finds them."""
        members = {id(root)}
        found = [root]
        for entry in self._tree.entries.values():
            if entry.parent is not None and id(entry.parent) in members:
                members.add(id(entry))
                found.append(entry)
        return found

    def _activate_best(self) -> None:
        while True:
            candidates = [e for e in self._tree.entries.values() if e.failed is None]
            best = max(candidates, key=lambda e: (e.work, -e.arrival))
            if best is self.tip or self._switch_to(best):
                return

    def _switch_to(self, target: Entry) -> bool:
        """Make a block the tip; when a block on the way breaks a rule, mark it and go back to the old tip."""
        old = self.tip
        fork = self.fork_point(old, target)
        self._disconnect_to(fork)
        for entry in self.path(fork, target):
            reason = self._connect(entry)
            if reason is not None:
                for member in self._descendants(entry):
                    member.failed = member.failed or reason
                self._disconnect_to(fork)
                for back in self.path(fork, old):
                    again = self._connect(back)
                    assert again is None, f"a connected block does not connect again: {again}"
                return False
        return True

    def _connect(self, entry: Entry) -> str | None:
        reason, undo = self.coins.connect(self.block(entry).transactions, entry.height)
        if reason is None:
            entry.undo = undo
            self._tree.active.append(entry)
            for txid in entry.txids:
                self._tree.place[txid] = entry
        return reason

    def _disconnect_to(self, fork: Entry) -> None:
        while self.tip is not fork:
            entry = self._tree.active.pop()
            assert entry.undo is not None
            self.coins.disconnect(entry.undo)
            entry.undo = None
            for txid in entry.txids:
                del self._tree.place[txid]
