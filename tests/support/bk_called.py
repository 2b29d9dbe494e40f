"""One B_k node, called as its RPC server calls it, with the effects in the test's hand."""

from __future__ import annotations

import json
import random
from typing import Any

from coincurve import PrivateKey, PublicKeyXOnly

from chains.accounts.wallet import address_of
from chains.bk.calls import CALLS
from chains.bk.core import BkCore
from chains.bk.parameters import BkParameters
from chains.calls.errors import CallError
from chains.calls.table import Access, CallTable, Waited
from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import build_tree
from chains.peers.core import Answer, Asked, Effect, Refuse, Started, Write
from chains.primitives.hashes import sha256d
from support.mm2_parents import coinbase_of, mine

TABLE = CallTable(CALLS)
SECRET = (5).to_bytes(32, "big")
KEY = PublicKeyXOnly.from_secret(SECRET).format().hex()
NOW_MS = 1_700_000_600_000


class CalledNode:
    """One node, called as its RPC server calls it."""

    def __init__(self, **changes: int) -> None:
        numbers = {"k": 3, "interval_s": 60, "subsidy": 1000, "maturity_blocks": 2, "first_difficulty": 16} | changes
        self.parameters = BkParameters("bk-calls", **numbers)
        self.records: dict[str, dict[bytes, bytes]] = {}
        self.effects: list[Effect] = []
        self.wallet_secret = (9).to_bytes(32, "big")
        self.start()
        account = self.call("listaccounts")[0]
        self.script, self.address, self.public_key = account["script"], account["address"], account["public_key"]
        self.seen = 0

    def start(self) -> None:
        self.core = BkCore(self.parameters, random.Random(1), secrets=(self.wallet_secret,))
        stored = {name: list(table.items()) for name, table in self.records.items()}
        self.carry_out(self.core.on(NOW_MS, Started(stored)))

    def carry_out(self, effects: Any) -> Any:
        self.effects = list(effects)
        answer = None
        for effect in self.effects:
            if isinstance(effect, Write):
                for table, key, value in effect.puts:
                    self.records.setdefault(table, {})[key] = value
            elif isinstance(effect, Answer):
                answer = effect.value
            elif isinstance(effect, Refuse):
                raise CallError(effect.code, effect.reason)
        return answer

    def call(self, name: str, *parameters: Any) -> Any:
        call = TABLE.find(name)
        values = call.values(json.loads(json.dumps(parameters)))
        if call.waits is not None:
            values = values[:-1]
        if call.access is Access.READ:
            assert call.function is not None
            result = call.function(self.core, *values)
            return json.loads(json.dumps(result if not isinstance(result, Waited) else [result.value, result.is_news]))
        asked = values if call.function is None else call.function(self.core, *values)
        return self.carry_out(self.core.on(NOW_MS, Asked(name, 1, asked)))

    def mined(self, datum: bytes, target: int, others: int = 3) -> tuple[str, bytes]:
        """(proof, vote id) of a parent that commits to a datum."""
        self.seen += 1
        context = self.parameters.context
        tree = build_tree({context: sha256d(datum), sha256d(b"other"): bytes(32)})
        parent = mine(
            coinbase_of(tree.root, b"\x02" + self.seen.to_bytes(2, "little")),
            tree, [bytes([n]) * 32 for n in range(others)], target,
        )  # fmt: skip
        proof = build_proof(parent.header, parent.coinbase, parent.branch, tree.links[context], sha256d(datum))
        return serialize(proof).hex(), sha256d(parent.header)

    def vote(self) -> bytes:
        """A vote for the template, accepted."""
        template = self.call("getvotetemplate", KEY, self.script)
        proof, vote = self.mined(bytes.fromhex(template["datum"]), int(template["target"], 16))
        assert self.call("submitvote", template["datum"], proof) is None
        return vote

    def lead(self) -> str:
        """The proposal there is, signed and handed in; its hash."""
        proposal = self.call("getproposal", KEY)
        signature = PrivateKey(SECRET).sign_schnorr(bytes.fromhex(proposal["digest"]), bytes(32)).hex()
        answer = self.call("submitblock", proposal["header"], signature, proposal["votes"], proposal["body"])
        assert answer is None
        again = self.call("submitblock", proposal["header"], signature, proposal["votes"], proposal["body"])
        assert again == "duplicate"
        return str(proposal["hash"])

    def block(self) -> list[bytes]:
        votes = [self.vote() for _ in range(self.parameters.k)]
        self.lead()
        return votes


def stranger(node: CalledNode) -> str:
    """The address of somebody else."""
    return address_of(node.core.chain, b"\x00\x14" + b"\x07" * 20)
