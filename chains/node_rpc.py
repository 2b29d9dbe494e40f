"""JSON-RPC over HTTP to a chain daemon: one object per node, and only two ways to fail.

`RpcError` is the node's own answer ("no, because"), `NodeUnavailableError` is everything that is no proper answer: the
caller fails over or waits. A node's outage is told once and its return once, never per call. Money in answers is
`decimal.Decimal`, never float.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from yarl import URL

from chains.http_calls import HttpAnswer, HttpCalls, HttpError, TooLargeError

logger = logging.getLogger("parapool.node")

# The largest honest answer is a full template: 4 MB of transactions as hex and their fields, about 10 MB.
MAX_ANSWER_BYTES = 64 * 2**20
# bitcoind closes a connection after 30 idle seconds (-rpcservertimeout); let go first, so that no call meets the end.
KEEP_ALIVE_S = 10.0
# A node that failed at one method and answers others is not "back"; after this long without a failure it is.
FORGET_FAILURE_S = 30.0
# A call that may take this long is a long poll, and its running out of time says nothing about the node.
LONG_POLL_S = 60.0
RPC_IN_WARMUP = -28  # bitcoind is starting: it answers, but nothing else


Decode = Callable[[bytes | memoryview], Any]

_decode: Decode = msgspec.json.Decoder(float_hook=Decimal).decode


class RpcError(Exception):
    """The node answered with a JSON-RPC error object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class NodeUnavailableError(Exception):
    """No proper answer: refused, reset, timed out, unauthorised, a server error without a JSON-RPC error, garbage."""


class NodeConnectionError(NodeUnavailableError):
    """Nobody takes the connection, or it broke."""


class NodeLoginError(NodeUnavailableError):
    """The node does not let us in: `status` is HTTP 401 (login) or 403 (address or method not allowed), or 0 when the
    cookie file cannot be read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NodeTimeoutError(NodeUnavailableError):
    """No answer in time; for a long poll this is not an outage."""


class JsonRpc:
    """A JSON-RPC client of one node.

    `url` may carry user and password; `cookie_file` (bitcoind's `.cookie`) is read again when the node refuses the
    login, because each start writes a new one. `name` appears in log lines. Calls may run at the same time: each has a
    connection to itself while it lasts, so a long poll holds up nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        cookie_file: str | Path | None = None,
        timeout_s: float = 5.0,
        name: str = "",
    ) -> None:
        parsed = URL(url)
        self._url = parsed.with_user(None)
        self._user = user if user is not None else parsed.user
        self._password = password if password is not None else parsed.password
        self._cookie_file = Path(cookie_file) if cookie_file else None
        self.timeout_s = timeout_s
        self.date: str | None = None  # the HTTP Date of the newest answer: the node's clock
        self.name = name or str(self._url)
        self._ids = itertools.count(1)
        self._http = HttpCalls(self._url, KEEP_ALIVE_S)
        self._headers = b""
        self._closed = False
        self._failed_method: str | None = None  # not None while the node counts as away
        self._failed_at_s = 0.0

    async def call(
        self, method: str, *params: Any, timeout_s: float | None = None, decode: Decode = _decode
    ) -> Any:
        """The `result` of a call, None included. Raises RpcError or NodeUnavailableError. `decode` reads the JSON of an
        answer that is too large to be made into dictionaries."""
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        begun_s = asyncio.get_running_loop().time()
        try:
            result = await self._call(method, params, timeout_s, decode)
        except RpcError:
            self._answered(method, begun_s)
            raise
        except NodeTimeoutError as error:
            if timeout_s < LONG_POLL_S:
                self._failed(method, str(error))
            raise
        except NodeUnavailableError as error:
            self._failed(method, str(error))
            raise
        self._answered(method, begun_s)
        return result

    async def ask_aside(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        """As `call`, for what nothing depends on: neither its failure nor its success counts as the node's."""
        return await self._call(method, params, self.timeout_s if timeout_s is None else timeout_s)

    async def close(self) -> None:
        """For good: calls under way fail, and so do further ones, which is no outage of the node."""
        self._closed = True
        self._http.close()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn, and a node that stops waits for them

    async def _call(
        self, method: str, params: tuple[Any, ...], timeout_s: float, decode: Decode = _decode
    ) -> Any:
        if self._closed:
            raise NodeUnavailableError("nobody asks this node any more")
        call_id = next(self._ids)
        body = _encode({"jsonrpc": "1.0", "id": call_id, "method": method, "params": params}).encode()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._post(body)
                if answer.status == 401 and self._cookie_file is not None:
                    self._headers = b""
                    answer = await self._post(body)
        except TimeoutError as error:
            raise NodeTimeoutError(f"no answer to {method} within {timeout_s:g} s") from error
        except TooLargeError as error:
            raise NodeUnavailableError(f"an answer of more than {MAX_ANSWER_BYTES} bytes") from error
        except OSError as error:
            raise NodeConnectionError(f"no connection: {error.strerror or error}") from error
        except HttpError as error:
            raise NodeUnavailableError(str(error)) from error
        return _result(call_id, answer.status, answer.body, decode)

    async def _post(self, body: bytes) -> HttpAnswer:
        answer = await self._http.post(self._headers or self._make_headers(), body, MAX_ANSWER_BYTES)
        self.date = answer.date
        return answer

    def _make_headers(self) -> bytes:
        """Kept until the node refuses the login."""
        login = self._authorization()
        line = "" if login is None else f"Authorization: {login}\r\n"
        self._headers = f"Content-Type: application/json\r\n{line}".encode()
        return self._headers

    def _authorization(self) -> str | None:
        """The Authorization header's value."""
        if self._cookie_file is not None:
            try:
                login = self._cookie_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise NodeLoginError(0, f"cannot read the cookie file: {error}") from error
        elif self._user is not None or self._password is not None:
            login = f"{self._user or ''}:{self._password or ''}"
        else:
            return None
        return "Basic " + base64.b64encode(login.encode()).decode()

    def _failed(self, method: str, reason: str) -> None:
        if self._closed:
            return
        if self._failed_method is None:
            logger.warning("node is away: %s node=%s method=%s", reason, self.name, method)
        self._failed_method = method
        self._failed_at_s = asyncio.get_running_loop().time()

    def _answered(self, method: str, begun_s: float) -> None:
        """Tell the return when the failing method answers, or any method long after the last failure; an answer to a
        call begun before the failure proves nothing."""
        if self._failed_method is None or begun_s < self._failed_at_s:
            return
        if method == self._failed_method or begun_s - self._failed_at_s > FORGET_FAILURE_S:
            self._failed_method = None
            logger.warning("node is back node=%s", self.name)


def _amount(value: Any) -> str:
    """Decimals travel as text, which every bitcoind reads as an exact amount."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = json.JSONEncoder(default=_amount).encode


def one_line(text: Any) -> str:
    """A node's own words as they may stand in a log line: one line, printable, at most 300 characters."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:300]).strip()


def _result(call_id: int, status: int, body: bytes | memoryview, decode: Decode = _decode) -> Any:
    """What an HTTP answer says. bitcoind sends errors with status 404 or 500 and a JSON-RPC error object."""
    if status in (401, 403):
        raise NodeLoginError(status, f"the node refuses our login (HTTP {status})")
    try:
        answer = decode(body)
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError) as error:
        text = "answer is not JSON" if status == 200 else f"HTTP {status}"
        raise NodeUnavailableError(text) from error
    if not isinstance(answer, dict):
        raise NodeUnavailableError(f"answer is not a JSON-RPC object (HTTP {status})")
    refusal = answer.get("error")
    if refusal is not None:
        if not isinstance(refusal, dict) or type(refusal.get("code")) is not int:
            raise NodeUnavailableError(f"answer has an error that is no JSON-RPC error (HTTP {status})")
        if answer.get("id") not in (call_id, None):  # null: the node could not read the request
            raise NodeUnavailableError("answer to another call")
        message = one_line(refusal.get("message", ""))
        if refusal["code"] == RPC_IN_WARMUP:
            raise NodeUnavailableError(f"the node is starting: {message}")
        raise RpcError(refusal["code"], message)
    if status != 200:
        raise NodeUnavailableError(f"HTTP {status} without an error")
    if answer.get("id") != call_id:
        raise NodeUnavailableError("answer to another call")
    if "result" not in answer:
        raise NodeUnavailableError("answer without a result")
    return answer["result"]
