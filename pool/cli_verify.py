"""`pool verify`: one proof in a file, judged with no node and no pool."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from pool.cli_options import ANY_FILE, EXIT_USAGE


@click.group(short_help="Verify a proof in a file.")
def verify() -> None:
    """Verify one proof of work in a file, with no node and no pool.

    Prints ok (exit code 0) or the reason of the first check that fails (1); a file that is no question ends with 2 and
    a sentence.
    """


@verify.command("mm2", short_help="Verify an MM2 proof.")
@click.argument("file", type=ANY_FILE)
def verify_mm2(file: str) -> NoReturn:
    """Verify an MM2 proof: FILE holds {"context", "target", "proof"} or {"context", "target", "wire", "aux_hash"}.

    \b
    Example:
      pool verify mm2 proof.json
    """
    from pool.verify import verify_mm2_file

    _verdict(*verify_mm2_file(file))


@verify.command("auxpow", short_help="Verify an AuxPoW (MM1).")
@click.argument("file", type=ANY_FILE)
def verify_auxpow(file: str) -> NoReturn:
    """Verify an AuxPoW (MM1): FILE holds {"chain_id", "block_hash", "target", "auxpow", "pow"}.

    \b
    Example:
      pool verify auxpow auxpow.json
    """
    from pool.verify import verify_auxpow_file

    _verdict(*verify_auxpow_file(file))


@verify.command("bk", short_help="Verify a vote, block or transfer of B_k.")
@click.argument("file", type=ANY_FILE)
def verify_bk(file: str) -> NoReturn:
    """Verify what a B_k node's getvoteproof, getblockproof or gettransferproof answered.

    A vote is {"context", "datum", "proof", "target"}; a block {"context", "k", "target", "header", "signature",
    "votes"}; a transfer {"transfer", "index", "count", "branch", "header"}.

    \b
    Example:
      pool verify bk vote.json
    """
    from pool.verify import verify_bk_file

    _verdict(*verify_bk_file(file))


@verify.command("parallel", short_help="Verify a consensus proof, or a transfer in one.")
@click.argument("file", type=ANY_FILE)
def verify_parallel(file: str) -> NoReturn:
    """Verify a consensus proof of a network that you know: FILE holds {"network", "bits", "proof"}.

    With what a node's gettransferproof answered and {"chain_id"} besides, that the proof carries a transfer. What
    network is made of: docs/protocol/parallel.md.

    \b
    Example:
      pool verify parallel transfer.json
    """
    from pool.verify import verify_parallel_file

    _verdict(*verify_parallel_file(file))


def _verdict(exit_code: int, text: str) -> NoReturn:
    """The answer on stdout; a sentence about wrong use on stderr."""
    click.echo(text, err=exit_code == EXIT_USAGE)
    sys.exit(exit_code)
