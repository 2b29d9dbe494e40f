"""What the bitcoin kind keeps and allows, and where each number comes from."""

from __future__ import annotations

# Deployments whose rules a block of ours keeps by construction: csv and taproot bind transactions only, which the node
# has checked. segwit and mweb ask something of the block; a network names them in `template_rules`.
HARMLESS_RULES = frozenset({"csv", "taproot"})

WITNESS_COMMITMENT_HEADER = bytes.fromhex("6a24aa21a9ed")  # BIP141: OP_RETURN, push 36, magic
MM1_MAGIC = bytes.fromhex("fabe6d6d")  # docs of Namecoin: merged mining specification
COINBASE_VERSION = 1
NONCE_SIZE = 8  # the MM2 draft's last txout nonce: extranonce1 ‖ extranonce2

# A tip whose headers are further ahead than this is not worth mining on; a few are normal while blocks arrive.
MAX_HEADERS_AHEAD = 3

# The node validates the whole block before it answers; large ones take seconds on a slow disk.
SUBMIT_TIMEOUT_S = 30.0
# Bitcoin Core keeps a thread for each long poll, even an abandoned one, until its mempool or tip changes; with the
# default of 4 to 16 RPC threads, giving up early would use them all. So hold on, and let a broken connection end it.
LONG_POLL_TIMEOUT_S = 3600.0
