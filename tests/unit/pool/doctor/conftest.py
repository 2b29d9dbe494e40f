"""A world of reference nodes for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doctor_world import DoctorWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[DoctorWorld]:
    made = DoctorWorld(tmp_path)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
