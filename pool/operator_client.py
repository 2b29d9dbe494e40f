"""A client of the operator's port, for the command line: one call, its answer, or the sentence why there is none."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.operator.tokens import read_tokens

TIMEOUT_S = 60.0
"""A reload waits for nodes' and wallets' files; everything else answers at once."""

MOST_BYTES = 16 * 2**20
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Who listens on every address is asked on this machine's own."""


class CallError(Exception):
    """It was not done; `lines` say why, for people."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class OperatorClient:
    """`address` or `socket_path` is where the port is."""

    token: str
    address: tuple[str, int] | None = None
    socket_path: Path | None = None
    tls: bool = False

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer. Raises CallError."""
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            status, text = response.status, response.read(MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise CallError(f"no answer from {self._place()}: {error or repr(error)}") from error
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CallError(f"{self._place()} is no operator's port of a pool: its answer {status} is no JSON object")
        if status != 200:
            lines = answer.get("lines")
            more = [str(line) for line in lines] if isinstance(lines, list) else []
            raise CallError(str(answer.get("error", f"status {status}")), *more)
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self.socket_path is not None:
            return _UnixConnection(self.socket_path)
        assert self.address is not None
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        return kind(*self.address, timeout=TIMEOUT_S)

    def _place(self) -> str:
        return str(self.socket_path) if self.address is None else f"{self.address[0]}:{self.address[1]}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def client_of(config: Config) -> OperatorClient:
    """The client of the pool that has this configuration. Raises CallError."""
    section = config.operator
    if section is None:
        raise CallError("this pool has no operator's port: put `operator: {}` into its file and restart it")
    token = _token(section.token_path(config.pool.data_dir))
    if section.address is None:
        return OperatorClient(token, socket_path=section.socket)
    host, port = section.address
    return OperatorClient(token, (ANYWHERE.get(host, host), port))


def client_at(url: str, token_file: Path) -> OperatorClient:
    """The client of a port somewhere, `http://HOST:PORT` or `https://HOST:PORT`. Raises CallError."""
    expected = "--url: expected http://HOST:PORT or https://HOST:PORT"
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        raise CallError(expected) from None
    if split.scheme not in ("http", "https") or not host or split.path not in ("", "/") or split.query:
        raise CallError(expected)
    tls = split.scheme == "https"
    return OperatorClient(_token(token_file), (host, port or (443 if tls else 80)), tls=tls)


def _token(path: Path) -> str:
    """The first one of a file."""
    try:
        return next(iter(read_tokens(path).values()))
    except StartError as error:
        raise CallError(str(error)) from error
