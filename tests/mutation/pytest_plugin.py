"""What pytest loads for `make mutation`: property tests always try the same examples, so that a mutant is killed in
every run or in none, few of them, and do not look for a smaller example once they have failed.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, is_hypothesis_test, settings

settings.register_profile(
    "mutation",
    phases=(Phase.explicit, Phase.generate), derandomize=True, database=None, deadline=None, max_examples=40,
)  # fmt: skip
settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quickest first: most mutants fall to a single example. And mutmut names the tests of a mutant to pytest, but
    takes a name that pytest does not find again for a kill.
    """
    odd = [item.nodeid for item in items if "\\" in item.nodeid or not item.nodeid.isprintable()]
    if odd:
        raise pytest.UsageError(f"tests need ids of plain text to be called by: {odd}")
    items.sort(key=lambda item: is_hypothesis_test(getattr(item, "function", None)))
