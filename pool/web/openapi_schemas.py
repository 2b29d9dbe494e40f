"""The shapes of the API's answers as JSON Schema, one for each answer and for what several have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
AMOUNT: Schema = {"type": "integer", "minimum": 0, "description": "In the chain's smallest unit."}
RATE: Schema = {"type": "integer", "minimum": 0, "description": "Hashes per second."}
TIME: Schema = {"type": "integer", "description": "Milliseconds since 1970."}
YES: Schema = {"type": "boolean"}
HEX_64: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
CURSOR: Schema = {"type": ["string", "null"], "description": "Of the next page; null on the last one."}
SCHEME: Schema = {"enum": ["pplns", "solo", "pps", "fpps"]}
BLOCK_STATES = ("submitted", "immature", "mature", "orphan", "rejected", "lost")

VOTE_STATES = ("waiting", "included", "late", "orphaned", "rejected", "lost")


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**fields: Schema) -> Schema:
    """Every field is there; others may be added."""
    return {"type": "object", "required": list(fields), "properties": fields}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _by_chain(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema, "description": "By chain."}


def _state(states: Sequence[str]) -> Schema:
    return {"enum": list(states)}


BLOCK_FIELDS: dict[str, Schema] = {
    "chain": TEXT,
    "height": WHOLE,
    "hash": HEX_64,
    "state": _state(BLOCK_STATES),
    "reward": _or_null(AMOUNT),
    "fee": _or_null(AMOUNT),
    "confirmations": WHOLE,
    "found_ms": TIME,
    "vote": _or_null(_object(state=_state(VOTE_STATES), block=_or_null(HEX_64), index=_or_null(WHOLE))),
}

_CHAIN_SETTINGS = _by_chain(_object(minimum_payout=_or_null(AMOUNT), registered=YES))

SPANS = _object(
    **dict.fromkeys(
        ("1h", "24h", "7d"),
        _object(step_ms={"type": "integer", "minimum": 1}, end_ms=TIME, points=_list(_or_null(RATE))),
    )
)

SCHEMAS: dict[str, Schema] = {
    "Error": _object(error=TEXT),
    "Block": _object(**BLOCK_FIELDS),
    "Pool": _object(
        name=TEXT,
        started_ms=TIME,
        now_ms=TIME,
        parent=TEXT,
        algorithm=TEXT,
        fee_ppm=WHOLE,
        stratum=_list(TEXT),
        accepting=YES,
        connections=WHOLE,
        workers=WHOLE,
        miners=WHOLE,
        hashrate=RATE,
        hashrate_1h=RATE,
        last_share_ms=_or_null(TIME),
        drained_ms=_or_null(TIME),
        provisional=YES,
        shares=_object(
            accepted=WHOLE, accepted_work=WHOLE, rejected={"type": "object", "additionalProperties": WHOLE}
        ),
        jobs_sent=WHOLE,
        chains=_by_chain(
            _object(
                blocks=_object(**dict.fromkeys(BLOCK_STATES, WHOLE)),
                immature=AMOUNT,
                available=AMOUNT,
                fee={"type": "integer", "description": "The pool's fees; below zero where the pool added to rewards."},
                unexplained=AMOUNT,
                last_block=_or_null(reference("Block")),
            )
        ),
    ),
    "Chains": _object(
        items=_list(
            _object(
                name=TEXT,
                kind=TEXT,
                height=_or_null(WHOLE),
                target=_or_null(HEX_64),
                state=_state(("ok", "syncing", "down", "wrong_network", "unknown")),
                in_tree=YES,
                schemes=_list(SCHEME),
                buying=_or_null(YES),
                leading=_or_null(_object(ready=YES, led=WHOLE, refused=WHOLE)),
                votes=YES,
                network=_or_null(TEXT),
            )
        ),
        cursor=CURSOR,
    ),
    "Blocks": _object(items=_list(reference("Block")), cursor=CURSOR),
    "BlockSplit": _object(
        **BLOCK_FIELDS,
        credits=_list(
            _object(
                miner={"type": "string", "description": "An address, or a pseudonym where the pool shows those."},
                amount=AMOUNT,
                held=YES,
            )
        ),
        credits_total=WHOLE,
        cursor=CURSOR,
    ),
    "Miner": _object(
        address=TEXT,
        hashrate=RATE,
        hashrate_1h=RATE,
        best_share=_or_null(_object(difficulty={"type": "number", "minimum": 0}, time_ms=TIME, shares=WHOLE)),
        workers=_list(_object(name=TEXT, online=YES, hashrate=RATE, hashrate_1h=RATE, last_share_ms=TIME)),
        balances=_by_chain(_object(immature=AMOUNT, available=AMOUNT, held=AMOUNT)),
        pseudonyms=_by_chain(TEXT),
        credits=_list(
            _object(
                chain=TEXT, height=WHOLE, hash=HEX_64, state=_state(BLOCK_STATES), amount=AMOUNT, held=YES,
                found_ms=TIME,
            )
        ),
    ),
    "PoolHashrate": _object(spans=SPANS),
    "Hashrate": _object(address=TEXT, spans=SPANS),
    "Payouts": _object(
        next=_by_chain(
            _object(
                state=_state(
                    ("ready", "below_minimum", "frozen", "refused_address", "on_hold", "not_paid", "nothing")
                ),
                minimum=_or_null(AMOUNT),
                amount=_or_null(AMOUNT),
                due_ms=_or_null(TIME),
                missing=_or_null(AMOUNT),
                reached_ms=_or_null(TIME),
            )
        ),
        items=_list(
            _object(
                chain=TEXT,
                amount=AMOUNT,
                fee=_or_null(AMOUNT),
                net=_or_null(AMOUNT),
                state=_state(("prepared", "sent", "paid", "waiting")),
                txid=_or_null(HEX_64),
                elsewhere=YES,
                confirmations=WHOLE,
                created_ms=TIME,
                settled_ms=_or_null(TIME),
            )
        ),
        cursor=CURSOR,
    ),
    "Settings": _object(
        address=TEXT, next_number=WHOLE, template=TEXT, frozen=YES, offline_notice=YES, chains=_CHAIN_SETTINGS
    ),
    "SignedMessage": _object(message=TEXT, signature=TEXT),
    "SettingsChanged": _object(
        address=TEXT,
        number=WHOLE,
        again=YES,
        released=_list(_object(chain=TEXT, amount=AMOUNT, address=TEXT)),
        offline_notice=YES,
        chains=_CHAIN_SETTINGS,
    ),
}  # fmt: skip
