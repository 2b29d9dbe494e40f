"""The configuration of a pool of several processes: how shares get from one to the other, and jobs.

The Redis URL may hold a password, so it comes from a file or the environment only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pool.config.roles import MINING, role_in
from pool.config.secret_files import secret_file_problem
from pool.config.section import Section
from pool.config.values import EnvironmentName, FilePath, Seconds

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
KEY_BYTES = 32
"""The least that transport.jobs_key_file may hold."""

MAX_MACHINES = 32


def _check_front_end(name: str) -> str:
    if not name or len(name) > 32 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise ValueError("expected 1 to 32 letters, digits, - and _")
    return name


FrontEndName = Annotated[str, AfterValidator(_check_front_end)]


class TransportSection(Section):
    """How shares and found blocks get from front ends to the accountant, which keeps the books. `none`: each process
    writes its own into the database. `redis`: through a stream, for front ends without the database; then one process
    may make the jobs of all (docs/operating/scale-out.md#one-maker-of-jobs).
    """

    kind: Literal["none", "redis"] = Field("none", description="What carries them.")
    redis_url_file: FilePath | None = Field(
        None, description="File whose first line is the URL, `redis://:PASSWORD@HOST:PORT/0` (`rediss://` with TLS)."
    )
    redis_url_env: EnvironmentName | None = Field(None, description="Or the environment variable that holds it.")
    jobs: Literal["own", "publish", "follow"] = Field(
        "own",
        description="Whose jobs: this process's own, made of what its nodes offer; the same, published to other "
        "machines; or those that another process publishes: then the chains' `nodes` are not needed, and not asked.",
    )
    jobs_key_file: FilePath | None = Field(
        None,
        description="File with what the machines of the pool seal jobs and found blocks with, the same everywhere, "
        "32 characters at least: `openssl rand -hex 32`. Whoever has it can have all miners work for himself.",
    )
    jobs_age_s: Seconds = Field(
        120.0, description="With `follow`: without a job for so long, `/readyz` says that miners should go elsewhere."
    )
    machine: int | None = Field(
        None,
        ge=1,
        le=MAX_MACHINES,
        description="With `follow`: this machine's number, another one on each. It stands for its part of the "
        "extranonces, so that no two miners ever do the same work.",
    )

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

    def jobs_key(self) -> bytes:
        """Raises ValueError with a sentence when there is none that can be used."""
        assert self.jobs_key_file is not None, "load() admits no jobs from or to elsewhere without"
        try:
            return _key_in(self.jobs_key_file)
        except (OSError, ValueError) as error:
            raise ValueError(f"transport.jobs_key_file cannot be used: {error}") from error


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


Found = tuple[tuple[str | int, ...], str]


def transport_mistakes(values: Mapping[str, Any]) -> Iterator[Found]:
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
    if is_redis:
        yield from _unreadable(transport, "redis_url_file")
    yield from _job_mistakes(transport, role, is_redis=is_redis)


def follows_in(values: Mapping[str, Any]) -> bool:
    """Whether the process of this file takes its jobs from another one."""
    transport = values.get("transport")
    return isinstance(transport, Mapping) and transport.get("jobs") == "follow"


def _job_mistakes(transport: Mapping[str, Any], role: Any, *, is_redis: bool) -> Iterator[Found]:
    """Jobs from or to other machines need Redis, a key, and a place of their own."""
    jobs = transport.get("jobs", "own")
    if jobs not in ("publish", "follow"):
        return
    if not is_redis:
        yield ("transport", "jobs"), "expected transport.kind: redis beside it: nothing carries jobs otherwise"
    if jobs == "follow" and role != "stratum":
        yield ("transport", "jobs"), f"expected pool.role: stratum beside it, {role} needs nodes of its own"
    if jobs == "publish" and role not in MINING:
        yield ("transport", "jobs"), f"expected a role that makes jobs beside it, {role} makes none"
    if jobs == "follow" and transport.get("machine") is None:
        yield ("transport", "jobs"), "expected transport.machine beside it, another number on each machine"
    if jobs == "publish" and transport.get("machine") is not None:
        yield ("transport", "machine"), "expected it with jobs: follow only, the maker of jobs has a part of its own"
    if transport.get("jobs_key_file") is None:
        yield ("transport", "jobs"), "expected transport.jobs_key_file beside it"
    problems = list(_unreadable(transport, "jobs_key_file"))
    yield from problems or _too_short(transport.get("jobs_key_file"))


def _too_short(key_file: Any) -> Iterator[Found]:
    if isinstance(key_file, str) and key_file and "\x00" not in key_file:
        try:
            _key_in(Path(key_file))
        except (OSError, ValueError) as error:
            yield ("transport", "jobs_key_file"), str(error)


def _key_in(path: Path) -> bytes:
    """Raises OSError, and ValueError with a sentence."""
    key = path.read_bytes().strip()
    if len(key) < KEY_BYTES:
        raise ValueError(f"expected {KEY_BYTES} characters at least, the file holds {len(key)}")
    return key


def _unreadable(transport: Mapping[str, Any], key: str) -> Iterator[Found]:
    file = transport.get(key)
    if isinstance(file, str) and file and "\x00" not in file and not os.access(Path(file), os.R_OK):
        yield ("transport", key), "expected a file that can be read"
    elif (problem := secret_file_problem(transport, key)) is not None:
        yield ("transport", key), problem
