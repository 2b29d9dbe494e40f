"""Transactions with and without witness (BIP144), exact to the byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from chains.primitives.hashes import sha256d
from chains.primitives.serialize import MalformedError, Reader, compact_size

NULL_HASH = bytes(32)
NULL_INDEX = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TxIn:
    """An input: the outpoint (txid in natural order), scriptSig, sequence and witness stack."""

    previous_txid: bytes
    previous_index: int
    script_sig: bytes
    sequence: int = 0xFFFFFFFF
    witness: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class TxOut:
    """An output: amount in the chain's smallest unit, and its script."""

    amount_sat: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    lock_time: int = 0

    def serialize(self, *, witness: bool = True) -> bytes:
        """Wire form. With `witness`, marker and witness stacks are there only when some input has one (BIP144)."""
        with_witness = witness and any(i.witness for i in self.inputs)
        parts = [struct.pack("<i", self.version)]
        if with_witness:
            parts.append(b"\x00\x01")
        parts.append(compact_size(len(self.inputs)))
        for i in self.inputs:
            parts += (i.previous_txid, struct.pack("<I", i.previous_index), compact_size(len(i.script_sig)))
            parts += (i.script_sig, struct.pack("<I", i.sequence))
        parts.append(compact_size(len(self.outputs)))
        for o in self.outputs:
            parts += (struct.pack("<Q", o.amount_sat), compact_size(len(o.script)), o.script)
        if with_witness:
            for i in self.inputs:
                parts.append(compact_size(len(i.witness)))
                for item in i.witness:
                    parts += (compact_size(len(item)), item)
        parts.append(struct.pack("<I", self.lock_time))
        return b"".join(parts)

    @property
    def txid(self) -> bytes:
        return sha256d(self.serialize(witness=False))

    @property
    def wtxid(self) -> bytes:
        return sha256d(self.serialize())

    @property
    def weight(self) -> int:
        """BIP141: three times the stripped size plus the whole size."""
        return 3 * len(self.serialize(witness=False)) + len(self.serialize())

    @property
    def is_coinbase(self) -> bool:
        return len(self.inputs) == 1 and (self.inputs[0].previous_txid, self.inputs[0].previous_index) == (
            NULL_HASH,
            NULL_INDEX,
        )


def _read_input(reader: Reader) -> TxIn:
    return TxIn(reader.hash32(), reader.u32(), reader.variable(), reader.u32())


def read_output(reader: Reader) -> TxOut:
    """The output at the reader's place. Raises MalformedError."""
    return TxOut(reader.u64(), reader.variable())


def read_transaction(reader: Reader) -> Transaction:
    """The transaction at the reader's place, in either form. A real transaction has at least one input, so a zero
    count is BIP144's marker. Raises MalformedError."""
    version = reader.i32()
    start = reader.position
    has_witness = False
    if reader.read(1) == b"\x00":
        if reader.read(1) != b"\x01":
            raise MalformedError("unknown transaction flag")
        has_witness = True
    else:
        reader.position = start
    inputs = reader.many(lambda: _read_input(reader))
    outputs = reader.many(lambda: read_output(reader))
    if has_witness:
        stacks = [tuple(reader.many(reader.variable)) for _ in inputs]
        if not any(stacks):
            raise MalformedError("superfluous witness")
        inputs = [
            TxIn(i.previous_txid, i.previous_index, i.script_sig, i.sequence, stack)
            for i, stack in zip(inputs, stacks, strict=True)
        ]
    return Transaction(version, tuple(inputs), tuple(outputs), reader.u32())


def parse_transaction(data: bytes) -> Transaction:
    """Exactly one transaction. Raises MalformedError."""
    reader = Reader(data)
    transaction = read_transaction(reader)
    reader.finish()
    return transaction
