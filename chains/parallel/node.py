"""One node of a consensus-proof network in aux mode, as the pool speaks to it (docs/protocol/parallel.md).

The pool mines one datum for the network and all its chains that it has an address for; what a proof then paid is asked
for each chain by the proof's id, anew after every reorganisation.
"""

from __future__ import annotations

from collections.abc import Mapping

from chains import proof_verdict
from chains.block_lookup import Rpc, ask
from chains.kind import AuxTemplate, BlockStatus, Health, NodeState, SubmitAnswer, TemplateError
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.parallel.parameters import Mode
from chains.parallel.template import BlockView, parse_status, parse_submit, parse_template, parse_view
from chains.primitives.fields import FieldError

RPC_BAD_ADDRESS, RPC_BAD_PARAMETER = -5, -8


class ParallelNode:
    """A node of the network whose MM2 context is `context`. `scripts` are the output scripts that are paid, by the
    name of the parallel chain; the first of them is the one that `block_status` and `block_reward` tell of, the others'
    income is told by `income`."""

    def __init__(self, chain: str, node_name: str, rpc: Rpc, scripts: Mapping[str, bytes], context: bytes) -> None:
        if not scripts:
            raise ValueError("a network is mined for at least one of its chains")
        self.chain = chain
        self.name = node_name
        self._rpc = rpc
        self._scripts = dict(scripts)
        self._context = context

    async def health(self) -> Health:
        """Whether it is synced and a node of the network in aux mode. Raises NodeUnavailableError."""
        answer = await ask(self._rpc, "getchainview")
        try:
            view = parse_view(answer)
        except FieldError as error:
            raise NodeUnavailableError(f"unusable getchainview answer: {error}") from error
        if view.mode != Mode.AUX or view.context != self._context:
            detail = f"the node's network is {view.context.hex()} in {view.mode[:20]} mode, not {self._context.hex()}"
            return Health(NodeState.WRONG_NETWORK, view.height, detail)
        missing = sorted(self._scripts.keys() - view.unresolved.keys())
        if missing:
            return Health(NodeState.WRONG_NETWORK, view.height, f"the node does not follow {', '.join(missing)}")
        if view.initial_download:
            return Health(NodeState.SYNCING, view.height, "initial block download")
        return Health(NodeState.OK, view.height)

    async def template(self) -> AuxTemplate:
        """What to mine now. Raises NodeUnavailableError, and TemplateError for an answer that cannot be mined."""
        scripts = {name: script.hex() for name, script in self._scripts.items()}
        try:
            answer = await self._rpc.call("createparalleldatum", scripts)
        except RpcError as error:
            if error.code in (RPC_BAD_ADDRESS, RPC_BAD_PARAMETER):
                raise TemplateError(f"the node refuses chains or scripts: {error.message}") from error
            raise NodeUnavailableError(f"createparalleldatum: {error}") from error
        return parse_template(answer, chain=self.chain, node=self.name, context=self._context)

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Hand in `{"hash", "proof"}`. Raises NodeUnavailableError when there is no verdict, so that it is retried."""
        try:
            answer = await self._rpc.call("submitparalleldatum", payload["hash"], payload["proof"])
        except RpcError as error:
            return proof_verdict.of_error("submitparalleldatum", error)
        try:
            return parse_submit(answer)
        except FieldError as error:
            raise NodeUnavailableError(f"unusable submitparalleldatum answer: {error}") from error

    async def income(self, hash_hex: str) -> dict[str, BlockView]:
        """By parallel chain, what became of it at the consensus proof with this displayed id; `amount` is 0 unless it
        is a block that pays our script. Raises NodeUnavailableError."""
        return {name: await self._view(name, hash_hex) for name in self._scripts}

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """Where the first chain's block at a consensus proof is; a gap or a void is none, as an orphan. Raises
        NodeUnavailableError."""
        view = await self._view(next(iter(self._scripts)), hash_hex)
        if view.state in ("unknown", "held"):
            return BlockStatus(False)
        return BlockStatus(True, view.confirmations if view.state == "block" else -1, view.height)

    async def block_reward(self, hash_hex: str) -> int:
        """What the first chain's block at a consensus proof pays us, in its smallest unit. Raises
        NodeUnavailableError."""
        return (await self._view(next(iter(self._scripts)), hash_hex)).amount

    async def _view(self, name: str, hash_hex: str) -> BlockView:
        answer = await ask(self._rpc, "getparallelblockstatus", name, hash_hex)
        try:
            view = parse_status(answer)
        except FieldError as error:
            raise NodeUnavailableError(f"unusable getparallelblockstatus answer: {error}") from error
        if view.script != self._scripts[name]:
            return BlockView(view.state, view.confirmations, view.height, 0, view.script)
        return view

    async def close(self) -> None:
        await self._rpc.close()
