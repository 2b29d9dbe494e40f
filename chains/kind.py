"""What every chain kind speaks: the values that travel between the pool and the chains, and the interfaces of a kind.

A kind is a family of chains, a chain is one configured member of it, a network is main, test or regtest. A parent's
coinbase carries the commitments of all auxiliary kinds; a kind takes all templates of its chains at once, because they
may share one tree. Pure values only: a kind's `node.py` holds the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec

from chains.primitives.address import AddressFormat


class TemplateError(ValueError):
    """A node's template that cannot be mined: a sentence that names the field and what was expected."""


BITCOIN_MESSAGE_MAGIC = "Bitcoin Signed Message:\n"
"""Bitcoin Core, src/util/message.cpp; kept by every fork that did not put its own name there."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a family: `name` is main, test or regtest; `chain_name` is what the node's
    getblockchaininfo calls it; `pow_hash` names the proof of work; `maturity` is the confirmations a coinbase needs;
    `template_rules` are the rules that getblocktemplate is asked with, all of which we keep; `message_magic` is what
    the family's wallets put before a message that they sign (BIP137)."""

    name: str
    chain_name: str
    addresses: AddressFormat
    pow_hash: str = "sha256d"
    maturity: int = 100
    template_rules: tuple[str, ...] = ("segwit",)
    message_magic: str = BITCOIN_MESSAGE_MAGIC

    @property
    def wallet_maturity(self) -> int:
        """The confirmations from which a wallet spends a coinbase: one more than the chain asks of it, because wallets
        do not count the block that would spend it (Bitcoin Core, wallet.cpp: GetTxBlocksToMaturity, and its forks).
        """
        return self.maturity + 1


class NodeState(StrEnum):
    """What the pool may think of a chain or one of its nodes; also the chain states of the HTTP API."""

    OK = "ok"
    SYNCING = "syncing"
    DOWN = "down"
    WRONG_NETWORK = "wrong_network"


@dataclass(frozen=True, slots=True)
class Health:
    """A node's answer to "may I mine with you?": state, best height, and a reason fit for a log line."""

    state: NodeState
    height: int = 0
    detail: str = ""


def maturity_words(theirs: int, ours: int) -> str:
    """Why a node is not used whose chain pays later than the pool's books say, both in blocks on top of a block."""
    return f"its chain's rewards can be spent after {theirs} blocks, the pool calls them available after {ours}"


class SubmitResult(StrEnum):
    """Classes of answers to a submitted block or proof (BIP22; chains/bitcoin/README.md)."""

    ACCEPTED = "accepted"  # null or true: confirm by looking the hash up
    DUPLICATE = "duplicate"  # the node has it already: success when the hash is ours
    INCONCLUSIVE = "inconclusive"  # stored but not best: may still win, keep watching
    STALE = "stale"  # the node no longer knows the template (its tip moved)
    REJECTED = "rejected"  # any other reason


@dataclass(frozen=True, slots=True)
class SubmitAnswer:
    result: SubmitResult
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a vote is, on a chain whose blocks pay votes: in which block (displayed hash), at which index of its votes,
    and what it pays us there, in the chain's smallest unit. Neither index nor amount ever change for one block."""

    container_hex: str
    event_index: int
    amount: int


@dataclass(frozen=True, slots=True)
class BlockStatus:
    """Where a node sees a block: `confirmations` is 1 at the tip, negative off the main chain, 0 when unknown.

    Of a vote, it is where the vote is: `inclusion` in a block of the main chain, whose confirmations and height these
    are; none with 0 confirmations while it waits for a block, with negative ones when no block can take it any more.
    """

    found: bool
    confirmations: int = 0
    height: int = 0
    inclusion: Inclusion | None = None


@dataclass(frozen=True, slots=True)
class PaidVote:
    """What a vote of a block pays us: `hash_hex` is the vote's, displayed, `event_index` its index in the block."""

    event_index: int
    hash_hex: str
    amount: int


@dataclass(frozen=True, slots=True)
class BlockIncome:
    """A block of the main chain (displayed hash) with all of its votes that pay us, whoever made the block."""

    hash_hex: str
    height: int
    votes: tuple[PaidVote, ...]


class TemplateTransaction(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A transaction of a parent template: wire bytes, and txid and wtxid in natural order. A template has thousands,
    and a new block's is read, and handed on to other processes of the pool, while miners wait."""

    data: bytes
    txid: bytes
    wtxid: bytes
    fee_sat: int = 0


@dataclass(frozen=True, slots=True)
class ParentTemplate:
    """What a parent node offers (getblocktemplate), parsed. Hashes natural, `target` an integer, times in seconds.

    `merkle_branch` folds a coinbase with the transactions. `extension` is what follows the transactions in the block
    (Litecoin's MWEB). `fixed_version_bits` are bits that miners may not roll, over and above those outside BIP320's
    mask.
    """

    chain: str
    height: int
    previous_hash: bytes
    version: int
    bits: int
    target: int
    current_time: int
    minimum_time: int
    value_sat: int
    transactions: tuple[TemplateTransaction, ...]
    merkle_branch: tuple[bytes, ...]
    coinbase_aux: bytes
    witness_commitment: bytes | None
    extension: bytes = b""
    rules: tuple[str, ...] = ()
    fixed_version_bits: int = 0
    longpoll_id: str | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class AuxTemplate:
    """What an auxiliary node offers: a block or datum hash (natural order) that a proof of work may commit to.

    `node` names the node that made it: a submission goes back there. `chain_id` is the MM1 chain id, `context` the MM2
    context (32 bytes, natural order), `datum` what `aux_hash` is the hash of, where a submission needs it; the fields
    that do not belong to the kind are None. Chains that one proof pays have templates that are equal in `aux_hash`,
    `context` and `datum`.
    """

    chain: str
    aux_hash: bytes
    target: int
    height: int
    previous_hash: bytes
    value_sat: int
    node: str
    chain_id: int | None = None
    context: bytes | None = None
    datum: bytes | None = None


@dataclass(frozen=True, slots=True)
class Commitment:
    """What one kind puts into the parent's coinbase for all its chains.

    `script_sig` goes behind the height push; `outputs` are scripts of zero-value outputs in front of the last one;
    `root` fills the last output. `slots` keeps, by chain name, what the kind needs later to prove a chain's place.
    """

    script_sig: bytes = b""
    outputs: tuple[bytes, ...] = ()
    root: bytes | None = None
    slots: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SolvedHeader:
    """A parent header whose proof of work met some target, with what is needed to prove its coinbase.

    `header` is 80 bytes; `coinbase` the stripped serialisation; `merkle_branch` folds the coinbase's txid into the
    header's root.
    """

    header: bytes
    coinbase: bytes
    merkle_branch: tuple[bytes, ...]




class ParentKind(Protocol):
    """A kind whose chains can be the parent: templates, blocks, proposals."""

    name: str

    def assemble(self, solved: SolvedHeader, template: ParentTemplate) -> dict[str, str]: ...

    def proposal(self, stripped_coinbase: bytes, template: ParentTemplate) -> dict[str, str]: ...


class AuxKind(Protocol):
    """A kind whose chains are mined along with a parent. Templates of all kinds with one `tree` are committed together,
    by any of them. A template of a kind with `many` is solved by every header that meets its target (a vote), of others
    once (a block)."""

    name: str
    tree: str
    many: bool

    def found_hash(self, template: AuxTemplate, header_hash: bytes) -> bytes:
        """What the chain's nodes know a solve by, natural order; `header_hash` is SHA-256d of the parent's header."""

    def commit(self, templates: Sequence[AuxTemplate]) -> Commitment: ...

    def provable(self, coinbase: bytes) -> bool:
        """Whether this stripped coinbase proves what it commits to; a miner's extranonce can spoil it by chance."""

    def assemble(self, solved: SolvedHeader, template: AuxTemplate, slot: Any) -> dict[str, str]: ...


@runtime_checkable
class ChainNode(Protocol):
    """One chain daemon. Every method raises NodeUnavailableError (chains/node_rpc.py) while it cannot answer."""

    name: str

    async def health(self) -> Health: ...

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer: ...

    async def block_status(self, hash_hex: str) -> BlockStatus: ...

    async def block_reward(self, hash_hex: str) -> int: ...

    async def close(self) -> None: ...


class ParentNode(ChainNode, Protocol):
    """A parent daemon; `template` with a longpoll id returns when something changed."""

    async def template(self, longpoll_id: str | None = None) -> ParentTemplate: ...

    async def propose(self, payload: Mapping[str, str]) -> str | None: ...


class AuxNode(ChainNode, Protocol):
    async def template(self) -> AuxTemplate: ...


class VoteNode(AuxNode, Protocol):
    """A daemon of a chain whose kind has `many`: `block_status` and `block_reward` take the hash of a vote."""

    async def income_at(self, height: int) -> BlockIncome | None:
        """What the main chain's block at a height pays us; None beyond its tip."""
