"""What pytest loads for `make mutation`: property tests always try the same examples, so that a mutant is killed in
every run or in none, and do not look for a smaller example once they have failed.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

settings.register_profile(
    "mutation", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None, deadline=None
)
settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """mutmut names the tests of a mutant to pytest, and takes a name that pytest does not find again for a kill."""
    odd = [item.nodeid for item in items if "\\" in item.nodeid or not item.nodeid.isprintable()]
    if odd:
        raise pytest.UsageError(f"tests need ids of plain text to be called by: {odd}")
