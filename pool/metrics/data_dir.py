"""The metrics of a process's data folder: room on its disk, and when it was backed up. Every role has one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pool.metrics.collector import Readers, Reading, TableCollector, one

BACKUP_STAMP = "last-backup"
"""A file that a backup touches when it is done."""


class DataDirReadings:
    """Implements pool.metrics.collector.ReadingSource: looked at when Prometheus asks."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def readers(self) -> Readers:
        """By metric name (pool/metrics/table.py)."""
        return {
            "disk_free_bytes": lambda: self._disk("f_bavail"),
            "disk_size_bytes": lambda: self._disk("f_blocks"),
            "last_backup_timestamp_seconds": self._last_backup,
        }

    def collector(self) -> TableCollector:
        """For a process that has no other figures of its own."""
        return TableCollector(self.readers())

    def _last_backup(self) -> Iterator[Reading]:
        try:
            return one((self._data_dir / BACKUP_STAMP).stat().st_mtime)
        except FileNotFoundError:
            return one(None)

    def _disk(self, blocks: str) -> Iterator[Reading]:
        found = os.statvfs(self._data_dir)
        return one(getattr(found, blocks) * found.f_frsize)
