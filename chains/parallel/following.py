"""A chain that this node follows: its walk along the best path, its mempool, its templates, its blocks' fates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chains.accounts.ledger import Accounts
from chains.accounts.mempool import Mempool
from chains.accounts.transfer import Transfer, read_transfer
from chains.parallel.body import BlockCoinbase, Body, block_id, read_block_coinbase, root_of
from chains.parallel.chain_state import BlockFacts, BlockUndo, Carried, ChainState
from chains.parallel.parameters import ChainParameters, NetworkParameters
from chains.parallel.tree import Entry, ProofTree
from chains.primitives.address import AddressFormat
from chains.walk.walk import Done, Moved, Outcome, Step, Walk

TRANSFERS_BYTES = 400_000  # of one body; what a body may have at most is more than twice that


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """A body to mine: what it builds on and pays. `amount` is subsidy and fees, in smallest units."""

    body: Body
    root: bytes
    previous: bytes
    height: int
    amount: int


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a block. `state` is block, gap, void, orphan, held or unknown; `reason` says why it is a void.
    `confirmations` count the chain's blocks from it to the tip and `proof_confirmations` the proofs, both 1 at the tip,
    -1 off the best path, 0 when there is nothing to count."""

    state: str
    proof_id: bytes | None = None
    block_id: bytes | None = None
    reason: str = ""
    confirmations: int = 0
    proof_confirmations: int = 0
    facts: BlockFacts | None = None


class FollowedChain:
    """One chain. `body_of` finds the body of a root."""

    def __init__(
        self,
        network: NetworkParameters,
        parameters: ChainParameters,
        tree: ProofTree,
        body_of: Callable[[bytes], Body | None],
    ) -> None:
        self.parameters = parameters
        self.chain_id = parameters.id_on(network)
        self.start = parameters.start or network.genesis
        self._tree = tree
        self._body_of = body_of
        self.state = ChainState(parameters, self.chain_id)
        self.walk: Walk[Carried, BlockUndo] = Walk(self.state, tree.genesis.id)
        self.mempool = Mempool(self.state.accounts, parameters.fee_rate)
        self._unresolved = 0
        self._proof_of_block: dict[bytes, bytes] = {}
        self._template: tuple[tuple[bytes, int, bytes], BodyTemplate] | None = None

    @property
    def context(self) -> bytes:
        return self.parameters.context

    @property
    def addresses(self) -> AddressFormat:
        return self.parameters.addresses

    @property
    def accounts(self) -> Accounts:
        return self.state.accounts

    def block_names(self, height: int) -> dict[str, bytes]:
        """What the chain's block at a height, from 1, is known by: its id, and that of the consensus proof."""
        facts = self.state.blocks[height - 1]
        return {"block": facts.id, "proof": facts.proof_id}

    # --- following --------------------------------------------------------------------------------------------------

    def know(self, entry: Entry) -> None:
        """A proof is in the tree: its parallel block can be asked for by name."""
        root = entry.carried.get(self.context)
        if root is not None:
            self._proof_of_block[block_id(entry.id, self.context, root)] = entry.id

    def move(self, back_to: Entry | None = None) -> Moved[Carried]:
        """Follows the tree to its best path, from `back_to` (on the path) anew when a body came late."""
        steps: list[Step[Carried]] = []
        at = self._tree.best
        while at.id not in self.walk or (back_to is not None and at.height > back_to.height):
            steps.append(self._step(at))
            assert at.parent is not None
            at = at.parent
        if at.id == self.walk.tip and not steps:
            return Moved((), ())
        moved = self.walk.move(at.id, steps[::-1])
        self._unresolved += _missing(moved.done) - _missing(moved.undone)
        again = {transfer.id_on(self.chain_id) for done in moved.done for transfer in _transfers(done)}
        undone = [transfer for done in moved.undone for transfer in _transfers(done)]
        self.mempool.follow([one for one in undone if one.id_on(self.chain_id) not in again])
        return moved

    def _step(self, entry: Entry) -> Step[Carried]:
        root = entry.carried.get(self.context)
        if root is None:
            return Step(entry.id, None)
        return Step(entry.id, Carried(entry.id, root, self._body_of(root)))

    def is_started(self, entry: Entry) -> bool:
        """Whether a child of this proof may carry the chain."""
        return self.context in entry.started

    def unresolved(self) -> int:
        """Proofs of the best path whose body of this chain is missing: each may still become a block and undo what
        stands on it."""
        return self._unresolved

    # --- mining -----------------------------------------------------------------------------------------------------

    def template(self, script: bytes) -> BodyTemplate:
        """The body that a miner paid at `script` should collect now; the same value until tip or mempool changes.
        Raises ValueError for a script that no body may pay to."""
        key = (self.walk.tip, self.mempool.version, script)
        if self._template is not None and self._template[0] == key:
            return self._template[1]
        height = self.state.height + 1
        coinbase = BlockCoinbase(self.state.tip, height, script).serialize()
        chosen = self.mempool.choose(TRANSFERS_BYTES)
        body = (coinbase, *(transfer.serialize() for transfer in chosen))
        amount = self.parameters.subsidy_at(height) + sum(transfer.fee for transfer in chosen)
        made = BodyTemplate(body, root_of(body), self.state.tip, height, amount)
        self._template = (key, made)
        return made

    # --- telling ----------------------------------------------------------------------------------------------------

    def status(self, name: bytes) -> Status:
        """What became of a parallel block, named by its id, or of this chain at a consensus proof, by that one's."""
        entry = self._tree.get(self._proof_of_block.get(name, name))
        if entry is None or entry.proof is None:
            return Status("unknown")
        root = entry.carried.get(self.context)
        block = block_id(entry.id, self.context, root) if root is not None else None
        done = self.walk.get(entry.id)
        if done is None:
            lost = entry.available
            return Status("orphan" if lost else "held", entry.id, block, confirmations=-lost, proof_confirmations=-lost)
        deep = self._tree.best.height - entry.height + 1
        if done.outcome is not Outcome.APPLIED:
            state = "gap" if done.outcome is Outcome.GAP else "void"
            return Status(state, entry.id, block, done.reason, proof_confirmations=deep)
        assert done.record is not None and done.record.body is not None
        height = read_block_coinbase(done.record.body[0]).height
        facts = self.state.blocks[height - 1]
        return Status("block", entry.id, block, "", self.state.height - height + 1, deep, facts)


def _missing(steps: Sequence[Done[Carried]]) -> int:
    """How many of these are voids only because their body is missing."""
    return sum(done.record is not None and done.record.body is None for done in steps)


def _transfers(done: Done[Carried]) -> list[Transfer]:
    """The transfers that a step applied."""
    if done.outcome is not Outcome.APPLIED or done.record is None or done.record.body is None:
        return []
    return [read_transfer(one) for one in done.record.body[1:]]
