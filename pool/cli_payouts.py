"""`pool payouts`: who would be paid, paying, what is on its way, holds, and the operator's own orders.

Commands that order or decide only write the books, beside a running pool; its payer goes on from there. Each may be
repeated without doing anything twice.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli_books import from_books, in_books, now_ms, plain_text
from pool.cli_options import EXIT_NO, EXIT_OK, config_option, load_config, set_option

if TYPE_CHECKING:
    from chains.wallet import Outpoint
    from pool.config import Config
    from pool.payouts.batch import BatchKind

chain_argument = click.argument("chain")
reason_option = click.option("--reason", required=True, callback=plain_text, help="Why; kept in the books.")
_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DASHES = {"ignore_unknown_options": True}
"""A negative amount is an amount to be refused, and no option."""


def _amount(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """An amount of the operator's, in whole smallest units."""
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 1 <= int(text) <= 2**62:
        raise click.BadParameter(f"{text!a}: expected whole smallest units (satoshi), from 1 to {2**62}")
    return int(text)


@click.group(short_help="Pay miners, and see what is on its way.")
def payouts() -> None:
    """Pay miners, and see what is on its way. `pool run` pays by itself every `payouts.interval_s`; how to read all of
    this: docs/operating/paying-out.md. Amounts are whole smallest units.

    \b
    Examples:
      pool payouts show -c pool.yaml
      pool payouts plan namecoin --dry-run -c pool.yaml
      pool payouts hold namecoin --reason "moving the wallet" -c pool.yaml
    """


@payouts.command(short_help="Show who would be paid now.")
@chain_argument
@click.option("--dry-run", is_flag=True, help="Say it or not: this never pays; `run --once` does.")
@config_option()
@set_option
def plan(chain: str, dry_run: bool, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Show who would be paid on CHAIN now, due or not, and who is passed over for what reason. Nothing is written and
    no wallet is asked, so fees and coins are not in it.

    \b
    Example:
      pool payouts plan namecoin --dry-run -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_setup import payout_terms
    from pool.payouts.plan import Passed
    from pool.payouts.plan import plan as make_plan
    from pool.storage.payout_store import claims

    _paying(config, chain)
    made = make_plan(from_books(config, lambda books: claims(books, chain)), payout_terms(config, chain), lambda: "")
    for payout in made.payouts:
        click.echo(f"pay {payout.gross} to {payout.address}")
    for claim, reason, words in made.passed:
        if reason is not Passed.BELOW_MINIMUM:
            click.echo(f"not {claim.available} to {claim.address}: {reason}{f' ({words})' if words else ''}")
    below = sum(reason is Passed.BELOW_MINIMUM for _, reason, _ in made.passed)
    click.echo(f"{len(made.payouts)} payouts, {made.total} in all; {below} accounts below their minimum")
    sys.exit(EXIT_OK)


@payouts.command(short_help="Pay without running the pool.")
@click.argument("chains", nargs=-1)
@click.option("--once", is_flag=True, help="One pass of each chain, then end.")
@config_option()
@set_option
def run(chains: tuple[str, ...], once: bool, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Pay on CHAINS (default: all that have a section `payouts`) in a process of its own: plan when due, go on with
    what is on its way. A chain is paid by one process at a time: where the pool pays already, this one stands by, and
    with --once ends with 1.

    \b
    Example:
      pool payouts run --once namecoin -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_process import run_payers

    for chain in chains:
        _paying(config, chain)
    sys.exit(run_payers(config, chains, once=once))


@payouts.command(short_help="Show batches, holds, deposits and what the wallet holds.")
@click.argument("chain", required=False)
@click.option("--batch", "batch_id", metavar="ID", help="One batch with its payouts.")
@click.option("--last", type=click.IntRange(1, 10_000), default=10, show_default=True, help="So many batches.")
@config_option()
@set_option
def show(
    chain: str | None, batch_id: str | None, last: int, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Show holds, batches, deposits, addresses in quarantine and what lies above what is owed, of CHAIN or of all.
    Exit code 1 while anything waits for you: a hold, or a batch that is conflicted or on hold.

    \b
    Example:
      pool payouts show namecoin -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_lines import batch_lines, standing_lines

    if chain is not None:
        _known(config, chain)
    if batch_id is not None:
        lines, good = from_books(config, lambda books: batch_lines(books, batch_id))
    else:
        names = [chain] if chain is not None else list(config.chains)
        lines, good = from_books(config, lambda books: standing_lines(books, names, last))
    click.echo("\n".join(lines))
    sys.exit(EXIT_OK if good else EXIT_NO)


@payouts.command(short_help="Pay nothing new on a chain, or stop one batch.")
@chain_argument
@click.option("--batch", "batch_id", metavar="ID", help="Only this batch.")
@reason_option
@config_option()
@set_option
def hold(chain: str, batch_id: str | None, reason: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Pay nothing new on CHAIN from now on. What is signed is followed and sent again all the same, unless its batch is
    held by name.

    \b
    Example:
      pool payouts hold namecoin --reason "moving the wallet" -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_holds, payout_orders

    _known(config, chain)
    if batch_id is not None:
        state = in_books(config, lambda books: payout_orders.hold_batch(books, batch_id, reason, now_ms()))
        click.echo(f"batch {batch_id} is {state}")
    else:
        new = in_books(config, lambda books: payout_holds.place(books, chain, "operator", reason, now_ms()))
        click.echo(f"{chain} is on hold" if new else f"{chain} is on hold already")
    sys.exit(EXIT_OK)


@payouts.command(short_help="End a chain's holds.")
@chain_argument
@click.option("--cause", help="Only the hold with this cause, as `show` names it.")
@reason_option
@config_option()
@set_option
def release(chain: str, cause: str | None, reason: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """End CHAIN's holds. The wallet is compared with the books before anything is paid, so a hold whose reason is still
    there comes back by itself.

    \b
    Example:
      pool payouts release namecoin --reason "coin 5f…:0 was ours, see ticket 12" -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_holds

    _known(config, chain)
    ended = in_books(config, lambda books: payout_holds.release(books, chain, cause, reason, now_ms()))
    click.echo(f"{ended} holds of {chain} are over")
    sys.exit(EXIT_OK)


@payouts.command(short_help="Decide about a batch on hold, or a quarantined address.")
@chain_argument
@click.option("--batch", "batch_id", metavar="ID", help="The batch on hold.")
@click.option("--go-on", is_flag=True, help="It goes on where it was.")
@click.option("--void", is_flag=True, help="It is given up, and what it would have paid is owed again.")
@click.option("--spent-by", metavar="TXID", help="For --void of a signed batch: the transaction that took an input.")
@click.option("--account", type=int, help="Try the addresses of this account again.")
@reason_option
@config_option()
@set_option
def resolve(
    chain: str, batch_id: str | None, go_on: bool, void: bool, spent_by: str | None, account: int | None, reason: str,
    config_file: str, overrides: tuple[str, ...],
) -> NoReturn:  # fmt: skip
    """Decide about a batch on hold: --go-on, or --void. One that was signed can only be void when --spent-by names a
    transaction that spends one of its inputs, as deep as a coinbase matures; the wallet is asked whether that is so.

    \b
    Example:
      pool payouts resolve namecoin --batch 0f3c --void --reason "never signed" -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_holds, payout_orders

    _known(config, chain)
    if account is not None:
        ended = in_books(config, lambda books: payout_holds.end_quarantine(books, account))
        click.echo(f"{ended} addresses will be tried again")
    elif batch_id is None or go_on == void:
        raise click.UsageError("expected --batch with --go-on or --void, or --account")
    elif go_on:
        state = in_books(config, lambda books: payout_orders.release_batch(books, batch_id, reason, now_ms()))
        click.echo(f"batch {batch_id} is {state}")
    else:
        proof = None
        if spent_by is not None:
            from pool.payout_process import proven_conflict

            proof = proven_conflict(config, chain, batch_id, _txid(spent_by))
        state = in_books(
            config, lambda books: payout_orders.void_batch(books, batch_id, reason, now_ms(), conflict_txid=proof)
        )
        click.echo(f"batch {batch_id} is {state}")
    sys.exit(EXIT_OK)


@payouts.command(short_help="Claim a deposit as the operator's money.")
@chain_argument
@click.argument("coin", metavar="TXID:VOUT")
@config_option()
@set_option
def fund(chain: str, coin: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Claim the deposit TXID:VOUT as your own money in the pool. Send coins to the wallet first; `show` lists them.

    \b
    Example:
      pool payouts fund namecoin 6f2c…e1:0 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_coins

    _known(config, chain)
    outpoint = _outpoint(coin)
    amount = in_books(config, lambda books: payout_coins.claim_deposit(books, chain, outpoint, now_ms()))
    click.echo(f"{amount} are the operator's")
    sys.exit(EXIT_OK)


@payouts.command(short_help="Take the operator's money out.", context_settings=_DASHES)
@chain_argument
@click.argument("address")
@click.argument("amount", callback=_amount)
@click.option("--ref", "reference", required=True, help="A name for it: the same again is the same withdrawal.")
@config_option()
@set_option
def withdraw(
    chain: str, address: str, amount: int, reference: str, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Take AMOUNT of your own money out, to ADDRESS: never more than lies above what is owed. The payer sends it.

    \b
    Example:
      pool payouts withdraw namecoin nc1qexample 500000000 --ref 2026-11 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payouts.batch import BatchKind

    _order(config, chain, BatchKind.WITHDRAW, reference, address, amount)


@payouts.command(short_help="Move coins out of the hot wallet; they stay in the books.", context_settings=_DASHES)
@chain_argument
@click.argument("address")
@click.argument("amount", callback=_amount)
@click.option("--ref", "reference", required=True, help="A name for it: the same again is the same sweep.")
@config_option()
@set_option
def sweep(
    chain: str, address: str, amount: int, reference: str, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Move AMOUNT out of the hot wallet to ADDRESS, which is yours and not in that wallet. The coins stay in the books
    as what the pool owes from, and are looked at on the chain.

    \b
    Example:
      pool payouts sweep namecoin nc1qcold 5000000000 --ref 2026-11-20 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payouts.batch import BatchKind

    _order(config, chain, BatchKind.SWEEP, reference, address, amount)


@payouts.command(short_help="Make one coin of many.")
@chain_argument
@click.option("--ref", "reference", required=True, help="A name for it: the same again is the same consolidation.")
@config_option()
@set_option
def consolidate(chain: str, reference: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Make one coin of the smallest ones. The payer does it by itself above `payouts.consolidate_above`.

    \b
    Example:
      pool payouts consolidate namecoin --ref 2026-11-20 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payouts.batch import BatchKind

    _order(config, chain, BatchKind.CONSOLIDATE, reference, None, 0)


def _order(
    config: Config, chain: str, kind: BatchKind, reference: str, address: str | None, amount: int
) -> NoReturn:
    from chains.primitives.address import AddressError, address_to_script
    from pool.payout_setup import payout_terms
    from pool.payouts.batch import Payout
    from pool.storage import payout_orders

    _paying(config, chain)
    if not _REFERENCE.fullmatch(reference):
        raise click.UsageError("--ref: expected 1 to 64 characters out of A-Z, a-z, 0-9, ., _ and -")
    outputs: tuple[Payout, ...] = ()
    if address is not None:
        try:
            script = address_to_script(address, payout_terms(config, chain).addresses)
        except AddressError as error:
            raise click.UsageError(f"ADDRESS: {error}") from error
        name = payout_orders.payout_id(chain, kind, reference)
        outputs = (Payout(name, None, address, script, amount),)
    batch = in_books(config, lambda books: payout_orders.order(books, chain, kind, reference, outputs, now_ms()))
    click.echo(f"batch {batch.id} is {batch.state}{f': {batch.reason}' if batch.reason else ''}")
    sys.exit(EXIT_NO if batch.state == "void" else EXIT_OK)


def _known(config: Config, chain: str) -> None:
    if chain not in config.chains:
        raise click.UsageError(f"CHAIN: expected one of {', '.join(config.chains)}")


def _paying(config: Config, chain: str) -> None:
    _known(config, chain)
    if config.chains[chain].payouts is None:
        raise click.UsageError(f"CHAIN: {chain} has no section payouts in the configuration")


def _txid(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise click.UsageError("expected a TXID of 64 hex digits")
    return bytes.fromhex(text)[::-1]


def _outpoint(text: str) -> Outpoint:
    from chains.wallet import Outpoint

    txid, _, vout = text.partition(":")
    if not re.fullmatch(r"\d{1,5}", vout):
        raise click.UsageError("expected TXID:VOUT, such as 6f2c…e1:0")
    return Outpoint(_txid(txid), int(vout))
