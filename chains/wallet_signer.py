"""Handing a transaction to a daemon's wallet for its signatures, with the wallet unlocked for no longer than that.

What comes back is only what the wallet says; chains/node_wallet.py judges it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from chains import wallet_answers as answers
from chains.block_lookup import RPC_METHOD_NOT_FOUND
from chains.node_rpc import NodeUnavailableError, RpcError, one_line
from chains.primitives import fields
from chains.wallet import WalletRefusedError

log = logging.getLogger("parapool.wallet")

# Bitcoin Core, src/rpc/protocol.h
RPC_UNENCRYPTED = -15  # "running with an unencrypted wallet, but walletpassphrase was called"

# How long the wallet stays open when nobody closes it again (the pool killed between unlocking and locking).
UNLOCK_S = 30
SIGN_TIMEOUT_S = 60.0  # hundreds of inputs on a slow machine


class Signing(StrEnum):
    """How transactions are handed to the wallet: `auto` asks the daemon what it has, the newest way first."""

    AUTO = "auto"
    PSBT = "psbt"  # converttopsbt, walletprocesspsbt, finalizepsbt (0.17 and later)
    RAW = "raw"  # signrawtransactionwithwallet (0.17 and later) or signrawtransaction


class Call(Protocol):
    """A JSON-RPC call to the wallet. Raises RpcError and NodeUnavailableError."""

    async def __call__(self, method: str, *params: Any, timeout_s: float | None = None) -> Any: ...


def passphrase_in_file(path: Path) -> Callable[[], str]:
    """The first line of a file, read anew each time."""

    def read() -> str:
        return _not_empty(path.read_text("utf-8").partition("\n")[0].rstrip("\r"))

    return read


def passphrase_in_environment(name: str) -> Callable[[], str]:
    """An environment variable (systemd's credentials come as files; a container's secrets may come like this)."""

    def read() -> str:
        return _not_empty(os.environ[name])

    return read


def _not_empty(passphrase: str) -> str:
    if not passphrase:
        raise ValueError("an empty passphrase")
    return passphrase


class WalletSigner:
    """`passphrase` is asked each time that the wallet is to be unlocked, and what it gives is kept nowhere; None for a
    wallet that is not encrypted."""

    def __init__(self, chain: str, call: Call, signing: Signing, passphrase: Callable[[], str] | None) -> None:
        self._chain = chain
        self._call = call
        self._passphrase = passphrase
        self._one_at_a_time = asyncio.Lock()
        self._ways: list[Callable[[str], Awaitable[Any]]] = []
        if signing is not Signing.RAW:
            self._ways.append(self._by_psbt)
        if signing is not Signing.PSBT:
            self._ways += [self._by_raw, self._by_raw_of_old]

    async def sign(self, unsigned: bytes) -> bytes:
        """What the wallet makes of the transaction, complete by its own account. Raises WalletRefusedError and
        NodeUnavailableError."""
        async with self._one_at_a_time, self._unlocked():
            answer = await self._signed(unsigned.hex())
        return _signed_bytes(answer)

    async def _signed(self, unsigned_hex: str) -> Any:
        """An answer with `hex` and `complete`, by the first way that the daemon has; the others are not asked again."""
        while True:
            try:
                return await self._ways[0](unsigned_hex)
            except RpcError as error:
                if error.code != RPC_METHOD_NOT_FOUND or len(self._ways) == 1:
                    raise WalletRefusedError(f"signing: {error}") from error
                del self._ways[0]

    async def _by_psbt(self, unsigned_hex: str) -> Any:
        psbt = await self._call("converttopsbt", unsigned_hex, False, False)
        processed = await self._call("walletprocesspsbt", psbt, True, "ALL", False, timeout_s=SIGN_TIMEOUT_S)
        return await self._call("finalizepsbt", answers.mapping(processed, "walletprocesspsbt").get("psbt"))

    async def _by_raw(self, unsigned_hex: str) -> Any:
        return await self._call("signrawtransactionwithwallet", unsigned_hex, timeout_s=SIGN_TIMEOUT_S)

    async def _by_raw_of_old(self, unsigned_hex: str) -> Any:
        return await self._call("signrawtransaction", unsigned_hex, timeout_s=SIGN_TIMEOUT_S)

    @asynccontextmanager
    async def _unlocked(self) -> AsyncIterator[None]:
        if self._passphrase is None:
            yield
            return
        try:
            await self._unlock(self._passphrase)
            yield
        finally:  # also when it is not known whether the wallet was unlocked
            await self._lock()

    async def _unlock(self, read_passphrase: Callable[[], str]) -> None:
        try:
            passphrase = read_passphrase()
        except (OSError, ValueError, LookupError) as error:
            raise WalletRefusedError(f"the wallet's passphrase cannot be read: {type(error).__name__}") from error
        try:
            await self._call("walletpassphrase", passphrase, UNLOCK_S)
        except RpcError as error:
            if error.code != RPC_UNENCRYPTED:
                # Without the node's own error behind it, whose words might repeat what it was sent.
                raise WalletRefusedError(f"walletpassphrase: {str(error).replace(passphrase, '…')}") from None
            log.warning("wallet is not encrypted, though a passphrase is configured chain=%s", self._chain)

    async def _lock(self) -> None:
        try:
            await self._call("walletlock")
        except (RpcError, NodeUnavailableError) as error:
            if not isinstance(error, RpcError) or error.code != RPC_UNENCRYPTED:
                log.warning("wallet not locked, it locks itself within %d s chain=%s: %s", UNLOCK_S, self._chain, error)


def _signed_bytes(answer: Any) -> bytes:
    """The bytes of a signing answer (`signrawtransaction…`, `finalizepsbt`) that calls itself complete."""
    record = answers.mapping(answer, "signing")
    if record.get("complete") is not True:
        errors = record.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else {}
        reason = one_line(first.get("error")) if isinstance(first, dict) and "error" in first else "no reason given"
        raise WalletRefusedError(f"the wallet cannot sign every input: {reason}")
    try:
        return fields.hex_bytes(record, "hex")
    except fields.FieldError as error:
        raise WalletRefusedError(f"signing: {error}") from error
