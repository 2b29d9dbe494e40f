"""The parent's coinbase: the one transaction that pays the pool and carries every chain's commitment.

Its stripped bytes are `coinb1 ‖ nonce(8) ‖ coinb2`, where the eight bytes are the miner's extranonces and at the same
time the MM2 draft's last txout nonce (docs/protocol/mm2.md): the last 44 bytes are
`root ‖ nonce ‖ 00000000`. All miners of a job share `coinb1`. Outputs in order: payout, witness commitment, outputs of
other chains, MM2 last.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from chains.bitcoin.params import COINBASE_VERSION, MM1_MAGIC, NONCE_SIZE
from chains.kind import ParentTemplate
from chains.primitives.script import MAX_SCRIPT_SIG, height_push, push
from chains.primitives.serialize import compact_size
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, TxOut

ZERO_ROOT = bytes(32)
LOCK_TIME = bytes(4)  # MM2 reading R12
SEQUENCE = 0xFFFFFFFF
# BIP141: the reserved value that default_witness_commitment is made for, as a stack of one item.
COINBASE_WITNESS = b"\x01\x20" + bytes(32)
_LAST_SCRIPT_HEAD = bytes.fromhex("6a28")  # OP_RETURN, push 40: root and nonce
_SCRIPT_SIG_AT = 4 + 1 + 32 + 4 + 1
_MARKER_FLAG = b"\x00\x01"


class CoinbaseError(ValueError):
    """A coinbase that no node or no merged chain would accept."""


class CoinbaseTooLongError(CoinbaseError):
    """The scriptSig has more than 100 bytes; the message names its parts and their lengths."""


@dataclass(frozen=True, slots=True)
class Coinbase:
    """A coinbase but for its nonce. `coinb1` ends behind the 32-byte root, or, when the nonce has another size than the
    MM2 draft's eight bytes, inside the scriptSig."""

    coinb1: bytes
    coinb2: bytes = LOCK_TIME
    nonce_size: int = NONCE_SIZE

    def stripped(self, nonce: bytes) -> bytes:
        """The serialisation without witness, of which the txid is made, with these nonce bytes (both extranonces)."""
        if len(nonce) != self.nonce_size:
            raise ValueError(f"the nonce has {self.nonce_size} bytes, not {len(nonce)}")
        return self.coinb1 + nonce + self.coinb2


def build_coinbase(
    template: ParentTemplate,
    script_sig_parts: Iterable[tuple[str, bytes]],
    payout_script: bytes,
    extra_outputs: Iterable[bytes] = (),
    root: bytes = ZERO_ROOT,
    nonce_size: int = NONCE_SIZE,
    sequence: int = SEQUENCE,
) -> Coinbase:
    """The coinbase of a template.

    `script_sig_parts` are (name, script bytes) in their order behind the height and the node's own part; pushes are the
    caller's. `extra_outputs` are scripts of outputs without value. `root` is the MM2 root, or zeros. Miners who need
    more nonce bytes than the last output has (`nonce_size` other than 8) find them at the end of the scriptSig, and the
    last output's are zeros. `sequence` is the input's, which no rule looks at in a coinbase. Raises CoinbaseError.
    """
    if len(root) != 32:
        raise ValueError(f"the root has 32 bytes, not {len(root)}")
    named = [("height", height_push(template.height)), ("coinbaseaux", template.coinbase_aux), *script_sig_parts]
    if nonce_size != NONCE_SIZE:
        named.append(("extranonces", push(bytes(nonce_size))))
    script_sig = _script_sig(named)
    outputs = [TxOut(template.value_sat, payout_script)]
    if template.witness_commitment is not None:
        outputs.append(TxOut(0, template.witness_commitment))
    outputs += (TxOut(0, script) for script in extra_outputs)
    outputs.append(TxOut(0, _LAST_SCRIPT_HEAD + root + bytes(NONCE_SIZE)))
    parts = [struct.pack("<i", COINBASE_VERSION), compact_size(1), NULL_HASH, struct.pack("<I", NULL_INDEX)]
    parts += (compact_size(len(script_sig)), script_sig, struct.pack("<I", sequence), compact_size(len(outputs)))
    for output in outputs:
        parts += (struct.pack("<Q", output.amount_sat), compact_size(len(output.script)), output.script)
    whole = b"".join(parts)
    if nonce_size == NONCE_SIZE:
        return Coinbase(whole[:-NONCE_SIZE])
    # The scriptSig's end: behind version, count, outpoint and the script's length.
    end = _SCRIPT_SIG_AT + len(script_sig)
    return Coinbase(whole[: end - nonce_size], whole[end:] + LOCK_TIME, nonce_size)


def with_witness(stripped: bytes) -> bytes:
    """The BIP144 form of a stripped coinbase: marker, flag and the reserved value. A block whose template has a witness
    commitment needs it; submitblock forgives its absence, proposals do not."""
    return stripped[:4] + _MARKER_FLAG + stripped[4:-4] + COINBASE_WITNESS + stripped[-4:]


def _script_sig(parts: list[tuple[str, bytes]]) -> bytes:
    script = b"".join(part for _, part in parts)
    if len(script) > MAX_SCRIPT_SIG:
        lengths = ", ".join(f"{name} {len(part)}" for name, part in parts if part)
        raise CoinbaseTooLongError(f"coinbase scriptSig of {len(script)} bytes, {MAX_SCRIPT_SIG} allowed: {lengths}")
    if len(script) < 2:  # heights up to 16 are one byte
        script += b"\x00"
    if script.count(MM1_MAGIC) > 1:
        raise CoinbaseError("the merged mining mark fabe6d6d stands twice in the coinbase, so no chain would accept it")
    return script
