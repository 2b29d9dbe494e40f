"""`pool doctor`: everything a pool needs, looked at before miners depend on it. Nothing is changed by looking.

Places, books, nodes and wallets are looked at side by side, each with a time limit of its own; then the job that miners
would get is made of what the nodes offered and tried (job_trial.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chains.kind import AuxTemplate, ParentTemplate
from pool.chain_setup import node_rpc, watched_chain
from pool.config import Config
from pool.doctor.books_checks import database_finding, redis_findings
from pool.doctor.chain_checks import agreement, template_of, wallet_findings
from pool.doctor.finding import Finding, Progress, in_thread, wrong
from pool.doctor.job_trial import JobTrial
from pool.doctor.node_checks import ANSWER_S, NodeUnderTest, node_findings
from pool.doctor.place_checks import POOL, folder_findings, port_findings
from pool.services.chain_watch import WatchedChain

WHOLE_S = 28.0
"""For all of it. Every part has a limit of its own, which together stay below this one."""

Template = ParentTemplate | AuxTemplate


async def examine(config: Config, tell: Callable[[str], None] = lambda text: None) -> list[Finding]:
    """Every finding, in the order of the table: the pool's own place, then the chains, then the job."""
    progress = Progress(tell)
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(WHOLE_S):
            await _examine(config, progress, findings)
    except TimeoutError:
        remedy = "Run it again when the machine is less busy; what stands above is true."
        findings.append(wrong(POOL, "doctor", f"not finished within {WHOLE_S:g} s", remedy))
    return findings


async def _examine(config: Config, progress: Progress, findings: list[Finding]) -> None:
    async def looked(subject: str, work: Awaitable[list[Finding]]) -> list[Finding]:
        with progress.looking_at(subject):
            return await work

    names = [config.parent, *config.aux_chains]
    chains = [_Chain(config, name) for name in names]
    try:
        place, books, redis, ports, *rest = await asyncio.gather(
            looked("data folder", in_thread(folder_findings, config)),
            looked("database", _one(database_finding(config))),
            looked("redis", redis_findings(config)),
            looked("ports", port_findings(config)),
            *(chain.look(progress) for chain in chains),
            *(looked(f"{name} wallet", wallet_findings(config, name)) for name in names),
        )
        findings += [*place, *books, *redis, *ports]
        for number in range(len(names)):
            findings += [*rest[number], *rest[len(names) + number]]
        if chains[0].watched is not None:
            trial = JobTrial(config, chains[0].watched, {chain.name: chain.nodes for chain in chains})
            aux = {chain.name: chain.offer for chain in chains if isinstance(chain.offer, AuxTemplate)}
            offer = chains[0].offer
            parent = offer if isinstance(offer, ParentTemplate) else None
            findings += await looked("job", trial.findings(parent, aux))
    finally:
        for chain in chains:
            await chain.close()


async def _one(finding: Awaitable[Finding]) -> list[Finding]:
    return [await finding]


class _Chain:
    """One chain under test: its nodes, and the template of the best of them, as the pool would choose."""

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self.section = config.chains[name]
        self.watched: WatchedChain | None = None
        self.nodes: list[NodeUnderTest] = []
        self.offer: Template | None = None
        self._unopened = ""
        try:
            self.watched = watched_chain(name, self.section)
            for number, node in enumerate(self.watched.nodes):
                section = self.section.nodes[number]
                rpc = node_rpc(section, f"{name}[{number}]", ANSWER_S)
                self.nodes.append(NodeUnderTest(name, number, self.section, section, node, rpc))
        except (OSError, UnicodeDecodeError) as error:
            self._unopened = str(error)

    async def look(self, progress: Progress) -> list[Finding]:
        if self._unopened:
            remedy = f"Let the pool's user read the password files of chains.{self.name}.nodes."
            return [wrong(self.name, "login", self._unopened, remedy)]
        looked = await asyncio.gather(*(self._look_at(node, progress) for node in self.nodes))
        found = [finding for findings, _ in looked for finding in findings]
        self.offer = _best([template for _, template in looked if template is not None])
        return found + await agreement(self.nodes)

    async def _look_at(
        self, node: NodeUnderTest, progress: Progress
    ) -> tuple[list[Finding], Template | None]:
        with progress.looking_at(node.subject):
            found = await node_findings(node)
            if not node.is_usable:
                return found, None
            template, finding = await template_of(node)
            return [*found, finding], template

    async def close(self) -> None:
        for node in self.nodes:
            await node.rpc.close()
            await node.node.close()


def _best(offers: Sequence[Template]) -> Template | None:
    """The first of the highest, as nodes stand in the order of preference; a node behind does not lead the pool."""
    return max(offers, key=lambda template: template.height, default=None)


