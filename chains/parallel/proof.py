"""Consensus proofs, of either mode, as one value; reading one checks everything that needs no other proof.

Root mode, in which the proofs are a chain of their own:

    header (80)  = version ‖ previous proof id ‖ merkle root ‖ time ‖ bits ‖ nonce;  id = SHA-256d, the proof of work
    merkle root  = txid of the only transaction, a Bitcoin coinbase: scriptSig begins with a push of the proof's height,
                   any outputs, the last of value 0 with script 6a28 ‖ R (32) ‖ nonce (8), lock time 0, no witness
    proof        = header ‖ varint len ‖ coinbase ‖ manifest

Aux mode, in which the network is merge-mined by the proofs of work of another chain (Merged Mining 2):

    datum (108)  = "PPA1" ‖ the network's context (32) ‖ previous proof id ‖ R (32) ‖ bits (4) ‖ time (4)
    id           = SHA-256d of datum ‖ SHA-256d of the parent's header
    proof        = datum ‖ varint len ‖ MM2 proof in its wire form ‖ manifest

Integers are little-endian, hashes in natural order.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.mm2_proof import proof as mm2
from chains.parallel.manifest import Manifest, ManifestOrderError, read_manifest
from chains.parallel.parameters import Mode, NetworkParameters
from chains.primitives.hashes import sha256d
from chains.primitives.header import Header, read_header
from chains.primitives.script import height_push, push, script_number
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.primitives.target import bits_to_target, meets
from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction

DATUM_MAGIC = b"PPA1"
ROOT_SCRIPT = b"\x6a\x28"  # OP_RETURN, push of 40 bytes
NONCE_SIZE = 8
MAX_COINBASE_SIZE = 10_000
MAX_MM2_PROOF_SIZE = 20_000  # 32 + 256 levels of 32 bytes and the rest
MAX_PROOF_SIZE = 40_000  # of either mode, with 256 chains


class InvalidProofError(ValueError):
    """Bytes that are no consensus proof; `reason` is a word with hyphens, of the table in docs/protocol/parallel.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ConsensusProof:
    """A proof whose own checks have passed. `time` in seconds, `wire` is its only spelling; `script_sig` is that of a
    root-mode coinbase, None in aux mode."""

    id: bytes
    previous: bytes
    commitment: bytes
    bits: int
    time: int
    manifest: Manifest
    wire: bytes
    script_sig: bytes | None = None

    def has_root(self, root: bytes) -> bool:
        """Whether the manifest has this root, of whichever chain."""
        return any(root == one for _, one in self.manifest.roots)

    def claims_height(self, height: int) -> bool:
        """Whether its coinbase begins with this height: pushed as a script number, or as BIP34 writes it (OP_1 to
        OP_16 up to 16). An aux-mode proof claims none."""
        sig = self.script_sig
        return sig is None or sig.startswith((push(script_number(height)), height_push(height)))


def read_proof(wire: bytes, parameters: NetworkParameters) -> ConsensusProof:
    """The proof of a wire form. Raises InvalidProofError with the first failing check's reason."""
    if len(wire) > MAX_PROOF_SIZE:
        raise InvalidProofError("malformed")
    try:
        return _read_root(wire, parameters) if parameters.mode == Mode.ROOT else _read_aux(wire, parameters)
    except ManifestOrderError as error:
        raise InvalidProofError("manifest-order") from error
    except MalformedError as error:
        raise InvalidProofError("malformed") from error


def _read_root(wire: bytes, parameters: NetworkParameters) -> ConsensusProof:
    reader = Reader(wire)
    header = read_header(reader)
    coinbase = reader.variable()
    manifest = read_manifest(reader)
    reader.finish()
    if len(coinbase) > MAX_COINBASE_SIZE:
        raise InvalidProofError("malformed")
    if sha256d(coinbase) != header.merkle_root:
        raise InvalidProofError("merkle-root")
    if not meets(header.hash, _target(header.bits, parameters)):
        raise InvalidProofError("high-hash")
    commitment, script_sig = _commitment_of(coinbase)
    if manifest.commitment() != commitment:
        raise InvalidProofError("manifest-root")
    previous, bits, time = header.previous_hash, header.bits, header.time
    return ConsensusProof(header.hash, previous, commitment, bits, time, manifest, wire, script_sig)


def _commitment_of(coinbase: bytes) -> tuple[bytes, bytes]:
    """R and the scriptSig of a root-mode coinbase."""
    try:
        transaction = parse_transaction(coinbase)
    except MalformedError as error:
        raise InvalidProofError("coinbase-form") from error
    last = transaction.outputs[-1] if transaction.outputs else TxOut(0, b"")
    good = (
        transaction.is_coinbase
        and transaction.serialize(witness=False) == coinbase
        and transaction.lock_time == 0
        and last.amount_sat == 0
        and len(last.script) == 42
        and last.script.startswith(ROOT_SCRIPT)
    )
    if not good:
        raise InvalidProofError("coinbase-form")
    return last.script[2:34], transaction.inputs[0].script_sig


def _read_aux(wire: bytes, parameters: NetworkParameters) -> ConsensusProof:
    reader = Reader(wire)
    datum = read_datum(reader, parameters.context)
    proof_wire = reader.variable()
    manifest = read_manifest(reader)
    reader.finish()
    if len(proof_wire) > MAX_MM2_PROOF_SIZE:
        raise InvalidProofError("malformed")
    proof = mm2.parse(proof_wire, parameters.context, datum.hash)
    verdict = mm2.verify(proof, parameters.context, _target(datum.bits, parameters), parameters.pow_name)
    if verdict != "ok":
        raise InvalidProofError(verdict)
    if manifest.commitment() != datum.commitment:
        raise InvalidProofError("manifest-root")
    proof_id = sha256d(datum.wire + sha256d(mm2.parent_header(proof)))
    return ConsensusProof(proof_id, datum.previous, datum.commitment, datum.bits, datum.time, manifest, wire)


def _target(bits: int, parameters: NetworkParameters) -> int:
    """The target that a proof states. That it is the right one, only the proof before it can tell."""
    try:
        target = bits_to_target(bits)
    except ValueError as error:
        raise InvalidProofError("bad-bits") from error
    if target > parameters.easiest_target:
        raise InvalidProofError("bad-bits")
    return target


# --- making one -----------------------------------------------------------------------------------------------------


def root_coinbase(height: int, commitment: bytes, tag: bytes, nonce: bytes = bytes(NONCE_SIZE)) -> bytes:
    """A root-mode coinbase without outputs of its own. A miner's extranonces are the nonce, so everything before the
    last 12 bytes is the same for all. Raises ValueError for a tag too long for a scriptSig."""
    script_sig = push(script_number(height)) + tag
    if not 2 <= len(script_sig) <= 100 or len(nonce) != NONCE_SIZE:
        raise ValueError("a coinbase scriptSig has 2 to 100 bytes, the nonce 8")
    output = TxOut(0, ROOT_SCRIPT + commitment + nonce)
    return Transaction(1, (TxIn(bytes(32), 0xFFFFFFFF, script_sig),), (output,)).serialize()


def root_wire(header: Header, coinbase: bytes, manifest: Manifest) -> bytes:
    return header.serialize() + compact_size(len(coinbase)) + coinbase + manifest.serialize()


@dataclass(frozen=True, slots=True)
class AuxDatum:
    """What an aux-mode proof commits to."""

    context: bytes
    previous: bytes
    commitment: bytes
    bits: int
    time: int

    @property
    def wire(self) -> bytes:
        numbers = self.bits.to_bytes(4, "little") + self.time.to_bytes(4, "little")
        return DATUM_MAGIC + self.context + self.previous + self.commitment + numbers

    @property
    def hash(self) -> bytes:
        """The auxiliary data hash, which a leaf of the outer tree holds."""
        return sha256d(self.wire)


def read_datum(reader: Reader, context: bytes) -> AuxDatum:
    """The datum at the reader's place, of this network. Raises MalformedError."""
    if reader.read(4) != DATUM_MAGIC or reader.hash32() != context:
        raise MalformedError("a datum begins with PPA1 and the network's context")
    return AuxDatum(context, reader.hash32(), reader.hash32(), reader.u32(), reader.u32())


def aux_wire(datum: AuxDatum, proof_wire: bytes, manifest: Manifest) -> bytes:
    return datum.wire + compact_size(len(proof_wire)) + proof_wire + manifest.serialize()
