"""Writes dashboards/*.json: `python grafana/build.py`. With --check it only tells whether they are current."""

from __future__ import annotations

import sys
from pathlib import Path

from chains_board import CHAINS
from miners_board import MINERS
from money_board import MONEY
from panels import to_json
from pool_board import POOL
from process_board import PROCESS

BOARDS = (POOL, CHAINS, MINERS, MONEY, PROCESS)
FOLDER = Path(__file__).parent / "dashboards"


def main() -> int:
    """0, or 1 when a file is not what it should be."""
    stale = []
    for board in BOARDS:
        path, text = FOLDER / f"{board.uid}.json", to_json(board)
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        print(f"not current: {', '.join(stale)}; run: python grafana/build.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
