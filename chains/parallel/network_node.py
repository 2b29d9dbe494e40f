"""One node of a consensus-proof network in aux mode (docs/protocol/parallel.md), as all the pool's chains of that
network share it.

A proof pays every chain in its manifest, so there is one datum for all of them: it is asked for with all their scripts,
and what one chain asks while another's question is under way gets the same answer. A chain that the node does not
follow is left out of the datum, and so of the jobs; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from chains import proof_verdict
from chains.block_lookup import Rpc, ask
from chains.kind import AuxTemplate, Health, NodeState, SubmitAnswer, TemplateError, maturity_words
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.parallel.parameters import Mode
from chains.parallel.template import (
    BlockView,
    NetworkView,
    parse_offer,
    parse_status,
    parse_submit,
    parse_view,
)
from chains.primitives.fields import FieldError
from chains.primitives.hashes import displayed, from_displayed, sha256d

log = logging.getLogger("parapool.chain")

RPC_BAD_ADDRESS, RPC_BAD_PARAMETER = -5, -8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PaidChain:
    """A chain of the network that the pool mines: `chain` and `node` are the pool's names for it and for this node of
    it, `name` what the network's nodes call it (or its context in hex). `script` is paid, `former` scripts were.
    `maturity` is after how many blocks the pool calls a reward available, None for one that asks for no answer: a chain
    that waits longer is not mined."""

    chain: str
    node: str
    name: str
    script: bytes
    former: tuple[bytes, ...] = ()
    maturity: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkTemplate:
    """What a node offers for all its chains at once: `templates` by the pool's chain name, equal in context, datum and
    target. `height` is that of the consensus proof."""

    height: int
    target: int
    templates: Mapping[str, AuxTemplate]


class NetworkNode:
    """A node of the network whose MM2 context is `context`, and whose first proof stands on `genesis` where that is
    given (natural order). Each of `chains` is one of the pool's. `users` counts who has yet to close the node."""

    def __init__(
        self, name: str, rpc: Rpc, context: bytes, chains: Sequence[PaidChain], genesis: bytes | None = None
    ) -> None:
        if not chains:
            raise ValueError("a network is mined for at least one of its chains")
        self.name = name
        self.chains = {chain.chain: chain for chain in chains}
        self._rpc = rpc
        self.users = 0
        self._context = context
        self._genesis = genesis
        self._view: NetworkView | None = None
        self._asking: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self._holes: dict[str, int] = {}

    # -- how it is ------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Whether it is synced, and a node of the network that follows at least one of the chains. Raises
        NodeUnavailableError."""
        view = await self.view()
        wrong = self._wrong_network(view)
        if wrong is None and not self._followed(view):
            wrong = "; ".join(_wrong_chain(view, chain) or "" for chain in self.chains.values())
        return _health(view, wrong, view.height)

    async def chain_health(self, chain: str) -> Health:
        """The same of one of the pool's chains; the height is the chain's own. Raises NodeUnavailableError."""
        view = await self.view()
        paid = self.chains[chain]
        standing = view.chain(paid.name)
        wrong = self._wrong_network(view) or _wrong_chain(view, paid)
        return _health(view, wrong, 0 if standing is None else standing.height)

    async def view(self) -> NetworkView:
        """The node's view now. Raises NodeUnavailableError."""
        return await self._together(("view",), self._ask_view)

    async def _ask_view(self) -> NetworkView:
        answer = await ask(self._rpc, "getchainview")
        try:
            self._view = parse_view(answer)
        except FieldError as error:
            raise NodeUnavailableError(f"unusable getchainview answer: {error}") from error
        self._tell_holes(self._view)
        return self._view

    def _tell_holes(self, view: NetworkView) -> None:
        for chain in self.chains.values():
            standing = view.chain(chain.name)
            holes = 0 if standing is None else standing.unresolved
            if holes and not self._holes.get(chain.chain):
                log.warning(
                    "bodies of a chain are hidden, its blocks do not mature until they are known chain=%s node=%s "
                    "missing=%d", chain.chain, chain.node, holes,
                )  # fmt: skip
            elif self._holes.get(chain.chain) and not holes:
                log.info("no body of a chain is missing any more chain=%s node=%s", chain.chain, chain.node)
            self._holes[chain.chain] = holes

    async def holes(self, chain: str) -> int:
        """How many bodies of a chain the node misses below its tip, as it said last. Raises NodeUnavailableError."""
        if self._view is None:
            await self.view()
        return self._holes[chain]

    def _wrong_network(self, view: NetworkView) -> str | None:
        if view.mode != Mode.AUX or view.context != self._context:
            return f"the node's network is {view.context.hex()} in {view.mode[:20]} mode, not {self._context.hex()}"
        if self._genesis is not None and view.genesis != self._genesis:
            return f"the node's genesis is {displayed(view.genesis)}, not {displayed(self._genesis)}"
        return None

    def _followed(self, view: NetworkView) -> list[PaidChain]:
        return [chain for chain in self.chains.values() if _wrong_chain(view, chain) is None]

    # -- work -----------------------------------------------------------------------------------------------------

    async def template(self) -> NetworkTemplate:
        """What to mine now. Raises NodeUnavailableError, and TemplateError for an answer that cannot be mined."""
        return await self._together(("template",), self._ask_template)

    async def _ask_template(self) -> NetworkTemplate:
        asked = self._followed(self._view or await self.view())
        try:
            answer = await self._rpc.call("createparalleldatum", {chain.name: chain.script.hex() for chain in asked})
        except RpcError as error:
            if error.code in (RPC_BAD_ADDRESS, RPC_BAD_PARAMETER):
                self._view = None  # it may follow other chains by now
                raise TemplateError(f"the node refuses chains or scripts: {error.message}") from error
            raise NodeUnavailableError(f"createparalleldatum: {error}") from error
        offer = parse_offer(answer, self._context)
        begun = [chain for chain in asked if chain.name in offer.chains]
        if not begun:
            raise TemplateError(f"none of {', '.join(self.chains)} has begun at the network's tip")
        templates = {
            chain.chain: offer.template(chain.chain, chain.node, self._context, chain.name) for chain in begun
        }
        return NetworkTemplate(offer.height, offer.target, templates)

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Hand in `{"hash", "datum", "proof"}`, `hash` being the consensus proof's displayed id; chains that do so at
        once hand it in once. Raises NodeUnavailableError when there is no verdict, so that it is retried."""
        return await self._together(("submit", payload["datum"], payload["proof"]), lambda: self._submit(payload))

    async def _submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        datum_hash = displayed(sha256d(bytes.fromhex(payload["datum"])))
        try:
            answer = await self._rpc.call("submitparalleldatum", datum_hash, payload["proof"])
        except RpcError as error:
            return proof_verdict.of_error("submitparalleldatum", error)
        try:
            return parse_submit(answer, from_displayed(payload["hash"]))
        except FieldError as error:
            raise NodeUnavailableError(f"unusable submitparalleldatum answer: {error}") from error

    # -- what became of it ----------------------------------------------------------------------------------------

    async def block(self, chain: str, hash_hex: str) -> BlockView:
        """What became of one of the pool's chains at the consensus proof with this displayed id; `amount` is 0 unless
        it is a block that pays us. Raises NodeUnavailableError."""
        paid = self.chains[chain]
        answer = await ask(self._rpc, "getparallelblockstatus", paid.name, hash_hex)
        try:
            view = parse_status(answer)
        except FieldError as error:
            raise NodeUnavailableError(f"unusable getparallelblockstatus answer: {error}") from error
        if view.script != paid.script and view.script not in paid.former:
            return BlockView(view.state, view.confirmations, view.height, 0, view.script)
        return view

    async def close(self) -> None:
        """By one of its users; the last one ends it."""
        self.users -= 1
        if self.users > 0:
            return
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._rpc.close()

    async def _together(self, key: tuple[str, ...], question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to a question that is asked once at a time: who asks while it is under way gets the same answer.
        One who gives up takes nothing from the others. Raises NodeUnavailableError when it is closed meanwhile."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(question())
            task.add_done_callback(lambda done: self._answered(key, done))
        try:
            return cast(T, await asyncio.shield(task))
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if asking is not None and asking.cancelling():
                raise
            raise NodeUnavailableError(f"{self.name} is not asked any more") from None

    def _answered(self, key: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # nobody's error when all who asked have given up


def _wrong_chain(view: NetworkView, chain: PaidChain) -> str | None:
    """Why the node cannot be used for a chain."""
    standing = view.chain(chain.name)
    if standing is None:
        return f"the node does not follow {chain.name}"
    if chain.maturity is not None and standing.maturity > chain.maturity:
        return f"{chain.name}: {maturity_words(standing.maturity, chain.maturity)}"
    return None


def _health(view: NetworkView, wrong: str | None, height: int) -> Health:
    if wrong is not None:
        return Health(NodeState.WRONG_NETWORK, height, wrong)
    if view.initial_download:
        return Health(NodeState.SYNCING, height, "initial block download")
    return Health(NodeState.OK, height)
