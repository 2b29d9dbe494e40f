"""`python -m pool`, and the console script `pool`."""

from __future__ import annotations


def main() -> None:
    """Run the command line. The import is in here because the miner's hashing processes load this module too."""
    from pool.cli.commands import main as run_command

    run_command()


if __name__ == "__main__":
    main()
