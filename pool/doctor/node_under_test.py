"""A node that is looked at by the doctor, and how long it has for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chains.kind import Health, NodeState
from chains.node_rpc import JsonRpc
from pool.config.configuration import ChainSection, NodeSection

ANSWER_S = 4.0
"""For one question. The pool gives a node up after three seconds (services/chain_watch.py)."""


@dataclass
class NodeUnderTest:
    """A configured node: the pool's object for it, and a client of our own for what the pool does not ask."""

    chain_name: str
    number: int
    chain: ChainSection
    section: NodeSection
    node: Any
    rpc: JsonRpc
    health: Health | None = None

    @property
    def subject(self) -> str:
        return f"{self.chain_name}[{self.number}]"

    @property
    def key(self) -> str:
        """Where the node stands in the file."""
        return f"chains.{self.chain_name}.nodes.{self.number}"

    @property
    def is_usable(self) -> bool:
        return self.health is not None and self.health.state is NodeState.OK
