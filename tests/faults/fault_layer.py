"""Faults of the machine under one process: its wall clock, its disk. What fault_layer.c maps."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fault_layer.c")
FORM = struct.Struct("<qiiiii4x")


def compiled(folder: Path) -> Path:
    """The library, made with the compiler that the pool's own C parts need."""
    library = folder / "fault_layer.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-O2", "-Wall", "-fPIC", "-shared", str(SOURCE), "-o", str(library), "-ldl"]
        subprocess.run(command, check=True)
    return library


class FaultLayer:
    """Of one process, through all its starts. Nothing is wrong until set() says so."""

    def __init__(self, library: Path, control: Path) -> None:
        self._library = library
        self._control = control
        self.set()

    def command(self, words: list[str]) -> list[str]:
        """A command under this layer."""
        return ["env", f"LD_PRELOAD={self._library}", f"FAULT_FILE={self._control}", *words]

    def set(
        self,
        *,
        clock_s: float = 0.0,
        sync_error: int = 0,
        write_error: int = 0,
        sync_ms: int = 0,
        unknown_error: int = 0,
        plain_sync_error: int = 0,
    ) -> None:
        """From now on; what is not named is well. The file stays the same one, since it is mapped."""
        errors = unknown_error, plain_sync_error
        data = FORM.pack(round(clock_s * 1e9), sync_error, write_error, sync_ms, *errors)
        with self._control.open("r+b" if self._control.exists() else "wb") as file:
            file.write(data)
