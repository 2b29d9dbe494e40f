"""From a chain's configuration to its payer: terms, wallet, books and service."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from chains.node_rpc import JsonRpc
from chains.node_wallet import NodeWallet, wallet_url
from chains.wallet_signer import Signing, passphrase_in_environment, passphrase_in_file
from pool.config import ChainSection, Config, NodeSection
from pool.config_payouts import PayoutsSection
from pool.data_dir import StartError
from pool.payouts.batch import FeePolicy
from pool.payouts.terms import DUST_OF_FAMILY, INCREMENTAL_OF_FAMILY, INCREMENTAL_RATE, DustRule, PayoutTerms
from pool.services.payout_service import PayoutService
from pool.storage.database import Database
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_file import PayoutFile
from pool.storage.payout_store import SqlPayouts

WALLET_TIMEOUT_S = 30.0  # a wallet of many transactions takes its time to list them


def paying_chains(config: Config) -> dict[str, PayoutsSection]:
    """The chains that pay, with how."""
    return {name: chain.payouts for name, chain in config.chains.items() if chain.payouts is not None}


def payout_terms(config: Config, name: str) -> PayoutTerms:
    """The rules that a chain pays by."""
    chain, section = config.chains[name], paying_chains(config)[name]
    net = chain.chain_network
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
        dust=DUST_OF_FAMILY.get(chain.family, DustRule()),
        reward_address=chain.address,
        max_outputs=section.max_outputs,
        max_inputs=section.max_inputs,
        consolidate_above=section.consolidate_above,
        hot_ceiling=section.hot_ceiling,
        incremental_rate=INCREMENTAL_OF_FAMILY.get(chain.family, INCREMENTAL_RATE),
    )


def open_wallet(config: Config, name: str) -> NodeWallet:
    """The chain's wallet. Raises OSError or StartError when a secret is not where it should be."""
    try:
        return _open_wallet(config, name)
    except KeyError as error:
        raise StartError(f"the environment variable {error} of {name}'s wallet is not set") from error
    except UnicodeDecodeError as error:
        raise StartError(f"a secret of {name}'s wallet is no text") from error


def _open_wallet(config: Config, name: str) -> NodeWallet:
    chain, section = config.chains[name], paying_chains(config)[name]
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
    config: Config, name: str, wallet: NodeWallet, database: Database, executor: Executor, now_ms: Callable[[], int]
) -> PayoutService:
    """The payer of a chain; `executor` is the thread of the books."""
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
