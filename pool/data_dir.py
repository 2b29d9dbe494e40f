"""The data folder: it belongs to one running process, and to one name in the books."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


class StartError(Exception):
    """The pool cannot start; the message says what to do."""


def lock_data_dir(data_dir: Path) -> IO[str]:
    """Hold the data folder for this process alone; the lock goes with the process. Raises StartError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = (data_dir / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StartError(f"{data_dir} is in use by another pool process") from error
    return lock


def claim_name(data_dir: Path, name: str) -> None:
    """Tie the folder to the name under which its share log is known in the books. Under another name its shares would
    be read again and its unfinished blocks be followed by nobody. Raises StartError."""
    path = data_dir / "name"
    if not path.exists():
        path.write_text(name + "\n")
        return
    before = path.read_text().rstrip("\n")
    if before != name:
        raise StartError(
            f"{data_dir} belongs to the pool {before!r}: set pool.name back, or give {name!r} a data_dir of its own"
        )
