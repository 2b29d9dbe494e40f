"""What the doctor says of templates, wallets and the job itself."""

from __future__ import annotations

from typing import Any

import pytest
from doctor_world import DoctorWorld, Node, picked

from chains.auxpow.commitment import AuxPowKind
from chains.reference.errors import RpcError
from chains.reference.wallet import address
from pool.doctor import doctor, job_trial
from pool.doctor.finding import Finding, Result, all_good, good, note, unchecked, wrong
from pool.jobs.proof_trial import Trial


def add_wallet(world: DoctorWorld, name: str, **settings: Any) -> None:
    world.chain(name)["payouts"] = {"minimum_payout": 100_000, **settings}


async def test_doctor_finds_another_chain_id_than_configured(world: DoctorWorld) -> None:
    world.chain("regnmc")["chain_id"] = 7
    found = await world.wrong()
    assert set(found) == {"regnmc[0] template"} and "chain id is 1, expected 7" in found["regnmc[0] template"].found
    assert "chains.regnmc.chain_id" in found["regnmc[0] template"].remedy


async def test_doctor_finds_an_address_that_the_node_refuses(world: DoctorWorld) -> None:
    node = world.nodes["alpha"]

    def refuse(_: Any) -> Any:
        raise LookupError("Invalid coinbase payout address")

    node.lies["createmm2block"] = refuse
    found = await world.wrong()
    assert set(found) == {"alpha[0] template"}


async def test_doctor_finds_a_parent_that_gives_no_work_without_a_peer(world: DoctorWorld) -> None:
    """As litecoind does on regtest."""
    answer = world.nodes["regbtc"].devnet.getblocktemplate  # type: ignore[attr-defined]

    async def refuse(request: Any) -> Any:
        if isinstance(request, dict) and request.get("mode") == "proposal":
            return await answer(request)
        raise RpcError(-9, "Litecoin Core is not connected!")

    world.nodes["regbtc"]._dispatcher._methods["getblocktemplate"] = refuse
    found = await world.wrong()
    assert set(found) == {"regbtc[0] template"} and "addnode" in found["regbtc[0] template"].remedy


async def test_doctor_finds_two_chains_that_want_one_place(world: DoctorWorld) -> None:
    del world.chain("regnmc")["chain_id"]
    other = Node("regnmc", world.directory / "nodes" / "other")
    try:
        url = f"http://127.0.0.1:{await other.start()}"
        section = {**world.node_section("regnmc"), "url": url}
        world.values["chains"]["twin"] = {**world.chain("regnmc"), "nodes": [section]}
        found = await world.wrong()
    finally:
        await other.close()
    assert set(found) == {"twin job"} and "the same chain id 1 as regnmc" in found["twin job"].found
    assert "two pools" in found["twin job"].remedy


async def test_doctor_finds_a_parent_that_would_refuse_the_block(world: DoctorWorld) -> None:
    world.nodes["regbtc"].faults.refuse_containing = bytes.fromhex("fabe6d6d")
    found = await world.wrong()
    assert set(found) == {"regbtc[0] block proposal"}
    assert "bad-cb-refused-by-devnet" in found["regbtc[0] block proposal"].found
    assert "update node and pool" in found["regbtc[0] block proposal"].remedy


async def test_doctor_asks_again_when_the_tip_moves_meanwhile(world: DoctorWorld) -> None:
    node = world.nodes["regbtc"].devnet.node
    propose = node.propose
    moves = iter([True])

    def move(block: Any) -> Any:
        if next(moves, False):
            node.advance(1, node.wallet.script(0))
        return propose(block)

    node.propose = move  # type: ignore[method-assign]
    findings = await world.examine()
    assert all_good(findings)
    assert "at height 2" in picked(findings, Result.GOOD)["regbtc[0] block proposal"].found


async def test_doctor_notes_a_parent_without_proposals(world: DoctorWorld) -> None:
    def none(result: Any) -> Any:
        if isinstance(result, dict):
            return result
        raise LookupError("Method not found")

    world.nodes["regbtc"].lies["getblocktemplate"] = none
    assert "regbtc[0] block proposal" in picked(await world.examine(), Result.NOTE)


async def test_doctor_finds_a_tag_that_leaves_no_room(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """check-config knows the limit; here a commitment is longer than it could know."""
    commit = AuxPowKind.commit

    def long(self: AuxPowKind, templates: Any) -> Any:
        made = commit(self, templates)
        return type(made)(made.script_sig + bytes(60), made.outputs, made.root, made.slots)

    monkeypatch.setattr(AuxPowKind, "commit", long)
    found = await world.wrong()
    assert set(found) == {"regbtc job"} and "100 allowed" in found["regbtc job"].found
    assert "pool.tag" in found["regbtc job"].remedy


async def test_doctor_finds_a_proof_that_would_be_refused(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [Trial("regbtc", ""), Trial("regnmc", "wrong index"), Trial("alpha", "parent has our chain id")]
    monkeypatch.setattr(job_trial, "try_job", lambda job, terms: trials)
    found = await world.wrong()
    assert set(found) == {"regnmc AuxPoW proof", "alpha MM2 proof"}
    assert "report it" in found["regnmc AuxPoW proof"].remedy
    assert "until the version changes" in found["alpha MM2 proof"].remedy


@pytest.mark.parametrize(
    ("answer", "result", "words"),
    [
        ("hash-link-ending", Result.WRONG, "would refuse our proof: hash-link-ending"),
        (None, Result.WRONG, "takes a proof without work"),
        ("high-hash", Result.GOOD, "but for its missing work"),
    ],
)
async def test_doctor_hears_what_the_child_itself_says(
    world: DoctorWorld, answer: str | None, result: Result, words: str
) -> None:
    calls = iter([False])
    world.nodes["alpha"].lies["submitmm2block"] = lambda before: before if next(calls, True) is False else answer
    findings = picked(await world.examine(), result)
    assert words in findings["alpha[0] own rules"].found


async def test_doctor_hands_the_child_no_block(world: DoctorWorld) -> None:
    node = world.nodes["alpha"].devnet.node
    for _ in range(5):
        assert all_good(await world.examine())
    assert node.chain.tip.height == 0


async def test_doctor_looks_at_the_wallet_that_pays(world: DoctorWorld) -> None:
    add_wallet(world, "regnmc")
    findings = picked(await world.examine(), Result.GOOD)
    assert {"regnmc wallet", "regnmc address"} <= set(findings)
    assert {call for call in world.nodes["regnmc"].calls if "wallet" in call} <= {"getwalletinfo"}


async def test_doctor_finds_an_address_that_is_not_of_the_wallet(world: DoctorWorld) -> None:
    add_wallet(world, "regnmc")
    world.chain("regnmc")["address"] = address("somebody else", 0)
    found = await world.wrong()
    assert set(found) == {"regnmc address"} and "getnewaddress" in found["regnmc address"].remedy


@pytest.mark.parametrize(
    ("info", "words", "remedy"),
    [
        ({"unlocked_until": 0}, "no passphrase is configured", "passphrase_file"),
        ({"private_keys_enabled": False}, "no private keys", "wallet_name"),
    ],
)
async def test_doctor_finds_a_wallet_that_cannot_sign(
    world: DoctorWorld, info: dict[str, Any], words: str, remedy: str
) -> None:
    add_wallet(world, "regnmc")
    world.nodes["regnmc"].lies["getwalletinfo"] = lambda before: before | info
    finding = (await world.wrong())["regnmc wallet"]
    assert words in finding.found and remedy in finding.remedy


async def test_doctor_is_content_with_an_encrypted_wallet_and_its_passphrase(
    world: DoctorWorld, tmp_path: Any
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("geheim\n")
    secret.chmod(0o600)
    add_wallet(world, "regnmc", passphrase_file=str(secret))
    world.nodes["regnmc"].lies["getwalletinfo"] = lambda before: before | {"unlocked_until": 0}
    assert all_good(await world.examine())


@pytest.mark.parametrize(
    ("planted", "words", "remedy"),
    [
        ("locked out", "HTTP 401", "chains.regnmc.payouts"),
        ("no such", "no connection", "payouts.wallet_url"),
        ("secret", "WALLET_SECRET_THAT_IS_NOT_SET", "payouts names"),
    ],
)
async def test_doctor_finds_a_wallet_that_cannot_be_used(
    world: DoctorWorld, planted: str, words: str, remedy: str, tmp_path: Any
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not it\n")
    secret.chmod(0o600)
    settings = {
        "locked out": {"user": "devnet", "password_file": str(secret)},
        "no such": {"wallet_url": "http://127.0.0.1:9"},
        "secret": {"user": "devnet", "password_env": "WALLET_SECRET_THAT_IS_NOT_SET"},
    }[planted]
    add_wallet(world, "regnmc", **settings)
    finding = (await world.wrong())["regnmc wallet"]
    assert words in finding.found and remedy in finding.remedy


async def test_doctor_finds_nodes_that_are_on_different_chains(world: DoctorWorld) -> None:
    world.nodes["regbtc"].devnet.node.advance(8, b"\x51")
    other = Node("regbtc", world.directory / "nodes" / "other")
    other.devnet.node.advance(8, b"\x52")
    try:
        section = {**world.node_section("regbtc"), "url": f"http://127.0.0.1:{await other.start()}"}
        world.chain("regbtc")["nodes"].append(section)
        found = await world.wrong()
        assert "regbtc agreement" in found and "regbtc[1]" in found["regbtc agreement"].found
        world.nodes["regbtc"].devnet.node.advance(2, b"\x51")
        other.lies["getblockhash"] = lambda _: "00" * 32
        world.nodes["regbtc"].lies["getblockhash"] = lambda _: "00" * 32
        assert "regbtc agreement" in picked(await world.examine(), Result.GOOD)
        world.nodes["regbtc"].devnet.node.advance(3, b"\x51")
        behind = picked(await world.examine(), Result.NOTE)["regbtc agreement"]
    finally:
        await other.close()
    assert "regbtc[1] more than 2 blocks behind" in behind.found


async def test_doctor_ends_in_time_whatever_hangs(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "WHOLE_S", 0.2)
    world.nodes["alpha"].faults.hang_s = 60
    findings = await world.examine()
    found = picked(findings, Result.WRONG)
    assert "not finished within 0.2 s" in found["alpha[0] doctor"].found and set(found) <= {
        "alpha[0] doctor", "regbtc[0] doctor", "regnmc[0] doctor", "ports doctor", "database doctor",
    }, "and what ended stays"  # fmt: skip


async def test_doctor_tells_of_a_check_that_breaks_and_goes_on(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(config: Any) -> list[Finding]:
        raise KeyError("planted")

    monkeypatch.setattr(doctor, "port_findings", broken)
    found = await world.wrong()
    assert set(found) == {"ports doctor"} and "KeyError('planted')" in found["ports doctor"].found


async def test_doctor_tells_how_far_it_is(world: DoctorWorld) -> None:
    told: list[str] = []
    await doctor.examine(world.config, told.append)
    assert any("looking at" in text and "alpha[0]" in text for text in told)
    assert told[-1].endswith("looked at")


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([], True),
        ([good("a", "b", "c"), note("a", "b", "c"), unchecked("a", "b", "c")], True),
        ([good("a", "b", "c"), wrong("a", "b", "c", "d")], False),
    ],
)
def test_doctor_calls_only_wrong_things_wrong(findings: list[Finding], verdict: bool) -> None:
    assert all_good(findings) is verdict
