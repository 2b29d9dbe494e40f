"""One chain's state, as its walk along the best path derives it from bodies.

A body that builds on the tip, has the next height and whose transfers all apply is a block. Any other is a void: it
pays nobody, moves nothing, and rejects no proof. A proof that does not carry the chain is a gap, which never gets here.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.accounts.ledger import Accounts, LedgerBlock, LedgerUndo
from chains.accounts.transfer import Payment, Transfer, read_transfer
from chains.parallel.body import GENESIS_BLOCK, Body, block_id, read_block_coinbase
from chains.parallel.parameters import ChainParameters
from chains.primitives.serialize import MalformedError
from chains.walk.outcome import Applied, Ignored


@dataclass(frozen=True, slots=True)
class Carried:
    """What a proof carries of a chain: the body of a root, None when it is missing."""

    proof_id: bytes
    root: bytes
    body: Body | None


@dataclass(frozen=True, slots=True)
class BlockUndo:
    ledger: LedgerUndo
    tip: bytes


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """A block of the chain. `amount` is what it paid its miner: subsidy and fees, in smallest units."""

    id: bytes
    proof_id: bytes
    root: bytes
    height: int
    script: bytes
    amount: int
    transfers: tuple[bytes, ...]


class ChainState:
    """Tip and accounts of one chain. `tip` is a parallel block id, 32 zero bytes before the first."""

    def __init__(self, parameters: ChainParameters, chain_id: bytes) -> None:
        self.parameters = parameters
        self.accounts = Accounts(chain_id, parameters.maturity_blocks)
        self.tip = GENESIS_BLOCK
        self.blocks: list[BlockFacts] = []
        """By height, from 1."""

    @property
    def height(self) -> int:
        return self.accounts.height

    def apply(self, record: Carried) -> Applied[BlockUndo] | Ignored:
        if record.body is None:
            return Ignored("body-missing")
        try:
            coinbase = read_block_coinbase(record.body[0])
        except MalformedError:
            return Ignored("coinbase-form")
        if coinbase.previous != self.tip:
            return Ignored("previous-block")
        if coinbase.height != self.height + 1:
            return Ignored("height")
        try:
            transfers = tuple(read_transfer(one) for one in record.body[1:])
        except MalformedError:
            return Ignored("transfer-form")
        subsidy = self.parameters.subsidy_at(coinbase.height)
        rewards = (Payment(coinbase.script, subsidy),)
        outcome = self.accounts.apply(LedgerBlock(coinbase.height, rewards, coinbase.script, transfers))
        if isinstance(outcome, Ignored):
            return outcome
        undo = BlockUndo(outcome.undo, self.tip)
        self._append(record, coinbase.script, subsidy, transfers)
        return Applied(undo)

    def _append(self, record: Carried, script: bytes, subsidy: int, transfers: tuple[Transfer, ...]) -> None:
        self.tip = block_id(record.proof_id, self.parameters.context, record.root)
        amount = subsidy + sum(transfer.fee for transfer in transfers)
        ids = tuple(transfer.id_on(self.accounts.chain_id) for transfer in transfers)
        self.blocks.append(BlockFacts(self.tip, record.proof_id, record.root, self.height, script, amount, ids))

    def undo(self, undo: BlockUndo) -> None:
        self.accounts.undo(undo.ledger)
        self.blocks.pop()
        self.tip = undo.tip
