"""The reference node of the bitcoin kind: getblocktemplate and submitblock over a chain with Bitcoin Core's rules.

What it answers is what Bitcoin Core answers (tests/fixtures/namecoin-regtest); where a
real daemon differs, the daemon is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError
from chains.primitives.target import bits_to_target
from chains.reference.block import Block, PlainForm, parse_block
from chains.reference.chain import Entry
from chains.reference.checks import MAX_WEIGHT, with_coinbase_witness
from chains.reference.errors import DESERIALIZATION, IN_INITIAL_DOWNLOAD, INVALID_PARAMETER, TYPE, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import hex_bytes, mapping, text
from chains.reference.settings import Change, NodeSettings

NEEDS_SEGWIT = 'getblocktemplate must be called with the segwit rule set (call with {"rules": ["segwit"]})'
SYNCING = "Bitcoin Core is in initial sync and waiting for blocks..."
MAX_SIGOPS = 80_000
TEMPLATE_AGE_S = 5  # a changed mempool makes a new template when the last one is older (Core)
LONGPOLL_STEP_S = 10  # after the first check, the mempool is looked at this often (Core)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A template as it was built: for which tip and mempool, when, and all its fields that stay."""

    tip: Entry
    updates: int
    time_s: int
    fields: dict[str, Any]


class BitcoinDevnet:
    """A parent chain of devnet."""

    def __init__(self, settings: NodeSettings, clock: Callable[[], int], change: Change) -> None:
        self.node = ReferenceNode(settings.rules(), PlainForm(settings.pow_hash), settings.data_dir, clock)
        self._change = change
        self._longpoll_s = settings.longpoll_s
        self._offer: _Offer | None = None

    def methods(self) -> Mapping[str, Callable[..., Any]]:
        return {"getblocktemplate": self.getblocktemplate, "submitblock": self.submitblock}

    async def getblocktemplate(self, template_request: object) -> object:
        """BIP22, BIP23 and BIP145: a template, the answer to a proposal, or a template once something changed."""
        request = {} if template_request is None else mapping(template_request)
        mode = request.get("mode", "template")
        if mode == "proposal":
            return self._propose(request)
        if mode != "template":
            raise RpcError(INVALID_PARAMETER, "Invalid mode")
        if self.node.faults.syncing:
            raise RpcError(IN_INITIAL_DOWNLOAD, SYNCING)
        rules = request.get("rules", [])
        if not isinstance(rules, list) or "segwit" not in rules:
            raise RpcError(INVALID_PARAMETER, NEEDS_SEGWIT)
        longpoll_id = request.get("longpollid")
        if longpoll_id is not None:
            await self._wait(text(longpoll_id))
        return self._template()

    def submitblock(self, hexdata: object, dummy: object = None) -> str | None:
        """BIP22: null when the block is the new tip, else a reason word. A missing coinbase witness is put in."""
        return self.node.submit(with_coinbase_witness(self._parse(hexdata)))

    def _parse(self, data: object) -> Block:
        try:
            return parse_block(hex_bytes(data), self.node.form)
        except MalformedError as error:
            raise RpcError(DESERIALIZATION, "Block decode failed") from error

    def _propose(self, request: dict[str, Any]) -> str | None:
        if not isinstance(request.get("data"), str):
            raise RpcError(TYPE, "Missing data String key for proposal")
        return self.node.propose(self._parse(request["data"]))

    async def _wait(self, longpoll_id: str) -> None:
        """Core's longpoll: until the tip differs from the id's, or, after a minute and then every ten seconds, until
        the mempool does."""
        mempool = self.node.mempool
        updates = longpoll_id[64:]
        look_s = self.node.clock() + self._longpoll_s
        while displayed(self.node.chain.tip.hash) == longpoll_id[:64]:
            now_s = self.node.clock()
            if now_s >= look_s:
                if str(mempool.updates) != updates:
                    return
                look_s = now_s + LONGPOLL_STEP_S
            await self._change(look_s - now_s)

    def _template(self) -> dict[str, Any]:
        now_s = self.node.clock()
        tip = self.node.chain.tip
        offer = self._offer
        is_old = offer is None or offer.tip is not tip
        if offer is not None and offer.updates != self.node.mempool.updates:
            is_old = is_old or now_s - offer.time_s > TEMPLATE_AGE_S
        if offer is None or is_old:
            offer = _Offer(tip, self.node.mempool.updates, now_s, self._fields(tip))
            self._offer = offer
        return offer.fields | {"curtime": self.node.block_time()}

    def _fields(self, tip: Entry) -> dict[str, Any]:
        node = self.node
        transactions, fees_sat = node.selected()
        bits = node.chain.next_bits(tip)
        waiting = [node.mempool.get(transaction.txid) for transaction in transactions]
        return {
            "capabilities": ["proposal"],
            "version": node.rules.version,
            "rules": ["csv", "!segwit", "taproot"],
            "vbavailable": {},
            "vbrequired": 0,
            "previousblockhash": displayed(tip.hash),
            "transactions": [
                {
                    "data": w.transaction.serialize().hex(),
                    "txid": displayed(w.transaction.txid),
                    "hash": displayed(w.transaction.wtxid),
                    "depends": [],
                    "fee": w.fee_sat,
                    "sigops": len(w.transaction.inputs),
                    "weight": w.transaction.weight,
                }
                for w in waiting
                if w is not None
            ],
            "coinbaseaux": {},
            "coinbasevalue": node.rules.subsidy_sat + fees_sat,
            "longpollid": displayed(tip.hash) + str(node.mempool.updates),
            "target": f"{bits_to_target(bits):064x}",
            "mintime": node.chain.median_time(tip) + 1,
            "mutable": ["time", "transactions", "prevblock"],
            "noncerange": "00000000ffffffff",
            "sigoplimit": MAX_SIGOPS,
            "sizelimit": MAX_WEIGHT,
            "weightlimit": MAX_WEIGHT,
            "bits": f"{bits:08x}",
            "height": tip.height + 1,
            "default_witness_commitment": node.commitment_script(transactions).hex(),
        }
