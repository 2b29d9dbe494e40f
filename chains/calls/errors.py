"""JSON-RPC errors with Bitcoin Core's numbers (src/rpc/protocol.h), so that its clients understand ours."""

from __future__ import annotations

MISC = -1
TYPE = -3
WALLET = -4
NOT_FOUND = -5  # RPC_INVALID_ADDRESS_OR_KEY: no such block, vote, transaction, address
INSUFFICIENT_FUNDS = -6
INVALID_PARAMETER = -8
NOT_CONNECTED = -9
IN_INITIAL_DOWNLOAD = -10
DESERIALIZATION = -22
VERIFY_ERROR = -25
VERIFY_REJECTED = -26
ALREADY_IN_CHAIN = -27
IN_WARMUP = -28
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
PARSE = -32700

# Core's HTTP status of an error object; every other error is 500.
HTTP_STATUS = {INVALID_REQUEST: 400, METHOD_NOT_FOUND: 404}


class CallError(Exception):
    """An answer with an error object: a function of a call raises it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
