"""What a job promises for the work on one chain, where shares are bought."""

from __future__ import annotations

from typing import NamedTuple


class PayRate(NamedTuple):
    """`work` expected hashes are worth `subsidy` (PPS), or `subsidy` and mean `fees` (FPPS), in smallest units, the
    pool's fee not taken off yet.
    """

    subsidy: int
    fees: int
    work: int
