"""Names and places of the front ends that one process starts beside itself: one way for the mother and for the child.

A front end has a slot, a small number that stands for its part of everything: its share log in the books, its folder
in `data_dir`, its part of the extranonce1 space. Slots are used again, by one process at a time: the folder is locked.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pool.config.configuration import Config
from stratum.extranonce import EXTRANONCE1_BYTES, ExtranonceSpace

MAX_SLOTS = 32
"""At a graceful restart every front end has a successor beside it."""

_FOLDER = "front-ends"
_PART = 1 << (8 * (EXTRANONCE1_BYTES - 1))
"""A slot's first byte of extranonce1 is its own: 16 million connections each. Those up to 127 are the slots' on the
machine where the jobs are made."""

_OTHERS = 128 * _PART
_MACHINE_PART = 4 * _PART
"""A machine that follows them has four first bytes of the other half for its slots: a million connections each."""

_SLOT_PART = _MACHINE_PART // 64


def fleet_folder(data_dir: Path) -> Path:
    return data_dir / _FOLDER


def socket_path(data_dir: Path) -> Path:
    return fleet_folder(data_dir) / "socket"


def slot_folder(data_dir: Path, slot: int) -> Path:
    return fleet_folder(data_dir) / str(slot)


def slots_on_disk(data_dir: Path) -> list[int]:
    """The slots that ever had a process."""
    folder = fleet_folder(data_dir)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and 0 < int(name) <= MAX_SLOTS)


def slot_config(config: Config, slot: int) -> Config:
    """The mother's configuration as a front end has it."""
    own = {
        "data_dir": slot_folder(config.pool.data_dir, slot),
        "front_end": f"{config.pool.front_end}-{slot}",
        "role": "stratum",
    }
    return config.model_copy(update={"pool": config.pool.model_copy(update=own)})


def slot_space(slot: int, machine: int | None = None) -> ExtranonceSpace:
    """Whoever has the slot hands out these, and nobody else: on the machine of that number, or where jobs are made."""
    if machine is None:
        return ExtranonceSpace(slot * _PART, _PART)
    return ExtranonceSpace(_OTHERS + (machine - 1) * _MACHINE_PART + slot * _SLOT_PART, _SLOT_PART)


def session_secret(data_dir: Path) -> bytes:
    """What session ids are made with, the same for all front ends and after a restart. Raises OSError."""
    path = fleet_folder(data_dir) / "session.key"
    if path.exists():
        found = bytes.fromhex(path.read_text().strip())
        if len(found) == 32:
            return found
    secret = secrets.token_bytes(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.hex() + "\n")
    return secret
