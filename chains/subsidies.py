"""What a block of each family creates by its height, the fees left out: the base of PPS and FPPS.

Numbers come from each family's own node (GetBlockSubsidy in `validation.cpp`, `chainparams.cpp`). A family that is not
here has no schedule that we know: its shares cannot be bought, only its blocks divided.
"""

from __future__ import annotations

from dataclasses import dataclass

COIN = 100_000_000


@dataclass(frozen=True, slots=True)
class Subsidy:
    """`initial` smallest units, halved every `interval` blocks; from the `halvings`-th halving on, `tail`. An interval
    of 0 never halves.
    """

    initial: int
    interval: int
    halvings: int = 64
    tail: int = 0

    def at(self, height: int) -> int:
        """What the block of this height creates, in smallest units."""
        if self.interval == 0:
            return self.initial
        halved = height // self.interval
        return self.initial >> halved if halved < self.halvings else self.tail


_BITCOIN = Subsidy(50 * COIN, 210_000)
_BITCOIN_REGTEST = Subsidy(50 * COIN, 150)
# Litecoin Core, chainparams.cpp: nSubsidyHalvingInterval.
_LITECOIN = Subsidy(50 * COIN, 840_000)
# Dogecoin Core, dogecoin.cpp GetDogecoinBlockSubsidy: 10,000 for ever after six intervals. Before block 145,000 of the
# main and 145,000 of the test network rewards were random; nobody mines those any more.
_DOGECOIN = Subsidy(500_000 * COIN, 100_000, 6, 10_000 * COIN)
_DOGECOIN_REGTEST = Subsidy(500_000 * COIN, 150, 6, 10_000 * COIN)
# Our own reference nodes (chains/reference/rules.py).
_DEVNET = Subsidy(50 * COIN, 0)

SUBSIDIES: dict[tuple[str, str], Subsidy] = {
    ("bitcoin", "main"): _BITCOIN,
    ("bitcoin", "test"): _BITCOIN,
    ("bitcoin", "regtest"): _BITCOIN_REGTEST,
    ("litecoin", "main"): _LITECOIN,
    ("litecoin", "test"): _LITECOIN,
    ("litecoin", "regtest"): _BITCOIN_REGTEST,
    ("namecoin", "main"): _BITCOIN,
    ("namecoin", "test"): _BITCOIN,
    ("namecoin", "regtest"): _BITCOIN_REGTEST,
    ("dogecoin", "main"): _DOGECOIN,
    ("dogecoin", "test"): _DOGECOIN,
    ("dogecoin", "regtest"): _DOGECOIN_REGTEST,
    ("devnet", "regtest"): _DEVNET,
    ("devnet-scrypt", "regtest"): _DEVNET,
}
