"""Reading the parameters of mining.submit: [worker, job_id, extranonce2, ntime, nonce, version_bits?].

The order of checks is visible and tested: shape, worker, lengths, hex, version bits; the rest (job, ntime, target,
duplicate) is the pool's. A well-formed submission of an unknown worker is the pool's to refuse as well: a miner that
resumes may send what it found before it logs in, and the hash may be a block. Lengths are exact: where ckpool pads and
cuts, two spellings of one share exist, and node-stratum-pool paid some twice. Parameters beyond the sixth are ignored.

`scan` reads the plain form of the whole line in C, where that was compiled (None elsewhere), and gives what jsonrpc.py
and read_submit() give; anything else than a plain and well-formed line it leaves to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stratum import errors
from stratum.errors import StratumError
from stratum.events import Submit
from stratum.jsonrpc import Request
from stratum.version_rolling import parse_word

scan: Callable[[bytes, int, type[Submit]], Submit | None] | None
try:
    from stratum._submit_scan import scan
except ImportError:
    scan = None

_SHAPE = errors.other("Expected [worker, job_id, extranonce2, ntime, nonce] as strings")
_WORDS = errors.other("ntime and nonce must be 8 hex digits each")
_HEX = errors.other("extranonce2, ntime and nonce must be hex digits")
_VERSION = errors.other("version_bits must be 8 hex digits")
_LENGTHS = {digits: errors.other(f"extranonce2 must be {digits} hex digits") for digits in range(2, 18, 2)}


def read_submit(
    request: Request, workers: Mapping[str, object], extranonce2_digits: int
) -> Submit | StratumError:
    """A Submit, or the refusal. Unknown workers and version bits outside the negotiated mask are the pool's to refuse,
    because the hash may still be a block."""
    params: Any = request.params
    if type(params) is not list or len(params) < 5:
        return _SHAPE
    worker, job_id, extranonce2, ntime, nonce = params[:5]
    if not (type(worker) is type(job_id) is type(extranonce2) is type(ntime) is type(nonce) is str):
        return _SHAPE
    stranger = None if worker in workers else errors.UNAUTHORIZED  # precedes whatever is wrong behind it
    if len(extranonce2) != extranonce2_digits:
        return stranger or _LENGTHS[extranonce2_digits]
    if len(ntime) != 8 or len(nonce) != 8:
        return stranger or _WORDS
    try:
        data = bytes.fromhex(extranonce2 + ntime + nonce)
    except ValueError:
        return stranger or _HEX
    if 2 * len(data) != extranonce2_digits + 16:  # fromhex() passes over blanks
        return stranger or _HEX
    version_bits = None
    if len(params) > 5 and params[5] is not None:
        version_bits = parse_word(params[5])
        if version_bits is None:
            return stranger or _VERSION
    size = extranonce2_digits >> 1
    return Submit(
        request.id or b"null",
        worker,
        job_id.lower(),
        data[:size],
        int.from_bytes(data[size : size + 4], "big"),
        int.from_bytes(data[size + 4 :], "big"),
        version_bits,
    )
