"""What one reference chain is made of: its constants as data, so that tests can bend one rule at a time.

The defaults are those of Bitcoin Core's regtest, with a coinbase maturity of 10 and no halving, so that a demonstration
sees rewards mature within minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chains.primitives.address import AddressFormat
from chains.primitives.target import target_to_bits

COIN_SAT = 100_000_000
MAX_MONEY_SAT = 21_000_000 * COIN_SAT

# Address forms of regtest networks: Bitcoin's (Namecoin's base58 versions are the same there), and one without bech32
# for chains that have no segwit (Dogecoin).
WITNESS_ADDRESSES = AddressFormat(0x6F, (0xC4,), "bcrt")
LEGACY_ADDRESSES = AddressFormat(0x6F, (0xC4,), None)

REGTEST_BITS = 0x207FFFFF
MEDIAN_TIME_SPAN = 11  # blocks whose median time a new block must exceed (Core's nMedianTimeSpan)
MAX_FUTURE_S = 7200  # a block may be two hours ahead of the node's clock (Core's MAX_FUTURE_BLOCK_TIME)
MAX_WEIGHT = 4_000_000  # BIP141
MAX_STRIPPED_SIZE = 1_000_000
RELAY_FEE_SAT = 1000  # per 1000 virtual bytes (Core's DEFAULT_MIN_RELAY_TX_FEE until 30)
MAX_FEE_RATE_SAT = 10_000_000  # per 1000 virtual bytes; beyond, sendrawtransaction asks whether that was meant
GENESIS_TIME_S = 1_700_000_000

# Where retargeting starts and where it ends: about 4 s of a 250 kH/s miner, and a sixteenth of that.
START_EXPECTED_HASHES = 2**20
LEAST_EXPECTED_HASHES = 2**16


def target_of_work(expected_hashes: int) -> int:
    """The target that this many hashes meet on average."""
    return 2**256 // expected_hashes - 1


@dataclass(frozen=True, slots=True)
class Rules:
    """One chain's rules. Amounts in satoshi, times in seconds, targets as integers.

    `start_bits` holds for every block when `block_interval_s` is None; otherwise it is the genesis block's and each
    further block retargets towards that interval, never beyond `max_target`. `witness` switches BIP141 and BIP144.
    `version` is the base block version of templates. `old_wallet` gives the wallet and mempool the RPC of Core 0.14,
    which Dogecoin 1.14 has: no PSBT, no dry run, other words.
    """

    name: str
    seed: str
    subsidy_sat: int = 50 * COIN_SAT
    maturity: int = 10
    witness: bool = True
    start_bits: int = REGTEST_BITS
    block_interval_s: int | None = None
    max_target: int = field(default=2**255 - 1)
    version: int = 0x20000000
    chain_name: str = "regtest"
    old_wallet: bool = False

    @property
    def addresses(self) -> AddressFormat:
        return WITNESS_ADDRESSES if self.witness else LEGACY_ADDRESSES


def retargeting_bits(expected_hashes: int = START_EXPECTED_HASHES) -> int:
    return target_to_bits(target_of_work(expected_hashes))
