"""MM1 chains as data: JSON-RPC dialects and known chain ids. Odd dialects are set field by field in YAML.

The chain id always comes from the node's answer; the table here only serves to warn. Sources: the chains' own code, but
Crown from a block header and Elastos from its documentation.
"""

from __future__ import annotations

from dataclasses import dataclass

KNOWN_CHAIN_IDS: dict[int, str] = {
    1: "namecoin",
    16: "syscoin",
    20: "crown",
    63: "pepecoin",
    86: "viacoin",
    90: "myriad",
    98: "dogecoin",
    1224: "elastos",
    1829: "xaya",
    4096: "syscoin before its switch to 16",
    8228: "fractal",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a family's node spells the MM1 calls and their answers; Namecoin's words unless told otherwise.

    A chain without `create_method` is asked with `get_method`, whose wallet then owns the coinbase. `target_key` may be
    absent in an answer that has the other common spelling or `bits`. `bad_address_code` is the error that means "the
    payout address is none of mine". `single_address_cache`: the daemon keeps one template whatever the address, so it
    must serve one address only (Dogecoin, src/rpc/mining.cpp). `strict_chain_id`: a parent version carrying the chain's
    own id is refused (all known chains but Myriad). `pow_hash`: the parent's proof-of-work hash.
    """

    create_method: str = "createauxblock"
    submit_method: str = "submitauxblock"
    get_method: str = "getauxblock"
    hash_key: str = "hash"
    chain_id_key: str = "chainid"
    previous_key: str = "previousblockhash"
    value_key: str = "coinbasevalue"
    bits_key: str = "bits"
    height_key: str = "height"
    target_key: str = "_target"
    bad_address_code: int = -5
    single_address_cache: bool = False
    strict_chain_id: bool = True


NAMECOIN = Dialect()
DOGECOIN = Dialect(target_key="target", bad_address_code=-8, single_address_cache=True)
DIALECTS: dict[str, Dialect] = {"namecoin": NAMECOIN, "dogecoin": DOGECOIN}
