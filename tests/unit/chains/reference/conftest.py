"""A reference chain at a fixed time, and blocks on it that a test may bend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chains.primitives.merkle import merkle_root
from chains.primitives.transaction import Transaction
from chains.reference.block import Block, PlainForm, mine_header
from chains.reference.node import ReferenceNode
from chains.reference.rules import Rules

START_S = 1_800_000_000
TARGET = 0x7FFFFF << 232
RULES = Rules("regtest-name", "seed")


@dataclass
class Clock:
    """Time as the test wants it."""

    now_s: int = START_S

    def __call__(self) -> int:
        return self.now_s


class Bench:
    """A node of the plain form with helpers to build, bend and mine blocks."""

    def __init__(self, directory: Path, rules: Rules = RULES) -> None:
        self.directory = directory
        self.rules = rules
        self.clock = Clock()
        self.node = ReferenceNode(rules, PlainForm(), directory, self.clock)

    def restart(self) -> ReferenceNode:
        self.node.close()
        self.node = ReferenceNode(self.rules, PlainForm(), self.directory, self.clock)
        return self.node

    def fund(self, blocks: int = 12) -> None:
        """Blocks to the wallet's first key, so that the first of them are mature."""
        for _ in range(blocks):
            self.clock.now_s += 1
            self.node.generate(1, self.node.wallet.script(0))

    def block(self) -> Block:
        return self.mined(self.node.build_block(self.node.wallet.script(0)))

    def mined(self, block: Block) -> Block:
        return replace(block, header=mine_header(block.header, TARGET))

    def header(self, block: Block, **changes: Any) -> Block:
        return self.mined(replace(block, header=replace(block.header, **changes)))

    def coinbase(self, block: Block, change: Callable[[Transaction], Transaction]) -> Block:
        """The block with its coinbase changed, merkle root and work made good again."""
        return self.rooted(replace(block, transactions=(change(block.coinbase), *block.transactions[1:])))

    def rooted(self, block: Block) -> Block:
        root = merkle_root([transaction.txid for transaction in block.transactions])
        return self.header(block, merkle_root=root)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "node")
    yield made
    made.node.close()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**rules: Any) -> Bench:
        made.append(Bench(tmp_path / f"node{len(made)}", replace(RULES, **rules)))
        return made[-1]

    yield make
    for each in made:
        each.node.close()
