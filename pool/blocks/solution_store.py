"""Found blocks on disk: written before any database is touched, kept until a final answer, handed to the books once.

One JSON file per (chain, block hash), which moves through three folders of DATA_DIR/solutions:

    open/    found; being submitted until a node gives a final answer; a restart resumes it
    closed/  answered; the books have not recorded the outcome yet
    booked/  recorded in the books; kept without the block's bytes, or with them when the block was not accepted

Every step writes the new file (temporary name, fsync, rename, fsync of the folder) before it removes the old one, so
a crash between any two steps leaves one or two copies and never none; the copy that is further on wins. All calls but
write_down block for a disk flush and are made from threads; a lock keeps them apart.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from pool.blocks.space_reserve import SpaceReserve
from pool.shares.record import Route
from pool.shares.scheme import Scheme

log = logging.getLogger("parapool.blocks")

Outcome = Literal["accepted", "rejected", "unknown"]

FILE_NAME = re.compile(r"^([A-Za-z0-9_-]+)-([0-9a-f]{64})\.json$")


class SolvingShare(msgspec.Struct, frozen=True):
    """The share that solved the block, so that it is credited even if a crash took it from the share log."""

    route: Route
    worker: str
    time_ms: int
    chains: tuple[str, ...]
    header_hash: bytes


class SolutionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to submit a found block again and to credit it.

    `block_hash_hex` and `target_hex` are displayed hex, `payload` is what the node's submit gets, `nodes` names the
    nodes that made the template, `reward_hint` is the template's value (the books read the real one back from the
    node), `share_weight` the expected hashes of the solving share's target. `stale` tells that the parent tip was
    over when the solve came. `scheme` is the one that work counted under where and when the solve was made: it decides
    whose the block is, also when the solve is no share; None in records of before there were schemes.
    """

    chain: str
    block_hash_hex: str
    height: int
    payload: dict[str, str]
    nodes: list[str]
    share_sequence: int
    found_ms: int
    reward_hint: int | None
    stale: bool
    target_hex: str
    share_weight: int
    solving_share: SolvingShare | None = None
    scheme: Scheme | None = None


class ClosedSolution(msgspec.Struct, frozen=True):
    """A solution with its final answer and, when it was not accepted, the reason the node gave."""

    record: SolutionRecord
    state: Outcome
    reason: str
    closed_ms: int


BOOKED_LIMIT = 10_000
"""Booked solutions kept, the newest ones: enough to rebuild block rows after a database was restored from a backup."""

T = TypeVar("T", SolutionRecord, ClosedSolution)


class SolutionStore:
    """The three folders. `open_count` is a plain attribute for metrics; `changes` counts solutions and outcomes that
    were added, None for a guest, who does not hear of them."""

    def __init__(
        self,
        directory: Path,
        wall_s: Callable[[], float] = time.time,
        *,
        reserve_bytes: int = 0,
        is_guest: bool = False,
    ) -> None:
        """Makes the folders, takes up what a crash left written and unnamed, and clears away what it left half written
        or twice. Raises OSError when it cannot. So many bytes are set aside for found blocks on a full disk. A guest
        changes nothing by itself: the folders are those of another process, which may be writing there.
        """
        self._open = directory / "open"
        self._closed = directory / "closed"
        self._booked = directory / "booked"
        self._wall_s = wall_s
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        for folder in (self._open, self._closed, self._booked):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in () if is_guest or folder is self._open else folder.glob("*.tmp"):
                leftover.unlink()
        if not is_guest:
            self.take_up()
        steps = ((self._open, self._closed), (self._closed, self._booked))
        for earlier, later in () if is_guest else steps:
            twice = [path for path in earlier.iterdir() if (later / path.name).exists()]
            if twice:
                _sync(later)
            for path in twice:
                _remove(path)
        self._reserve = SpaceReserve(directory / "reserve", reserve_bytes)
        self.open_count = sum(1 for _ in self._open.iterdir())
        self._booked_count = 0
        self.changes: int | None = None if is_guest else 0
        if not is_guest:
            self._prune_booked()

    def take_up(self) -> None:
        """Names what its process had written and not named when it died; what is not whole, or is known, goes. For a
        guest, as soon as that process is known to be dead. Raises OSError."""
        with self._lock:
            for leftover in self._open.glob("*.tmp"):
                record = _whole(leftover)
                name = "" if record is None else _file_name(record.chain, record.block_hash_hex)
                if record is None or self._known(name) is not None:
                    leftover.unlink()
                    continue
                log.warning("a found block was written down and not named, taken up chain=%s hash=%s", record.chain,
                            record.block_hash_hex)  # fmt: skip
                _name(leftover, self._open / name)

    def write_down(self, record: SolutionRecord) -> Path | None:
        """Gives a solution's bytes to the kernel, so that the death of this process cannot lose it any more; waits for
        no flush, and for none that another call waits for. put() takes what comes back; None when the block is known.

        Raises ValueError for a chain or hash that cannot name a file, OSError when the disk fails.
        """
        name = _file_name(record.chain, record.block_hash_hex)
        if self._known(name) is not None:
            return None
        # Of a name of its own: a second proof of the block may be on its way.
        temporary = self._open / f"{name.removesuffix('.json')}.{os.getpid()}-{next(self._numbers)}.tmp"
        content = msgspec.json.encode(record)
        self._reserve.write(len(content), lambda: _write_bytes(temporary, content))
        return temporary

    def put(self, record: SolutionRecord, temporary: Path | None = None) -> bool:
        """Makes a solution durable, which write_down() may have written. False when this block is known already; the
        first record stays as it is.

        Raises ValueError for a chain or hash that cannot name a file, OSError when the disk fails; it is to be written
        down anew then.
        """
        name = _file_name(record.chain, record.block_hash_hex)
        with self._changing():
            known = self._known(name)
            if known is not None:
                # Its first writing may have failed at the very last step.
                _sync(known)
                if temporary is not None:
                    temporary.unlink(missing_ok=True)
                return False
            written = temporary or self.write_down(record)
            assert written is not None, "it is not known"

            def place() -> None:
                if not written.exists():
                    _write_bytes(written, msgspec.json.encode(record))
                try:
                    _name(written, self._open / name)
                except OSError:  # after which the kernel may have dropped the bytes
                    written.unlink(missing_ok=True)
                    raise

            self._reserve.write(written.stat().st_size, place)
            self.open_count += 1
        return True

    def _known(self, name: str) -> Path | None:
        """The folder that has it."""
        return next((f for f in (self._open, self._closed, self._booked) if (f / name).exists()), None)

    def outcome(self, chain: str, block_hash_hex: str, state: Outcome, reason: str = "") -> bool:
        """Stores the final answer. False when one is stored already; the first one stays.

        Raises LookupError for a solution that was never put, OSError when the disk fails.
        """
        name = _file_name(chain, block_hash_hex)
        with self._changing():
            if (self._closed / name).exists() or (self._booked / name).exists():
                return False
            path = self._open / name
            if not path.exists():
                raise LookupError(f"no solution {name}")
            record = msgspec.json.decode(path.read_bytes(), type=SolutionRecord)
            closed = ClosedSolution(record, state, reason, int(self._wall_s() * 1000))
            _write(self._closed / name, msgspec.json.encode(closed))
            _remove(path)
            self.open_count -= 1
        return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Counted after the files, and although it failed: the record may be there all the same."""
        with self._lock:
            try:
                yield
            finally:
                if self.changes is not None:
                    self.changes += 1

    def booked(self, chain: str, block_hash_hex: str) -> None:
        """Tells that the outcome is committed in the books, so that `closed_solutions` does not show it again."""
        name = _file_name(chain, block_hash_hex)
        with self._lock:
            path = self._closed / name
            if not path.exists():
                return
            closed = msgspec.json.decode(path.read_bytes(), type=ClosedSolution)
            if closed.state == "accepted":
                closed = msgspec.structs.replace(closed, record=msgspec.structs.replace(closed.record, payload={}))
            _write(self._booked / name, msgspec.json.encode(closed))
            _remove(path)
            self._booked_count += 1
            if self._booked_count > 2 * BOOKED_LIMIT:
                self._prune_booked()

    def open_names(self) -> set[tuple[str, str]]:
        """(chain, block hash) of every solution without a final answer, without reading the files."""
        return set(_names(self._open))

    def open_record(self, chain: str, block_hash_hex: str) -> SolutionRecord | None:
        """One open solution, or None when it has been closed meanwhile."""
        return _read(self._open / _file_name(chain, block_hash_hex), SolutionRecord)

    def open_records(self) -> list[SolutionRecord]:
        """Every solution without a final answer, oldest first: what a restart has to submit again."""
        found = [self.open_record(chain, block_hash_hex) for chain, block_hash_hex in _names(self._open)]
        records = [record for record in found if record is not None]
        return sorted(records, key=lambda record: record.found_ms)

    def closed_solutions(self) -> Iterator[ClosedSolution]:
        """Every answered solution that the books have not confirmed with `booked`."""
        for chain, block_hash_hex in _names(self._closed):
            closed = _read(self._closed / _file_name(chain, block_hash_hex), ClosedSolution)
            if closed is not None:
                yield closed

    def find(self, chain: str, block_hash_hex: str) -> SolutionRecord | ClosedSolution | None:
        """Whatever is known of a block, closed or open (a booked one may have lost its bytes)."""
        name = _file_name(chain, block_hash_hex)
        with self._lock:
            for folder in (self._booked, self._closed):
                closed = _read(folder / name, ClosedSolution)
                if closed is not None:
                    return closed
            return _read(self._open / name, SolutionRecord)

    def _prune_booked(self) -> None:
        """Removes the oldest booked solutions over the limit."""
        paths = sorted(self._booked.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in paths[:-BOOKED_LIMIT]:
            path.unlink()
        self._booked_count = min(len(paths), BOOKED_LIMIT)


def _file_name(chain: str, block_hash_hex: str) -> str:
    name = f"{chain}-{block_hash_hex}.json"
    if not FILE_NAME.match(name):
        raise ValueError(f"{name!r}: expected a chain of a-z, 0-9, _ and -, and a hash of 64 lower-case hex digits")
    return name


def _names(folder: Path) -> list[tuple[str, str]]:
    matches = (FILE_NAME.match(name) for name in sorted(os.listdir(folder)))
    return [(match[1], match[2]) for match in matches if match]


def _read(path: Path, kind: type[T]) -> T | None:
    """A stored record; None when it is gone, or damaged, which is logged: other blocks must not wait for it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("solution file is damaged file=%s error=%s", path, error)
        return None


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    _write_bytes(temporary, content)
    _name(temporary, path)


def _write_bytes(temporary: Path, content: bytes) -> None:
    """They are the kernel's then, and not yet the disk's."""
    temporary.write_bytes(content)


def _name(temporary: Path, path: Path) -> None:
    """Makes the bytes durable, then the name."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.rename(temporary, path)
    _sync(path.parent)


def _whole(temporary: Path) -> SolutionRecord | None:
    """A record that was written when its process died and had no name yet; the block may be on its chain. None for one
    that is not whole."""
    try:
        record = msgspec.json.decode(temporary.read_bytes(), type=SolutionRecord)
        _file_name(record.chain, record.block_hash_hex)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None
    return record


def _remove(path: Path) -> None:
    path.unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
