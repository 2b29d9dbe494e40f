"""Other names for miners, for a pool that does not want a block's split to list addresses.

A pseudonym is made of the chain and the address with a secret of the pool's: whoever has an address and not the secret
cannot tell its pseudonym, and the pseudonyms of one address on two chains have nothing in common.
"""

from __future__ import annotations

import hmac

NAME_BYTES = 10
"""80 bits: two miners with one name are not to be expected among billions."""


class Pseudonyms:
    """The names that a secret of at least 16 bytes makes."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) >= 16, "it would be guessed"
        self._secret = secret

    def name(self, chain: str, address: str) -> str:
        digest = hmac.digest(self._secret, f"{chain}\0{address}".encode(), "sha256")
        return f"miner-{digest[:NAME_BYTES].hex()}"
