"""Lines the server sends, as bytes with their newline.

The formats are flat enough for bytes formatting, which costs a fifth of any encoder. The tests say the same a second
time and check every line that was sent by it: firmware has been crashed by a wrong type in a notify (ESP-Miner #1880).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stratum.vardiff import wire_number

_encode = msgspec.json.encode


def result(request_id: bytes, value: object) -> bytes:
    return b'{"id":%b,"result":%b,"error":null}\n' % (request_id, _encode(value))


def error(request_id: bytes, wire: bytes) -> bytes:
    """`wire` is StratumError.wire."""
    return b'{"id":%b,"result":null,"error":%b}\n' % (request_id, wire)


def subscribe_result(request_id: bytes, session_id: str, extranonce1: bytes, extranonce2_size: int) -> bytes:
    return (
        b'{"id":%b,"result":[[["mining.set_difficulty","%b"],["mining.notify","%b"]],"%b",%d],"error":null}\n'
        % (request_id, session_id.encode(), session_id.encode(), extranonce1.hex().encode(), extranonce2_size)
    )


def set_difficulty(difficulty: float) -> bytes:
    return b'{"id":null,"method":"mining.set_difficulty","params":[%b]}\n' % wire_number(difficulty)


def set_extranonce(extranonce1: bytes, extranonce2_size: int) -> bytes:
    return b'{"id":null,"method":"mining.set_extranonce","params":["%b",%d]}\n' % (
        extranonce1.hex().encode(),
        extranonce2_size,
    )


def show_message(text: str) -> bytes:
    return b'{"id":null,"method":"client.show_message","params":[%b]}\n' % _encode(text)


# The one question of ours. Its id is far from a miner's own counter, which some clients would mistake it for.
GET_VERSION_ID = b"1073741824"
GET_VERSION = b'{"id":%b,"method":"client.get_version","params":[]}\n' % GET_VERSION_ID


# Without parameters: come back to where you are.
RECONNECT = b'{"id":null,"method":"client.reconnect","params":[]}\n'


def reconnect_to(host: str, port: int) -> bytes:
    """client.reconnect to another place, at once. Only for one that the port's own configuration names: naming hosts
    is how miners are stolen."""
    return b'{"id":null,"method":"client.reconnect","params":[%b,%d,0]}\n' % (_encode(host), port)


def stratum_previous_hash(block_hash: bytes) -> str:
    """The notify's prevhash: natural bytes with every 4-byte word reversed (Stratum's oldest quirk)."""
    return b"".join(block_hash[i : i + 4][::-1] for i in range(0, 32, 4)).hex()


def notify(
    job_id: str,
    previous_hash: bytes,
    coinbase1: bytes,
    coinbase2: bytes,
    branch: Sequence[bytes],
    version: int,
    bits: int,
    time_s: int,
    clean: bool,
) -> bytes:
    """A mining.notify line; hashes in natural order, version, bits and time as numbers."""
    return b'{"id":null,"method":"mining.notify","params":%b}\n' % _encode(
        [
            job_id,
            stratum_previous_hash(previous_hash),
            coinbase1.hex(),
            coinbase2.hex(),
            [node.hex() for node in branch],
            f"{version & 0xFFFFFFFF:08x}",
            f"{bits:08x}",
            f"{time_s:08x}",
            clean,
        ]
    )
