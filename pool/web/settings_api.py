"""Miners' settings over HTTP, without HTTP: what a body must be, what anybody may see, which status a refusal has.

Who knows an address may ask what is set for it and sees no other address in the answer: where its payouts go would tie
two addresses together. Whoever holds its key may change it, by a message signed with that key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from pool.miners.refusal import (
    MinerFrozenError,
    NumberUsedError,
    SettingsRefusedError,
    SignatureRefusedError,
    TooManyMessagesError,
    UnknownMinerError,
)
from pool.web.api import ApiError, Json, checked_address

MAX_BODY = 8192
"""Bytes of a posted body: a message has at most 4096 characters, a signature 400."""

STATUSES: dict[type[SettingsRefusedError], int] = {
    SignatureRefusedError: 403,
    MinerFrozenError: 403,
    UnknownMinerError: 404,
    NumberUsedError: 409,
    TooManyMessagesError: 429,
}
"""Any other refusal is 400."""


class MinerSettings(Protocol):
    """The books' part (pool/storage/settings_books.py). Both raise SettingsRefusedError."""

    async def settings(self, address: str) -> Mapping[str, Any]: ...
    async def apply(self, address: str, message: str, signature: str) -> Mapping[str, Any]: ...


class SettingsApi:
    """One method per endpoint, each giving the JSON object of its answer. Raises ApiError."""

    def __init__(self, books: MinerSettings) -> None:
        self.books = books

    async def show(self, address: str) -> Json:
        try:
            found = await self.books.settings(checked_address(address))
        except SettingsRefusedError as error:
            raise _api_error(error) from None
        return {
            "address": found["address"],
            "next_number": found["next_number"],
            "template": found["template"],
            "frozen": found["frozen"] is not None,
            "offline_notice": found["offline_notice"] is not None,
            "chains": _chains(found),
        }

    async def change(self, address: str, body: bytes) -> Json:
        message, signature = _signed(body)
        try:
            done = await self.books.apply(checked_address(address), message, signature)
        except SettingsRefusedError as error:
            raise _api_error(error) from None
        return {
            "address": done["address"],
            "number": done["number"],
            "again": done["again"],
            "released": [{key: item[key] for key in ("chain", "amount", "address")} for item in done["released"]],
            "offline_notice": done["offline_notice"] is not None,
            "chains": _chains(done),
        }


def _chains(found: Mapping[str, Any]) -> Json:
    """What is set per chain. Whoever came by an old message may send it again, so no answer has present addresses."""
    return {
        chain: {"minimum_payout": chosen["minimum_payout"], "registered": chosen["registered"] is not None}
        for chain, chosen in found["chains"].items()
    }


def _signed(body: bytes) -> tuple[str, str]:
    """The message and its signature, as texts. Raises ApiError."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "expected a JSON object with message and signature") from None
    parts = [read.get(key) if isinstance(read, dict) else None for key in ("message", "signature")]
    if not (isinstance(parts[0], str) and isinstance(parts[1], str)):
        raise ApiError(400, "expected a JSON object with message and signature, two texts")
    return parts[0], parts[1]


def _api_error(error: SettingsRefusedError) -> ApiError:
    return ApiError(STATUSES.get(type(error), 400), str(error))
