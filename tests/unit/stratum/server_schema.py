"""What a line of the server must look like, said a second time and independently of stratum/messages.py.

Every line that a test receives goes through here: some firmware reboots on a wrong type.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_HEX = re.compile(r"([0-9a-f]{2})*")
_WORD = re.compile(r"[0-9a-f]{8}")
_HASH = re.compile(r"[0-9a-f]{64}")
_JOB_ID = re.compile(r"[0-9a-f]{1,32}")


class SchemaError(AssertionError):
    """The line breaks the protocol; the text says where."""


def _need(condition: bool, where: str, line: bytes) -> None:
    if not condition:
        raise SchemaError(f"{where} in {line!r}")


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return type(value) is str and pattern.fullmatch(value) is not None


def _check_notify(params: list[Any], line: bytes) -> None:
    _need(len(params) == 9, "nine parameters of mining.notify", line)
    job_id, previous, coinbase1, coinbase2, branch, version, bits, time, clean = params
    _need(_matches(_JOB_ID, job_id), "job id", line)
    _need(_matches(_HASH, previous), "previous hash", line)
    _need(_matches(_HEX, coinbase1) and len(coinbase1) > 0, "coinb1", line)
    _need(_matches(_HEX, coinbase2), "coinb2", line)
    _need(type(branch) is list and all(_matches(_HASH, node) for node in branch), "branch", line)
    _need(all(_matches(_WORD, word) for word in (version, bits, time)), "version, nbits, ntime", line)
    _need(type(clean) is bool, "clean_jobs", line)


def _check_call(message: dict[str, Any], line: bytes) -> None:
    params = message.get("params")
    _need(type(params) is list, "params", line)
    assert isinstance(params, list)
    match message["method"]:
        case "mining.notify":
            _check_notify(params, line)
        case "mining.set_difficulty":
            _need(len(params) == 1 and type(params[0]) in (int, float) and params[0] > 0, "difficulty", line)
            _need(type(params[0]) is int or params[0] != int(params[0]), "a whole difficulty is an integer", line)
        case "mining.set_extranonce":
            _need(len(params) == 2 and _matches(_HEX, params[0]), "extranonce1", line)
            _need(type(params[1]) is int and 0 < params[1] <= 8, "extranonce2 size", line)
        case "client.show_message":
            _need(len(params) == 1 and type(params[0]) is str, "message", line)
        case "client.reconnect":
            _need(params == [] or [type(p) for p in params] == [str, int, int], "nothing, or host, port, wait", line)
        case "client.get_version":
            _need(params == [] and type(message["id"]) is int, "get_version", line)
        case method:
            raise SchemaError(f"method {method!r} in {line!r}")


def check_server_line(line: bytes) -> dict[str, Any]:
    """Decode one line of ours and check it; raises SchemaError. Returns the message for further questions."""
    _need(line.endswith(b"\n") and line.count(b"\n") == 1, "one newline, at the end", line)
    message = msgspec.json.decode(line)
    _need(type(message) is dict, "object", line)
    if "method" in message:
        _need(set(message) == {"id", "method", "params"}, "members of a call", line)
        _check_call(message, line)
        return dict(message)
    _need(set(message) == {"id", "result", "error"}, "members of an answer", line)
    _need(message["id"] is None or type(message["id"]) in (int, str), "id", line)
    error = message["error"]
    if error is not None:
        _need(message["result"] is None, "result beside an error", line)
        _need(type(error) is list and len(error) == 3, "error of three", line)
        _need(error[0] in (20, 21, 22, 23, 24, 25, -3) and type(error[1]) is str and error[2] is None, "error", line)
    return dict(message)


def check_server_bytes(data: bytes) -> list[dict[str, Any]]:
    """check_server_line for everything sent so far, which must end with a whole line."""
    _need(data == b"" or data.endswith(b"\n"), "whole lines", data[-80:])
    return [check_server_line(line) for line in data.splitlines(keepends=True)]
