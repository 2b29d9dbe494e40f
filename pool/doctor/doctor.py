"""`pool doctor`: everything a pool needs, looked at before miners depend on it. Nothing is changed by looking.

Places, books, nodes and wallets are looked at side by side, each with a time limit of its own; then the job that miners
would get is made of what the nodes offered and tried (job_trial.py). Of a process with a role only what that one needs:
what it must not have (docs/operating/scale-out.md) may be out of its reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from chains.kind import AuxTemplate, ParentTemplate, TemplateError
from chains.node_rpc import NodeUnavailableError
from chains.parallel.node import ParallelNode
from pool.chain_setup import node_rpc, watched_chains
from pool.config.configuration import BkChain, Config
from pool.config.roles import MINING, SERVING
from pool.doctor.books_checks import database_finding, redis_findings
from pool.doctor.chain_checks import agreement, template_of, wallet_findings
from pool.doctor.finding import Finding, Progress, in_thread, wrong
from pool.doctor.job_trial import JobTrial
from pool.doctor.leading_checks import leader_finding
from pool.doctor.node_checks import node_findings
from pool.doctor.node_under_test import ANSWER_S, NodeUnderTest
from pool.doctor.place_checks import certificate_findings, folder_findings, port_findings
from pool.leader_keys import leader_files
from pool.services.chain_watch import WatchedChain

WHOLE_S = 28.0
"""For all of it. Every part has a limit of its own, which together stay below this one."""

Template = ParentTemplate | AuxTemplate


async def examine(config: Config, tell: Callable[[str], None] = lambda text: None) -> list[Finding]:
    """Every finding, in the order of the table: the pool's own place, then the chains, then the job."""
    looks = _Looks(Progress(tell))
    try:
        async with asyncio.timeout(WHOLE_S):
            await _examine(config, looks)
    except TimeoutError:
        return [*looks.found(), *looks.unfinished()]
    return looks.found()


async def _examine(config: Config, looks: _Looks) -> None:
    names = [config.parent, *config.aux_chains]
    role = config.pool.role
    chains = [_Chain(config, name) for name in names] if role in MINING else []
    work = [looks.look("data folder", in_thread(folder_findings, config))]
    if role != "stratum":
        work.append(looks.look("database", _one(database_finding(config))))
    if role in MINING:
        work.append(looks.look("redis", redis_findings(config)))
    work.append(looks.look("ports", port_findings(config)))
    if role in SERVING:
        work.append(looks.look("certificates", in_thread(certificate_findings, config)))
    for chain in chains:
        work += chain.looks(looks)
    if config.pool.pays:
        work += [looks.look(f"{name} wallet", wallet_findings(config, name)) for name in names]
    try:
        await asyncio.gather(*work)
        work = [looks.look(f"{chain.name} nodes", agreement(chain.nodes)) for chain in chains]
        work += [looks.look(f"{chain.name} leader", _leading(config, chain)) for chain in chains]
        makes_jobs = config.transport.jobs != "follow"
        if role in SERVING and makes_jobs and chains[0].watched is not None:
            trial = JobTrial(config, chains[0].watched, {chain.name: chain.nodes for chain in chains})
            aux = {chain.name: chain.offer for chain in chains if isinstance(chain.offer, AuxTemplate)}
            aux |= await _of_one_datum(chains)
            offer = chains[0].offer
            work.append(looks.look("job", trial.findings(offer if isinstance(offer, ParentTemplate) else None, aux)))
        await asyncio.gather(*work)
    finally:
        for chain in chains:
            await chain.close()


async def _of_one_datum(chains: Sequence[_Chain]) -> dict[str, AuxTemplate]:
    """The offers of chains that one proof pays, asked for once more and together: each was asked for on its own, and
    the network may have moved in between. A node that does not answer now has been told of."""
    found: dict[str, AuxTemplate] = {}
    for chain in chains:
        if not isinstance(chain.offer, AuxTemplate) or chain.name in found:
            continue
        node = next(one.node for one in chain.nodes if one.node.name == chain.offer.node)
        if isinstance(node, ParallelNode):
            try:
                async with asyncio.timeout(ANSWER_S):
                    found |= (await node.network.template()).templates
            except (TimeoutError, NodeUnavailableError, TemplateError):
                continue
    return found


async def _leading(config: Config, chain: _Chain) -> list[Finding]:
    """Of a chain of votes only."""
    section = chain.section
    if not isinstance(section, BkChain) or not config.leads:
        return []
    return [leader_finding(chain.name, leader_files(section, config.pool.data_dir, chain.name))]


async def _one(finding: Awaitable[Finding]) -> list[Finding]:
    return [await finding]


class _Looks:
    """What is looked at, in the order of the table, and what was found: whatever breaks or does not end takes nothing
    of the rest with it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._found: dict[str, list[Finding] | None] = {}

    def look(self, subject: str, work: Awaitable[list[Finding]]) -> Coroutine[Any, Any, None]:
        """Its place in the table is where this is called, not when it ends."""
        self._found[subject] = None
        return self._look(subject, work)

    async def _look(self, subject: str, work: Awaitable[list[Finding]]) -> None:
        with self._progress.looking_at(subject):
            try:
                self._found[subject] = await work
            except Exception as error:
                words = f"the check itself broke: {error!r}"
                self._found[subject] = [wrong(subject, "doctor", words, "A fault of the doctor: report it.")]

    def found(self) -> list[Finding]:
        return [finding for findings in self._found.values() for finding in findings or ()]

    def unfinished(self) -> list[Finding]:
        remedy = "Look what is slow there, or run the doctor again when this machine is less busy."
        return [
            wrong(subject, "doctor", f"not finished within {WHOLE_S:g} s", remedy)
            for subject, findings in self._found.items()
            if findings is None
        ]


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
            self.watched = watched_chains(config, [name])[name]
            for number, node in enumerate(self.watched.nodes):
                section = self.section.nodes[number]
                rpc = node_rpc(section, f"{name}[{number}]", ANSWER_S)
                self.nodes.append(NodeUnderTest(name, number, self.section, section, node, rpc))
        except (OSError, UnicodeDecodeError) as error:
            self._unopened = str(error)

    def looks(self, looks: _Looks) -> list[Coroutine[Any, Any, None]]:
        """One for each node."""
        if self._unopened:
            remedy = f"Let the pool's user read the password files of chains.{self.name}.nodes."
            return [looks.look(self.name, _now(wrong(self.name, "login", self._unopened, remedy)))]
        return [looks.look(node.subject, self._look_at(node)) for node in self.nodes]

    async def _look_at(self, node: NodeUnderTest) -> list[Finding]:
        """Keeps the highest template, of equal ones the first that came: a node behind does not lead the pool."""
        found = await node_findings(node)
        if not node.is_usable:
            return found
        template, finding = await template_of(node)
        if template is not None and (self.offer is None or template.height > self.offer.height):
            self.offer = template
        return [*found, finding]

    async def close(self) -> None:
        for node in self.nodes:
            await node.rpc.close()
            await node.node.close()


async def _now(finding: Finding) -> list[Finding]:
    return [finding]
