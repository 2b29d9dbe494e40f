"""The configuration of the operator's own port: where it is, and who may use it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from pool.config.roles import SERVING, role_in
from pool.config.secret_files import open_to_all
from pool.config.section import Section
from pool.config.values import Bind, FilePath, parse_bind

DEFAULT_BIND = "127.0.0.1:8090"
SOCKET_LETTERS = 100  # a Unix socket's path has 108 bytes at most (unix(7)), its end included


class OperatorSection(Section):
    """The operator's API (docs/operating/operator-api.md): drain, reload, bans, messages, connections. It is there only
    where this section is, in a process that serves miners; what is sent to it is not encrypted."""

    bind: Bind | None = Field(
        None, description=f"Address and port to listen on. Default: {DEFAULT_BIND}, or none where there is a `socket`."
    )
    socket: FilePath | None = Field(
        None, description="Unix socket to listen on instead; only the pool's own user may open it."
    )
    token_file: FilePath | None = Field(
        None,
        description="File with the tokens, one on a line, each with its holder's name and a space before it if you "
        "like. Default: `operator.token` in `data_dir`, made when missing.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> OperatorSection:
        if self.bind is not None and self.socket is not None:
            raise ValueError("expected either bind or socket")
        return self

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None where it is a Unix socket."""
        return None if self.socket is not None else parse_bind(self.bind or DEFAULT_BIND)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.address is None:
            return True
        host = self.address[0]
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def token_path(self, data_dir: Path) -> Path:
        return self.token_file or data_dir / "operator.token"


def operator_mistakes(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Who can read the tokens can empty the pool of its miners. A process that has no such port never reads them."""
    section = values.get("operator")
    if not isinstance(section, Mapping) or role_in(values) not in SERVING:
        return
    path = section.get("token_file")
    if isinstance(path, str) and path and "\x00" not in path:
        problem = token_file_problem(Path(path))
        if problem is not None:
            yield ("operator", "token_file"), problem
    socket = section.get("socket")
    if isinstance(socket, str) and len(socket.encode("utf-8", "replace")) > SOCKET_LETTERS:
        yield ("operator", "socket"), f"expected a path of at most {SOCKET_LETTERS} bytes"


def token_file_problem(path: Path) -> str | None:
    """Why a file of tokens cannot be used, whatever is in it."""
    try:
        with path.open("rb"):
            mode = path.stat().st_mode
    except OSError as error:
        return f"expected a readable file: {error.strerror or error}"
    if mode & (stat.S_IWOTH | stat.S_IWGRP):
        return f"expected a file that nobody else can write: chmod 600 {path}"
    return open_to_all(path)
