"""The reference page names every limit with its default and every method."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from stratum.handshake import REQUESTS
from stratum.limits import Limits

PAGE = (Path(__file__).parents[3] / "docs" / "protocol" / "stratum-v1.md").read_text()


def test_docs_name_every_limit_with_its_default() -> None:
    written: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE[PAGE.index("## Limits") :], re.MULTILINE):
        written.update(zip(re.findall(r"`(\w+)`", row[0]), row[1].replace(",", "").split(" / "), strict=True))
    for limit in fields(Limits):
        assert limit.name in written
        if limit.name == "exempt_loopback":
            assert written[limit.name] == "false" and limit.default is False
        else:
            assert float(written[limit.name]) == limit.default, limit.name


def test_docs_name_every_method() -> None:
    for method in REQUESTS:
        assert f"`{method}`" in PAGE
