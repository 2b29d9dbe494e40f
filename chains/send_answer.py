"""What a daemon's answer to `sendrawtransaction` means: the one place that reads those words.

Daemons that grew out of Bitcoin Core say the same thing in the words of their own age: 0.14 (Dogecoin 1.14) puts the
reject code in front ("66: min relay fee not met"), 0.19 stopped calling a waiting transaction an error, 28 speaks of
outputs in the UTXO set. So the text decides and the code helps; what neither settles is REJECTED, word for word. No
answer says that a transaction is dead: that takes a look at our own txid and at what spends its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains.wallet import SendAnswer, SendResult

# Bitcoin Core, src/rpc/protocol.h
RPC_ALREADY_IN_CHAIN = -27  # RPC_VERIFY_ALREADY_IN_UTXO_SET since 28
# Errors that say something about the node and nothing about the transaction, so that they count as an outage: out of
# memory, not connected, initial download, database, warming up, no peer-to-peer, internal error, no such method.
NODE_TROUBLE = frozenset({-7, -9, -10, -20, -28, -31, -32603, -32601})

# Parts of the messages, in lower case, looked for in this order.
_WORDS: tuple[tuple[SendResult, tuple[str, ...]], ...] = (
    (SendResult.CONFIRMED, ("already in block chain", "already in utxo set", "txn-already-known")),
    # The same txid with another signature waits: what is paid is the same, and txid is what we follow.
    (SendResult.KNOWN, ("already-in-mempool", "already in mempool", "txn-same-nonwitness-data-in-mempool")),
    (
        SendResult.FEE_TOO_LOW,
        (
            "min relay fee not met",
            "min fee not met",
            "mempool full",
            "insufficient fee",  # a replacement that pays too little
            "insufficient priority",  # 0.14
        ),
    ),
    (
        SendResult.MISSING_INPUTS,
        (
            "missingorspent",
            "missing inputs",
            "missing-inputs",
            "inputs-spent",
            "txn-mempool-conflict",  # spent by another waiting transaction
            "bad-txns-spends-conflicting-tx",
        ),
    ),
)

# Of the answers of several nodes the first in this list counts. A node that only wants more fee has seen the inputs,
# which one that misses them may not have yet.
_BEST_FIRST = (
    SendResult.CONFIRMED,
    SendResult.SENT,
    SendResult.KNOWN,
    SendResult.FEE_TOO_LOW,
    SendResult.MISSING_INPUTS,
    SendResult.REJECTED,
)

# Refusals that we know the meaning of; any other REJECTED is worth a line in the log.
_KNOWN_REFUSALS = (
    "bad-txns-",
    "mandatory-script-verify-flag-failed",
    "non-mandatory-script-verify-flag",
    "max-fee-exceeded",
    "fee exceeds maximum",
    "absurdly-high-fee",
    "non-final",
    "non-bip68-final",
    "too-long-mempool-chain",
    "dust",
    "scriptpubkey",
    "tx-size",
    "tx decode failed",
)


def classify(code: int, message: str) -> SendAnswer | None:
    """The meaning of an error object; None when it is an outage of the node."""
    if code in NODE_TROUBLE:
        return None
    reason = f"{message} ({code})"
    text = message.lower()
    for result, words in _WORDS:
        if any(word in text for word in words):
            return SendAnswer(result, reason)
    if code == RPC_ALREADY_IN_CHAIN:
        return SendAnswer(SendResult.CONFIRMED, reason)
    return SendAnswer(SendResult.REJECTED, reason)


def is_known_refusal(reason: str) -> bool:
    """Whether a REJECTED answer is one of those that this file foresees."""
    text = reason.lower()
    return any(word in text for word in _KNOWN_REFUSALS)


def already_there(reason: str) -> bool:
    """Whether a refusal of `testmempoolaccept` only says that the node has the transaction."""
    answer = classify(0, reason)
    return answer is not None and answer.result in (SendResult.CONFIRMED, SendResult.KNOWN)


def best(answers: Sequence[SendAnswer]) -> SendAnswer:
    """The answer that counts of at least one."""
    return min(answers, key=lambda answer: _BEST_FIRST.index(answer.result))
