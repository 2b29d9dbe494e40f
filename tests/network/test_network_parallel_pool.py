"""The pool above a consensus-proof network of five processes: each proof of its miners pays it on two chains, and what
the books credit is what the chains paid, through reorganisations, gaps, hidden bodies and bodies that come late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.aux_proofs import Outsider
from support.network import RealNetwork, until
from support.network_pool import EASY_BITS, NetworkPool

from chains.accounts.wallet import address_format
from chains.mm2_proof.tree import context_of
from chains.primitives.address import script_to_address

MATURITY = 30  # deeper than any reorganisation here, however slow the machine is


def network_file(maturity: int) -> dict[str, Any]:
    rest = {"maturity_blocks": maturity}
    return {
        "kind": "parallel",
        "network": {
            "name": "pool test",
            "mode": "aux",
            "first_bits": EASY_BITS,
            "half_life_s": None,
            "chains": [
                {"name": "alpha", "context_name": "a", "subsidy": 50_00000001, "hrp": "ppa", **rest},
                {"name": "beta", "context_name": "b", "subsidy": 7_00000003, "hrp": "ppb", **rest},
            ],
        },
    }


NETWORK = network_file(MATURITY)
CHAINS = {"ppa": "alpha", "ppb": "beta"}
SUBSIDY = {"ppa": 50_00000001, "ppb": 7_00000003}
POOL_NODES = 2
OUTSIDER = {"alpha": "0014" + "0a" * 20, "beta": "0014" + "0b" * 20}
MINER = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig"
EXCUSED_S = 30  # how long followers ask for a body before six proofs on top excuse it


def own_address(hrp: str) -> str:
    address = script_to_address(b"\x00\x14" + b"\x07" * 20, address_format(hrp))
    assert address is not None
    return address


def sections(network: RealNetwork, maturity: int = MATURITY) -> dict[str, dict[str, Any]]:
    nodes = [
        {"url": f"http://127.0.0.1:{node.rpc_port}", "user": "user", "password": "secret"}
        for node in network.nodes[:POOL_NODES]
    ]
    return {
        name: {
            "kind": "parallel", "network": "regtest", "network_name": "pool test", "chain_name": CHAINS[name],
            "hrp": name, "maturity_blocks": maturity, "address": own_address(name), "nodes": nodes,
            "poll_interval_s": 0.2, "away_s": 5.0,
        }
        for name in CHAINS
    }  # fmt: skip


class World(NetworkPool):
    def __init__(self, folder: Path, maturity: int = MATURITY) -> None:
        super().__init__(folder, network_file(maturity), lambda network: sections(network, maturity))
        self.outsider = Outsider()

    async def paid(self, chain: str) -> int:
        """What a chain has paid the pool, as a node that the pool does not ask sees it."""
        account = await self.network.nodes[2].call("getbalance", CHAINS[chain], own_address(chain))
        return int(account["spendable"] + account["spoken_for"] + account["immature"])

    async def tip(self, node: int) -> tuple[str, int]:
        """The best proof's displayed id and height."""
        view = await self.network.nodes[node].call("getchainview")
        return view["tip"], view["height"]

    async def proof_state(self, chain: str, hash_hex: str) -> str:
        found = await self.network.nodes[0].call("getparallelblockstatus", CHAINS[chain], hash_hex)
        return str(found["state"])

    async def are(self, chain: str, hashes: set[str], wanted: set[str]) -> bool:
        """Whether all these blocks of the pool's are in one of these states."""
        states = await self.states(chain)
        return all(states.get(name) in wanted for name in hashes)

    async def mine_until_credited(self, count: int) -> dict[str, set[str]]:
        """So many more credited blocks on each chain, with nobody mining at the end; their hashes."""
        before = {name: set(await self.states(name)) for name in CHAINS}
        await self.start_mining(MINER)
        for name in CHAINS:
            wanted = len(before[name]) + count

            async def enough(name: str = name, wanted: int = wanted) -> bool:
                return len(await self.states(name)) >= wanted

            await until(enough, f"{count} more blocks of {name}")
        await self.stop_mining()

        async def booked() -> dict[str, set[str]] | None:
            found = {name: set(await self.states(name)) - before[name] for name in CHAINS}
            return found if found["ppa"] == found["ppb"] else None

        found: dict[str, set[str]] = await until(booked, "each proof is a block of both chains, under one name")
        return found


async def test_network_parallel_pays_the_pool_on_both_chains_through_faults(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        nodes = world.network.nodes
        await world.pool.in_tree(CHAINS)

        told = (await world.pool.get("chains"))["items"]
        assert [chain["network"] for chain in told] == [None, "pool test", "pool test"]
        rows = await world.examined()
        for name in CHAINS:
            for words in ("two verifiers take it", "but for its missing work", f"chain {CHAINS[name]} of pool test"):
                assert any(words in row for row in rows[name]), (words, rows[name])

        await world.mine_until_credited(4)
        income = await world.settled(world.paid)
        for name in CHAINS:
            blocks = [block for block in await world.blocks(name) if block["state"] in ("immature", "mature")]
            assert income[name] == len(blocks) * SUBSIDY[name]

        # Others' proofs are gaps of one chain or the other, and nobody's income here.
        for number in range(4):
            only = {"alpha": OUTSIDER["alpha"]} if number % 2 else {"beta": OUTSIDER["beta"]}
            assert (await world.outsider.mine(nodes[2], only))["result"] == "accepted"
        assert await world.settled(world.paid) == income

        # A longer branch of somebody else's undoes what the pool has above the fork, and comes to lose again.
        world.network.partition([0, 1], [2, 3, 4])
        _, fork_height = await world.tip(0)
        lost: dict[str, set[str]] = {name: set() for name in CHAINS}
        # The first of them may be found on the job before the last gap, beside the chain.
        while (height := (await world.tip(0))[1]) < fork_height + 2:
            for name, found in (await world.mine_until_credited(3)).items():
                lost[name] |= found
        tip_hex, _ = await world.tip(0)
        while (await world.tip(2))[1] < height + 3:
            assert (await world.outsider.mine(nodes[2], OUTSIDER))["result"] == "accepted"
        world.network.heal()
        for name in CHAINS:
            await until(lambda name=name: world.are(name, lost[name], {"orphan"}), f"{name} has lost the branch")
        assert await world.settled(world.paid) == income
        while (await nodes[0].call("getchainview"))["tip"] != tip_hex:
            tip_hex, _ = await world.outsider.extend(nodes[:1], tip_hex)
        for name in CHAINS:
            kept = {one for one in lost[name] if await world.proof_state(name, one) == "block"}
            assert kept
            await until(
                lambda name=name, kept=kept: world.are(name, kept, {"immature", "mature"}), f"{name} has it back"
            )
        income = await world.settled(world.paid)
        assert all(amount % SUBSIDY[name] == 0 for name, amount in income.items())
        world.audited()


async def test_network_parallel_chains_come_and_go_in_a_pool_of_several_processes(tmp_path: Path) -> None:
    """Who makes the jobs and who hands proofs in are different processes; a chain joins and leaves under the miners."""
    world = World(tmp_path)
    later = world.sections["ppb"]

    def several(config: dict[str, Any]) -> None:
        config["stratum"]["processes"] = 2
        del config["chains"]["ppb"]

    world.edit(several)
    async with world:
        await world.pool.in_tree(["ppa"])
        await world.start_mining(MINER)
        await until(lambda: world.has_credited("ppa", 2), "alpha alone is credited")
        await world.reload(lambda config: config["chains"].update(ppb=later))
        await until(lambda: world.has_credited("ppb", 3), "beta is credited from then on")
        await world.stop_mining()
        income = await world.settled(world.paid)
        assert income["ppa"] // SUBSIDY["ppa"] >= income["ppb"] // SUBSIDY["ppb"] + 2

        await world.start_mining(MINER)
        count = len(await world.states("ppa"))
        await world.reload(lambda config: config["chains"].pop("ppb"))

        async def goes_on() -> bool:
            return len(await world.states("ppa")) >= count + 3

        await until(goes_on, "alpha goes on alone")
        await world.stop_mining()
        after = await world.settled(world.paid)
        assert after["ppa"] > income["ppa"]
        assert after["ppb"] >= income["ppb"], "what was found before it left is followed and credited all the same"
        world.audited()


@pytest.mark.nightly
async def test_network_parallel_pool_is_not_paid_for_what_a_late_body_undoes(tmp_path: Path) -> None:
    async with World(tmp_path, maturity=4) as world:
        nodes = world.network.nodes
        await world.mine_until_credited(2)
        before = await world.settled(world.paid)

        # A body of beta is hidden; who does not follow beta builds on its proof, until that is excused.
        height = (await nodes[0].call("getchainview"))["height"]
        offer = await nodes[0].call("createparalleldatum", {"beta": OUTSIDER["beta"]})
        (hidden,) = offer["chains"]
        roots = {context_of("b"): bytes.fromhex(hidden["root"])}
        at_hex, wire = await world.outsider.extend(nodes, offer["previousblockhash"], roots)
        for _ in range(7):
            at_hex, _ = await world.outsider.extend(nodes, at_hex)

        async def excused() -> bool:
            return all([(await node.call("getchainview"))["height"] == height + 8 for node in nodes])

        await until(excused, "the hidden body is excused", 2 * EXCUSED_S + 60)
        found = await world.mine_until_credited(6)
        income = await world.settled(world.paid)
        assert income["ppb"] > before["ppb"]
        matured = [block for block in await world.blocks("ppb") if block["hash"] in found["ppb"]]
        assert {block["state"] for block in matured} <= {"immature", "orphan"}, "nothing matures above a hidden body"
        assert "bodies of a chain are hidden" in world.pool.log_text()

        # It is shown: what stands above it on beta is void. Alpha never had anything to do with it.
        for node in nodes:
            await node.call("submitconsensusproof", wire.hex(), {"beta": hidden["transactions"]})
        for name in found["ppb"]:
            assert await world.proof_state("ppb", name) in ("void", "orphan")
        await until(lambda: world.are("ppb", found["ppb"], {"orphan"}), "the credits are voided")
        after = await world.settled(world.paid)
        assert after == {"ppa": income["ppa"], "ppb": before["ppb"]}
        world.audited()
