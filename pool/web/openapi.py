"""The public API as OpenAPI 3.1: every path, parameter, answer and refusal, served at /api/v1/openapi.json.

The tests hold it against the routes of pool/web/routes.py and against what is answered; docs/reference/openapi.json is
printed from it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pool.web.api import MAX_CREDITS, MAX_ITEMS
from pool.web.openapi_schemas import SCHEMAS, reference

CHAIN_PATTERN = "^[a-z0-9_-]{1,32}$"
HASH_PATTERN = "^[0-9a-fA-F]{64}$"
ADDRESS_PATTERN = "^[0-9A-Za-z:_-]{1,128}$"
NUMBER_PATTERN = "^[0-9]{1,9}$"
PAYMENT_PATTERN = "^[0-9]{1,16}-[0-9A-Za-z]{1,40}$"

REFUSALS = {
    400: "A parameter is wrong; the sentence says which.",
    403: "The signature is not the address's, or the address is frozen.",
    404: "There is nothing there.",
    408: "The body did not arrive in time.",
    409: "The number was used before.",
    413: "The body is too long.",
    429: "Too many requests from this client.",
    503: "The pool cannot answer now; try again later.",
}
RETRY = {429, 503}


def _parameter(name: str, place: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "name": name, "in": place, "required": place == "path", "schema": schema, "description": description,
    }  # fmt: skip


CHAIN = _parameter("chain", "path", {"type": "string", "pattern": CHAIN_PATTERN}, "Name of a chain.")
HASH = _parameter("hash", "path", {"type": "string", "pattern": HASH_PATTERN}, "Hash of a block, as explorers show it.")
ADDRESS = _parameter(
    "address", "path", {"type": "string", "pattern": ADDRESS_PATTERN}, "A payout address, as a login has it."
)
def _cursor(pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return _parameter("cursor", "query", schema, "The cursor of the previous answer.")


def _limit(most: int) -> dict[str, Any]:
    return _parameter(
        "limit", "query", {"type": "integer", "minimum": 1}, f"Items of the answer; over {most} is taken as {most}."
    )


def _answers(good: str, schema: str, refusals: tuple[int, ...]) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": good, "content": {"application/json": {"schema": reference(schema)}}}
    }
    for status in sorted({*refusals, 429, 503}):
        answer: dict[str, Any] = {
            "description": REFUSALS[status],
            "content": {"application/json": {"schema": reference("Error")}},
        }
        if status in RETRY:
            answer["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
            }
        answers[str(status)] = answer
    return answers


def _get(
    name: str, summary: str, schema: str, parameters: tuple[dict[str, Any], ...] = (), refusals: tuple[int, ...] = ()
) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "parameters": list(parameters),
            "responses": _answers("The answer.", schema, refusals),
        }
    }


def _settings() -> dict[str, Any]:
    path = _get("minerSettings", "What is set for a parent address", "Settings", (ADDRESS,), (400, 404))
    path["post"] = {
        "operationId": "changeMinerSettings",
        "summary": "Does what a message says that the address's key has signed",
        "parameters": [ADDRESS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference("SignedMessage")}},
        },
        "responses": _answers("What is set now.", "SettingsChanged", (400, 403, 404, 408, 409, 413)),
    }
    return path


@cache
def openapi() -> dict[str, Any]:
    """The whole document. It is shared: not to be changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "parapool",
            "version": "1",
            "description": "What a pool tells about itself, its chains, blocks and miners. Amounts are integers in a "
            "chain's smallest unit, times are milliseconds since 1970, hashes displayed hex. Fields may be added.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/api/v1/openapi.json": {
                "get": {
                    "operationId": "openapi",
                    "summary": "This document",
                    "responses": {
                        "200": {
                            "description": "The document.",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        },
                        "429": _answers("", "Pool", ())["429"],
                    },
                }
            },
            "/api/v1/pool": _get("pool", "The whole pool", "Pool"),
            "/api/v1/pool/hashrate": _get("poolHashrate", "The whole pool's hashrate over time", "PoolHashrate"),
            "/api/v1/chains": _get("chains", "Every chain now", "Chains"),
            "/api/v1/blocks": _get(
                "blocks",
                "Found blocks, newest first",
                "Blocks",
                (
                    _parameter("chain", "query", {"type": "string", "pattern": CHAIN_PATTERN}, "Of this chain only."),
                    _parameter("votes", "query", {"enum": ["no"]}, "Of configured chains on which no votes are found."),
                    _cursor(NUMBER_PATTERN),
                    _limit(MAX_ITEMS),
                ),
                (400, 404),
            ),
            "/api/v1/blocks/{chain}/{hash}": _get(
                "block", "A block and its split", "BlockSplit",
                (CHAIN, HASH, _cursor(NUMBER_PATTERN), _limit(MAX_CREDITS)), (400, 404),
            ),
            "/api/v1/miners/{address}": _get("miner", "What an address earned", "Miner", (ADDRESS,), (400, 404)),
            "/api/v1/miners/{address}/hashrate": _get(
                "minerHashrate", "An address's hashrate over time", "Hashrate", (ADDRESS,), (400, 404)
            ),
            "/api/v1/miners/{address}/payouts": _get(
                "minerPayouts", "Payments to an address, and its next ones", "Payouts",
                (ADDRESS, _cursor(PAYMENT_PATTERN), _limit(MAX_ITEMS)), (400, 404),
            ),
            "/api/v1/miners/{address}/settings": _settings(),
        },
        "components": {"schemas": SCHEMAS},
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(openapi(), indent=1))
