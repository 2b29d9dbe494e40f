"""A vote: a datum that names a block, a leader and a payee, and the parent's proof of work that commits to it.

Votes are merge-mined as Merged Mining 2 data, so one parent header proves at most one vote per context (PoW uniqueness,
docs/protocol/mm2.md). The vote's identity and its size are the hash of that header, never the bytes of the proof: the
same vote has many encodings (where the coinbase was split, how deep the tree is), and counting them twice would count
one proof of work twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coincurve import PublicKeyXOnly

from chains.mm2_proof import proof as mm2
from chains.primitives.hashes import sha256d
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.primitives.target import MAX_TARGET
from chains.votes.rules import VoteRules

KEY_SIZE = 32
MAX_SCRIPT = 80
"""Longer payout scripts are nothing that pays one payee."""

MAX_VOTE_BYTES = 12_000
"""Largest vote on the wire: a datum of 181 bytes, 32 levels of the parent's tree, 256 of the MM2 tree, the rest."""

_TIME_AT = 68


@dataclass(frozen=True, slots=True)
class VoteDatum:
    """What a miner commits to: the block voted for, the leader key (x-only, BIP340) and the script that is paid."""

    previous: bytes
    leader_key: bytes
    script: bytes

    def serialize(self, rules: VoteRules) -> bytes:
        """`magic(4) ‖ context(32) ‖ previous(32) ‖ leader key(32) ‖ length(1) ‖ script`. Raises ValueError."""
        if len(self.previous) != 32 or len(self.leader_key) != KEY_SIZE or len(self.script) > MAX_SCRIPT:
            raise ValueError("a vote names a block and a key of 32 bytes each and a script of at most 80")
        head = rules.magic + rules.context + self.previous + self.leader_key
        return head + bytes((len(self.script),)) + self.script


@dataclass(frozen=True, slots=True)
class ProvenWork:
    """What a proof proves: the parent's header hash (natural order) and that header's time (seconds since 1970)."""

    hash: bytes
    time_s: int


ProofReader = Callable[[bytes, bytes, bytes], "ProvenWork | str"]
"""(proof, context, auxiliary hash) → the work, or a reason word. The network reads MM2 proofs; a simulation, which
draws its hashes, hands in another reader, and everything else stays the code that it is."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote whose proof was read. `id` is the parent's header hash, `size` the same as a number: smaller leads."""

    datum: VoteDatum
    datum_bytes: bytes
    proof: bytes
    id: bytes
    size: int
    time_s: int

    @property
    def previous(self) -> bytes:
        return self.datum.previous

    def serialize(self) -> bytes:
        """Wire form: the datum with its length in front, then the proof to the end."""
        return compact_size(len(self.datum_bytes)) + self.datum_bytes + self.proof


class VoteError(ValueError):
    """A vote that no block and no target could make valid; `reason` is the first failing check's word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_mm2_work(wire: bytes, context: bytes, aux_hash: bytes) -> ProvenWork | str:
    """The work of an MM2 proof in wire form, whatever its size; the reason words are those of docs/protocol/mm2.md."""
    try:
        parsed = mm2.parse(wire, context, aux_hash)
    except MalformedError:
        return "malformed-proof"
    verdict = mm2.verify(parsed, context, MAX_TARGET)
    if verdict != "ok":
        return verdict
    header = mm2.parent_header(parsed)
    return ProvenWork(sha256d(header), int.from_bytes(header[_TIME_AT : _TIME_AT + 4], "little"))


def read_vote(wire: bytes, rules: VoteRules, read_proof: ProofReader = read_mm2_work) -> Vote:
    """The vote in its wire form. Raises VoteError."""
    reader = Reader(wire)
    try:
        datum = reader.variable()
    except MalformedError as error:
        raise VoteError("vote-malformed") from error
    return make_vote(datum, wire[reader.position :], rules, read_proof)


def make_vote(datum: bytes, proof: bytes, rules: VoteRules, read_proof: ProofReader = read_mm2_work) -> Vote:
    """A vote of its two parts. Raises VoteError; order of checks: form, context, key, proof."""
    parsed = read_datum(datum, rules)
    work = read_proof(proof, rules.context, sha256d(datum))
    if isinstance(work, str):
        raise VoteError(f"vote-proof-{work}")
    return Vote(parsed, datum, proof, work.hash, int.from_bytes(work.hash, "little"), work.time_s)


def read_datum(datum: bytes, rules: VoteRules) -> VoteDatum:
    """The fields of a datum of this chain. Raises VoteError."""
    reader = Reader(datum)
    try:
        magic, context = reader.read(4), reader.read(32)
        parsed = VoteDatum(reader.read(32), reader.read(KEY_SIZE), reader.read(reader.read(1)[0]))
        reader.finish()
    except MalformedError as error:
        raise VoteError("vote-malformed") from error
    if len(parsed.script) > MAX_SCRIPT:
        raise VoteError("vote-malformed")
    if magic != rules.magic or context != rules.context:
        raise VoteError("vote-context")
    if not is_key(parsed.leader_key):
        raise VoteError("vote-leader-key")
    return parsed


def is_key(key: bytes) -> bool:
    """Whether 32 bytes are the x coordinate of a point (BIP340, `lift_x`)."""
    try:
        PublicKeyXOnly(key)
    except ValueError:
        return False
    return True
