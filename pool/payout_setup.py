"""From a chain's configuration to its payer: terms, wallet, books and service."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from chains.account_node import AccountNode
from chains.account_wallet import AccountWallet, Spends
from chains.accounts.coins import Spend
from chains.mm2_proof.tree import context_of
from chains.node_rpc import JsonRpc
from chains.node_wallet import NodeWallet, wallet_url
from chains.signer.keys import KeyFileError, read_key
from chains.wallet import WalletRefusedError
from chains.wallet_signer import Signing, passphrase_in_environment, passphrase_in_file
from pool.config.configuration import BkChain, ChainSection, Config, NodeSection, ParallelChain
from pool.config.payouts import PayoutsSection
from pool.data_dir import StartError
from pool.payouts.batch import FeePolicy
from pool.payouts.terms import (
    ACCOUNT_MAX_INPUTS,
    DUST_OF_FAMILY,
    INCREMENTAL_OF_FAMILY,
    INCREMENTAL_RATE,
    DustRule,
    PayoutTerms,
)
from pool.services.payout_service import PayoutService
from pool.storage.database import Database
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_file import PayoutFile
from pool.storage.payout_spends import AccountSpends
from pool.storage.payout_store import SqlPayouts

WALLET_TIMEOUT_S = 30.0  # a wallet of many transactions takes its time to list them

PayingWallet = NodeWallet | AccountWallet
"""A chain's wallet: at its node, or an account whose key is here."""


def paying_chains(config: Config) -> dict[str, PayoutsSection]:
    """The chains that pay, with how."""
    return {name: chain.payouts for name, chain in config.chains.items() if chain.payouts is not None}


def payout_terms(config: Config, name: str) -> PayoutTerms:
    """The rules that a chain pays by."""
    chain, section = config.chains[name], paying_chains(config)[name]
    net = chain.chain_network
    account = isinstance(chain, BkChain | ParallelChain)
    return PayoutTerms(
        chain=name,
        addresses=net.addresses,
        minimum_payout=section.minimum_payout,
        maturity=chain.credit_maturity - 1,
        confirmations=section.confirmations,
        interval_ms=section.interval_s * 1000,
        fee_policy=FeePolicy(section.fee_policy),
        max_fee_rate=section.max_fee_rate,
        default_fee_rate=section.default_fee_rate,
        minimum_fee_rate=section.min_fee_rate,
        fee_target_blocks=section.fee_target_blocks,
        dust=DustRule(0, 0) if account else DUST_OF_FAMILY.get(chain.family, DustRule()),
        reward_address=chain.address,
        max_outputs=section.max_outputs,
        max_inputs=ACCOUNT_MAX_INPUTS if account else section.max_inputs,
        consolidate_above=ACCOUNT_MAX_INPUTS if account else section.consolidate_above,
        hot_ceiling=section.hot_ceiling,
        incremental_rate=None if account else INCREMENTAL_OF_FAMILY.get(chain.family, INCREMENTAL_RATE),
        account=account,
    )


def open_wallet(config: Config, name: str) -> PayingWallet:
    """The chain's wallet. Raises OSError or StartError when a secret is not where it should be."""
    try:
        return _open_wallet(config, name)
    except KeyError as error:
        raise StartError(f"the environment variable {error} of {name}'s wallet is not set") from error
    except UnicodeDecodeError as error:
        raise StartError(f"a secret of {name}'s wallet is no text") from error


def account_spends(database: Database, executor: Executor, name: str) -> Spends:
    """What the books say of a chain's transfers; asked in the thread of the books."""
    spends = AccountSpends(database, name)

    async def ask() -> Mapping[bytes, Spend]:
        return await asyncio.get_running_loop().run_in_executor(executor, spends)

    return ask


def _open_account(config: Config, name: str, chain: BkChain | ParallelChain) -> AccountWallet:
    """Raises StartError when the key is not there, or not that of the chain's address."""
    section = paying_chains(config)[name]
    assert section.key_file is not None, "pool/config/payout_checks.py asks for it"
    parallel = chain.chain_name if isinstance(chain, ParallelChain) else None
    context = chain.context if isinstance(chain, ParallelChain) else context_of(chain.context_name)
    rpcs = [wallet_rpc(config, name), *_other_rpcs(name, chain, section)]
    try:
        return AccountWallet(
            name,
            chain.address,
            chain.chain_network.addresses,
            read_key(section.key_file),
            [AccountNode(rpc, parallel, context) for rpc in rpcs],
            maturity=chain.credit_maturity - 1,
            waits_for_bodies=chain.waits_for_bodies if isinstance(chain, ParallelChain) else True,
            alone=chain.network == "regtest",
        )
    except (KeyFileError, WalletRefusedError) as error:
        raise StartError(f"{name}'s payouts.key_file: {error}") from error


def _open_wallet(config: Config, name: str) -> PayingWallet:
    chain, section = config.chains[name], paying_chains(config)[name]
    if isinstance(chain, BkChain | ParallelChain):
        return _open_account(config, name, chain)
    passphrase: Callable[[], str] | None = None
    if section.passphrase_file is not None:
        passphrase = passphrase_in_file(section.passphrase_file)
    elif section.passphrase_env is not None:
        passphrase = passphrase_in_environment(section.passphrase_env)
    return NodeWallet(
        name,
        chain.chain_network,
        wallet_rpc(config, name),
        _other_rpcs(name, chain, section),
        signing=Signing(section.signing),
        passphrase=passphrase,
    )


def open_payout_books(config: Config, database: Database, name: str, now_ms: int) -> SqlPayouts:
    """Takes the right to pay on a chain and opens its books and payout file. Raises OtherPayerError, OSError and
    PayoutFileError."""
    lock = PayerLock(database, name, f"{config.pool.name} on {socket.gethostname()} ({os.getpid()})", now_ms)
    try:
        file = PayoutFile(config.pool.data_dir / "payouts" / f"{name}.hex")
    except BaseException:
        lock.close()
        raise
    return SqlPayouts(database, lock, file)


def payout_service(
    config: Config, name: str, wallet: PayingWallet, database: Database, executor: Executor, now_ms: Callable[[], int]
) -> PayoutService:
    """The payer of a chain; `executor` is the thread of the books."""
    if isinstance(wallet, AccountWallet):
        wallet.spends = account_spends(database, executor, name)
    return PayoutService(
        wallet,
        lambda: open_payout_books(config, database, name, now_ms()),
        payout_terms(config, name),
        executor,
        now_ms=now_ms,
        new_id=lambda: uuid.uuid4().hex,
    )


def wallet_rpc(config: Config, name: str) -> JsonRpc:
    """A client of the node that has a chain's wallet. Raises OSError, UnicodeDecodeError or KeyError when its password
    is not where it should be."""
    chain, section = config.chains[name], paying_chains(config)[name]
    url = section.wallet_url or chain.nodes[0].url
    if section.wallet_name is not None:
        url = wallet_url(url, section.wallet_name)
    login: dict[str, Any] = _login_of(chain.nodes[0])
    if section.has_login:
        login = {"user": section.user, "password": section.read_password(), "cookie_file": section.cookie_file}
    return JsonRpc(url, timeout_s=WALLET_TIMEOUT_S, name=f"{name} wallet", **login)


def _other_rpcs(name: str, chain: ChainSection, section: PayoutsSection) -> list[JsonRpc]:
    """The chain's further nodes: payments are sent to them as well."""
    has_wallet = section.wallet_url or chain.nodes[0].url
    return [
        JsonRpc(node.url, timeout_s=WALLET_TIMEOUT_S, name=f"{name}[{number}] payouts", **_login_of(node))
        for number, node in enumerate(chain.nodes)
        if node.url != has_wallet
    ]


def _login_of(node: NodeSection) -> dict[str, Any]:
    return {"user": node.user, "password": node.read_password(), "cookie_file": node.cookie_file}
