"""Payers in a process of their own (`pool payouts run`), and questions to a wallet that a decision needs."""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import click

from chains.account_wallet import AccountWallet
from chains.node_rpc import NodeUnavailableError
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import parse_transaction
from chains.wallet import WalletRefusedError
from pool.cli.books import from_books
from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.log_setup import set_up_log
from pool.notifications import notifying
from pool.payout_reasons import fee_line, reasons
from pool.payout_setup import open_wallet, paying_chains, payout_service, payout_terms
from pool.payouts.cold import ColdReturn, NoReturnError, cold_return
from pool.payouts.form import form_of
from pool.payouts.terms import PayoutTerms, fee_rate_obstacle
from pool.services.payout_service import PayoutService
from pool.storage import payout_coins, payout_rows
from pool.storage.database import Database, upgrade

FEE_TIMEOUT_S = 5.0


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def run_payers(config: Config, chains: tuple[str, ...], *, once: bool) -> int:
    """Pays until it is stopped, or one pass of each chain. The exit code: 1 when a pass could not be made."""
    set_up_log(config.log.format, config.log.level)
    names = chains or tuple(paying_chains(config))
    if not names:
        raise click.ClickException("no chain has a section payouts")
    try:
        with notifying(config.notifications, config.pool.name):
            return asyncio.run(_run(config, names, once=once))
    except StartError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        return 0


async def _run(config: Config, names: tuple[str, ...], *, once: bool) -> int:
    url = config.database_url()
    upgrade(url)
    database = Database(url)
    try:
        wallets = {name: open_wallet(config, name) for name in names}
    except (OSError, StartError) as error:
        raise click.ClickException(str(error)) from error
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="books") as executor:
            payers = [payout_service(config, n, wallets[n], database, executor, wall_ms) for n in names]
            if once:
                return await _once(payers)
            await asyncio.gather(*(payer.run() for payer in payers))
            return 0
    finally:
        for wallet in wallets.values():
            await wallet.close()
        database.close()


async def _once(payers: list[PayoutService]) -> int:
    good = True
    for payer in payers:
        made = await payer.step()
        await payer.close()
        good = good and made
        state = ", ".join(f"{count} {state}" for state, count in payer.batches_by_state.items()) or "nothing on its way"
        text = f"{state}{'; on hold' if payer.on_hold else ''}" if made else payer.fault
        click.echo(f"{payer.chain}: {text}", file=sys.stdout if made else sys.stderr)
    return 0 if good else 1


def proven_conflict(config: Config, chain: str, batch_id: str, txid: bytes) -> bytes:
    """The txid, when the wallet says that it spends an input of the batch and lies as deep as a coinbase matures.
    Raises click.ClickException."""
    batch = from_books(config, lambda books: payout_rows.find(books, batch_id))
    if batch is None or batch.built is None or batch.chain != chain:
        raise click.ClickException(f"{chain} has no batch {batch_id} that was built")
    if txid in {version.txid for version in batch.versions}:
        raise click.ClickException("that is the batch's own transaction")
    # What a further transaction of a raised fee spends beyond the first one says nothing about the first.
    first = min(batch.versions, key=lambda version: version.version).built
    form = form_of(payout_terms(config, chain))
    claims = form.claims(first) if first is not None else frozenset()
    wallet = open_wallet(config, chain)

    async def ask() -> tuple[int, bool]:
        try:
            found = await wallet.transaction(txid)
            if isinstance(wallet, AccountWallet):  # it has the bytes of what left the account only
                found = next((one for one in await wallet.transactions_since(0) if one.txid == txid), None)
        finally:
            await wallet.close()
        return (0, False) if found is None else (found.confirmations, bool(form.claimed(found.raw) & claims))

    try:
        depth, spends = asyncio.run(ask())
    except (NodeUnavailableError, WalletRefusedError) as error:
        raise click.ClickException(f"the wallet cannot be asked: {error}") from error
    maturity = payout_terms(config, chain).maturity
    if not spends or depth < maturity:
        raise click.ClickException(
            f"that transaction is {depth} deep and {'spends' if spends else 'does not spend'} an input of the batch;"
            f" expected one that does, {maturity} deep"
        )
    return txid


def cold_return_of(config: Config, chain: str, txid: bytes, kept: tuple[int, ...]) -> ColdReturn:
    """What the wallet says of a transaction that brings swept coins back; `kept` are the outputs that stay cold. Raises
    click.ClickException."""
    cold = {coin.outpoint: coin for coin in from_books(config, lambda books: payout_coins.cold_coins(books, chain))}
    confirmations = payout_terms(config, chain).confirmations
    wallet = open_wallet(config, chain)

    async def ask() -> ColdReturn:
        try:
            shown = await wallet.transaction(txid)
            if shown is None:
                raise NoReturnError("the wallet does not know it, so it pays nothing to the wallet")
            if shown.confirmations < confirmations:
                raise NoReturnError(f"it is {max(shown.confirmations, 0)} deep, expected {confirmations}")
            transaction = parse_transaction(shown.raw)
            outputs = enumerate(transaction.outputs)
            ours = {vout for vout, output in outputs if await wallet.is_ours(output.script)}
            found = cold_return(transaction, cold, ours, kept)
            for outpoint, _ in found.kept:
                if not await wallet.is_unspent(outpoint):
                    raise NoReturnError(f"its output {outpoint.vout} is spent again")
        finally:
            await wallet.close()
        return found

    try:
        return asyncio.run(ask())
    except (NoReturnError, MalformedError) as error:
        raise click.ClickException(f"{txid[::-1].hex()} brings no swept coins back: {error}") from error
    except (NodeUnavailableError, WalletRefusedError) as error:
        raise click.ClickException(f"the wallet cannot be asked: {error}") from error


def reason_lines(config: Config, chain: str) -> list[str]:
    """Why the chain pays nothing now, in plain words; the node is asked for its fee when only that is left."""
    if config.chains[chain].payouts is None:
        return ["nobody is paid: the configuration has no section payouts"]
    terms = payout_terms(config, chain)
    found = from_books(config, lambda books: reasons(books, terms, wall_ms()))
    if not found.wants_fee:
        return list(found.lines)
    try:
        obstacle = fee_rate_obstacle(asyncio.run(_fee_rate(config, chain, terms)), terms)
    except (NodeUnavailableError, WalletRefusedError, OSError, StartError, TimeoutError) as error:
        obstacle = f"the wallet's node cannot be asked: {error or type(error).__name__}"
    return [*found.lines, fee_line(obstacle)]


async def _fee_rate(config: Config, chain: str, terms: PayoutTerms) -> int | None:
    wallet = open_wallet(config, chain)
    try:
        async with asyncio.timeout(FEE_TIMEOUT_S):
            return await wallet.fee_rate(terms.fee_target_blocks)
    finally:
        await wallet.close()
