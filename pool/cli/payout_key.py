"""`pool payouts new-key`: the key of an account that a chain is paid from, and its address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK


@click.command("new-key", short_help="Make the key of an account (kinds bk and parallel).")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--prefix", default="bk", show_default=True, help="What the chain's addresses begin with; its `hrp`.")
def new_key(file: Path, prefix: str) -> NoReturn:
    """Make a key in FILE (mode 0600), which must not be there yet, and print the address of its account: the chain's
    `address`, which blocks pay, with FILE as its `payouts.key_file`. Keep a copy of FILE off the machine: who has it
    has the account, and nobody can make it again.

    \b
    Examples:
      pool payouts new-key /etc/parapool/bk.key
      pool payouts new-key /etc/parapool/alpha.key --prefix ppow
    """
    from coincurve import PrivateKey

    from chains.accounts.wallet import address_format
    from chains.primitives.address import pay_to_pubkey_hash, script_to_address
    from chains.signer.keys import KeyFileError, create_key
    from pool.config.parallel_chain import is_hrp

    if not is_hrp(prefix):
        raise click.UsageError("--prefix: expected 1 to 20 lower-case letters and digits")
    try:
        secret = create_key(file)
    except KeyFileError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_NO)
    script = pay_to_pubkey_hash(PrivateKey(secret).public_key.format())
    click.echo(script_to_address(script, address_format(prefix)))
    sys.exit(EXIT_OK)
