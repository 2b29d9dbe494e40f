"""Who may use the operator's API: tokens by their holders' names, out of a file that nobody else reads.

A line is TOKEN, or NAME TOKEN where several people have one: the log tells by name who did what, and one of them can be
taken out by a reload. Tokens are compared as digests, every one of them, so that the time tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from pool.config.operator import token_file_problem
from pool.data_dir import StartError

DEFAULT_NAME = "operator"
LEAST_LETTERS, MOST_LETTERS = 32, 256  # of 64: 192 bits at the least, far beyond any guessing
MOST_TOKENS = 64
MOST_BYTES = 65_536
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{LEAST_LETTERS},{MOST_LETTERS}}}")  # a bearer token's letters (RFC 6750)
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,32}")


class Tokens:
    """`by_name` has at least one."""

    def __init__(self, by_name: Mapping[str, str]) -> None:
        self._digests = {name: _digest(token) for name, token in by_name.items()}

    def holder(self, presented: str) -> str | None:
        """Whose token it is, None for nobody's."""
        digest = _digest(presented)
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: Path) -> dict[str, str]:
    """The tokens by name, in the file's order. Raises StartError; no message holds a token."""
    problem = token_file_problem(path)
    if problem is not None:
        raise StartError(f"the operator's tokens: {path}: {problem}")
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1).decode("ascii", "replace")
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name, token = (DEFAULT_NAME, words[0]) if len(words) == 1 else (words[0], words[1])
        if len(words) > 2 or not _NAME.fullmatch(name) or not _TOKEN.fullmatch(token):
            raise StartError(
                f"the operator's tokens: {path}:{number}: expected TOKEN or NAME TOKEN, the token with {LEAST_LETTERS} "
                f"to {MOST_LETTERS} letters and digits, such as `openssl rand -hex 32` prints"
            )
        if name in found:
            raise StartError(f"the operator's tokens: {path}:{number}: there is a token of {name} already")
        found[name] = token
    if not found or len(found) > MOST_TOKENS or len(text) > MOST_BYTES:
        raise StartError(f"the operator's tokens: {path}: expected from 1 to {MOST_TOKENS} of them")
    return found


def make_tokens(path: Path) -> None:
    """A file with one new token, where there is none; it is whole before anybody else can see it."""
    waiting = path.with_name(f".{path.name}.new")
    waiting.unlink(missing_ok=True)
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secrets.token_hex(32)}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(waiting, path)
    except FileExistsError:
        pass
    finally:
        waiting.unlink()
