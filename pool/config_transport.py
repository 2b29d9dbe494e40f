"""The configuration of a pool of several processes: what each does, and how shares get from one to the other.

The Redis URL may hold a password, so it comes from a file or the environment only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pool.config_roles import role_in
from pool.config_secret_files import secret_file_problem
from pool.config_section import Section
from pool.config_values import EnvironmentName, FilePath

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _check_front_end(name: str) -> str:
    if not name or len(name) > 32 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise ValueError("expected 1 to 32 letters, digits, - and _")
    return name


FrontEndName = Annotated[str, AfterValidator(_check_front_end)]


class TransportSection(Section):
    """How shares and found blocks get from front ends to the accountant, which keeps the books. `none`: each process
    writes its own into the database. `redis`: through a stream, for front ends without the database.
    """

    kind: Literal["none", "redis"] = Field("none", description="What carries them.")
    redis_url_file: FilePath | None = Field(
        None, description="File whose first line is the URL, `redis://:PASSWORD@HOST:PORT/0` (`rediss://` with TLS)."
    )
    redis_url_env: EnvironmentName | None = Field(None, description="Or the environment variable that holds it.")

    def redis_url(self) -> str:
        """The URL, with its password. Raises ValueError with a sentence when there is none that can be used."""
        if self.redis_url_file is not None:
            try:
                url = self.redis_url_file.read_text("utf-8").partition("\n")[0].strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"transport.redis_url_file cannot be read: {error}") from error
            source = "transport.redis_url_file"
        else:
            source = f"the environment variable {self.redis_url_env}"
            url = os.environ.get(self.redis_url_env or "", "").strip()
        if not url.startswith(REDIS_SCHEMES):
            raise ValueError(f"{source} holds no URL that begins with {', '.join(REDIS_SCHEMES)}")
        return url


class BooksSection(Section):
    """How long the books keep shares one by one; what miners earned from each block is kept for ever."""

    share_days: int = Field(
        3,
        ge=1,
        le=3650,
        description="Shares are kept one by one so long, and longer while a window may still reach them; then only "
        "their sums by hour.",
    )
    share_log_hours: int = Field(
        24,
        ge=1,
        le=8760,
        description="A front end keeps its share log on disk so long after the books have it: longer than the time "
        "between two backups of the database.",
    )
    closing_s: int = Field(
        600,
        ge=10,
        le=86_400,
        description="So often what is new in the books is sealed (docs/operating/closings.md).",
    )


def transport_mistakes(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """A pool of several processes needs something between them, and that one address."""
    transport = values.get("transport")
    transport = transport if isinstance(transport, Mapping) else {}
    role = role_in(values)
    if role in ("payout", "web"):  # they work with the books alone; what Redis needs may be out of their reach
        return
    is_redis = transport.get("kind") == "redis"
    if role in ("stratum", "accountant") and not is_redis:
        text = f"expected transport.kind: redis beside it, or all: nothing carries shares to or from {role}"
        yield ("pool", "role"), text
    given = [key for key in ("redis_url_file", "redis_url_env") if transport.get(key) is not None]
    if is_redis and len(given) != 1:
        yield ("transport", given[-1] if given else "kind"), "expected one of redis_url_file and redis_url_env"
    file = transport.get("redis_url_file")
    if is_redis and isinstance(file, str) and file and "\x00" not in file and not os.access(Path(file), os.R_OK):
        yield ("transport", "redis_url_file"), "expected a file that can be read"
    elif is_redis and (problem := secret_file_problem(transport, "redis_url_file")) is not None:
        yield ("transport", "redis_url_file"), problem
