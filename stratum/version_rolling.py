"""BIP310 version rolling: which bits of the block version a miner may turn, and what a submission says about them.

The default mask 1fffe000 is BIP320's: bits 13 to 28. Everything is a 32-bit number, eight hex digits big-endian on the
wire.
"""

from __future__ import annotations

BIP320_MASK = 0x1FFFE000


def parse_word(text: object) -> int | None:
    """Eight hex digits of any case as a number; None for anything else (int() alone takes signs, blanks and 0x)."""
    if type(text) is not str or len(text) != 8:
        return None
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    return int.from_bytes(data, "big") if len(data) == 4 else None


def negotiate(server_mask: int, requested: object) -> int | None:
    """The mask to answer with: ours and the miner's (`version-rolling.mask`, all bits when it names none).

    None when the request is not eight hex digits. Zero means that nothing may roll.
    """
    if requested is None:
        return server_mask
    if type(requested) is str and 0 < len(requested) < 8:
        requested = requested.rjust(8, "0")  # "1fffe000" written by a printf without leading zeros
    mask = parse_word(requested)
    return None if mask is None else server_mask & mask
