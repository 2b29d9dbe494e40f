"""The audit: silent over right books, and for each single fault exactly the lines that name it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import pytest
from audit_history import (
    EMPTY,
    MATURE,
    ORPHAN,
    PRESENT,
    REJECTED,
    RETURNED,
    account_id,
    audited,
    block_id,
    corrupt,
    forget_terms,
    found,
    play,
)
from bookkeeping_world import World
from sqlalchemy import text
from storage_samples import block_hash_hex

from pool.audit.books_audit import audit
from pool.audit.finding import Finding, shortened
from pool.audit.terms import CreditTerms, PastTerms, TermsBook, parse_past_terms
from pool.storage.audit_views import NoBooksError, snapshot
from pool.storage.database import Database, sqlite_url


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    made = await play(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def anna(world: World) -> int:
    """Her account on alpha: 743 from the mature block, 578 from the one that returned, 693 void."""
    return account_id(world, "alpha", "miner", "anna-alpha")


@pytest.fixture
def bert(world: World) -> int:
    """What is held for him on alpha: 248, 192, 297 void."""
    return account_id(world, "alpha", "held", "bert")


def of(number: int, chain: str = "alpha") -> str:
    return f"{chain} block {block_hash_hex(number)}"


def group(kind: str, number: int, times: str = "") -> str:
    return f"{kind}:alpha:{block_hash_hex(number)}{times}"


# -- right books -------------------------------------------------------------------------------------------------------


def test_audit_finds_nothing_in_right_books_and_says_what_it_looked_at(world: World) -> None:
    report = audited(world)
    assert report.findings == []
    assert report.summary() == (
        "chains=3 groups=10 transfers=28 balances=16 blocks=7 credited=5 recomputed=5 credits=8 closings=0"
    )
    assert report.notes == []


def test_audit_tells_how_far_it_is(world: World) -> None:
    told: list[tuple[object, ...]] = []
    with snapshot(world.url) as connection:
        audit(connection, TermsBook(PRESENT), lambda *words: told.append(words))
    blocks = [("blocks", number, 7) for number in range(7)]
    assert told == [("transfers", 0, 28), *blocks, ("shares",), ("bought shares",), ("payouts",)]


def test_audit_sees_one_moment_while_the_pool_writes(world: World, anna: int) -> None:
    told: list[str] = []

    def write_meanwhile(what: str, done: int | None = None, total: int | None = None) -> None:
        if not told:
            with world.database.write() as connection:
                connection.execute(text(f"UPDATE balances SET amount = 1 WHERE account = 'liab.{anna}.immature'"))
        told.append(what)

    with snapshot(world.url) as connection:
        assert audit(connection, TermsBook(PRESENT), write_meanwhile).findings == []
    assert len(found(world)) == 2


def test_audit_writes_nothing(world: World) -> None:
    with pytest.raises(NoBooksError, match=r"readonly|read-only"), snapshot(world.url) as connection:
        connection.execute(text("DELETE FROM balances"))


def test_audit_refuses_books_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoBooksError, match="no books yet"), snapshot(sqlite_url(tmp_path / "none.db")):
        pass
    assert not (tmp_path / "none.db").exists()


def test_audit_refuses_a_database_without_books(bare_url: str, tmp_path: Path) -> None:
    if bare_url.startswith("sqlite"):
        (tmp_path / "deep").mkdir()
    Database(bare_url).engine.connect().close()
    with pytest.raises(NoBooksError, match="no books in this database"), snapshot(bare_url):
        pass


def test_audit_refuses_a_database_that_nobody_knows() -> None:
    with pytest.raises(NoBooksError, match="the books cannot be read") as refused, snapshot("nonsense://me:secret@x/y"):
        pass
    assert "secret" not in str(refused.value)


# -- the ledger by itself ----------------------------------------------------------------------------------------------


def test_audit_finds_a_changed_balance(world: World, anna: int) -> None:
    corrupt(world, f"UPDATE balances SET amount = amount + 5 WHERE account = 'liab.{anna}.available'")
    assert found(world) == [
        f"I12 alpha liab.{anna}.available: balance 748, its transfers give 743",
        "I2 alpha: debits and credits differ by -5",
    ]


def test_audit_finds_two_changed_balances_that_cancel(world: World, anna: int, bert: int) -> None:
    corrupt(
        world,
        f"UPDATE balances SET amount = amount + 5 WHERE account = 'liab.{anna}.available'",
        f"UPDATE balances SET amount = amount - 5 WHERE account = 'liab.{bert}.available'",
    )
    assert found(world) == [
        f"I12 alpha liab.{anna}.available: balance 748, its transfers give 743",
        f"I12 alpha liab.{bert}.available: balance 243, its transfers give 248",
    ]


def test_audit_finds_a_lost_balance(world: World) -> None:
    corrupt(world, "DELETE FROM balances WHERE chain = 'beta' AND account = 'suspense.unexplained'")
    assert found(world) == [
        "I12 beta suspense.unexplained: balance 0, its transfers give 55",
        "I2 beta: debits and credits differ by 55",
    ]


def test_audit_finds_a_changed_transfer(world: World, anna: int) -> None:
    corrupt(
        world,
        f"UPDATE transfers SET amount = 579 WHERE group_id = '{group('credit', RETURNED)}'"
        f" AND credit = 'liab.{anna}.immature'",
    )
    assert found(world) == [
        "I12 alpha asset.immature: balance 777, its transfers give 778",
        f"I12 alpha liab.{anna}.immature: balance 578, its transfers give 579",
        f"transfers {of(RETURNED)}: {group('credit', RETURNED)}: 579 from asset.immature to liab.{anna}.immature,"
        " the block demands 578",
    ]


def test_audit_finds_a_changed_past_by_its_hashes(world: World) -> None:
    corrupt(world, f"UPDATE transfer_groups SET created_ms = 1 WHERE id = '{group('credit', RETURNED)}'")
    assert [str(finding) for finding in audited(world).findings] == [
        f"I11 alpha: link 3: {group('credit', RETURNED)} is not as it was written, or not where it was"
    ]


def test_audit_finds_a_transfer_turned_to_somebody_else(world: World, anna: int, bert: int) -> None:
    """The balances were made to fit, as a thief would."""
    corrupt(
        world,
        f"UPDATE transfers SET credit = 'liab.{bert}.immature' WHERE group_id = '{group('credit', RETURNED)}'"
        f" AND credit = 'liab.{anna}.immature'",
        f"UPDATE balances SET amount = 0 WHERE account = 'liab.{anna}.immature'",
        f"UPDATE balances SET amount = 770 WHERE account = 'liab.{bert}.immature'",
    )
    first, second = sorted((anna, bert))
    told = {anna: "0", bert: "770"}
    demanded = {anna: "578", bert: "192"}
    assert found(world) == [
        f"transfers {of(RETURNED)}: {group('credit', RETURNED)}: {told[who]} from asset.immature to"
        f" liab.{who}.immature, the block demands {demanded[who]}"
        for who in (first, second)
    ]


def test_audit_finds_what_fell_below_zero(world: World, anna: int) -> None:
    """More was taken than there was, in transfers and balances alike."""
    name = f"liab.{anna}.available"
    corrupt(
        world,
        "INSERT INTO transfer_groups (id, chain, kind, created_ms) VALUES ('withdraw:alpha:1', 'alpha', 'withdraw', 1)",
        "INSERT INTO transfers (group_id, chain, debit, credit, amount)"
        f" VALUES ('withdraw:alpha:1', 'alpha', '{name}', 'asset.wallet', 800)",
        f"UPDATE balances SET amount = -57 WHERE account = '{name}'",
        "UPDATE balances SET amount = 201 WHERE chain = 'alpha' AND account = 'asset.wallet'",
    )
    assert found(world) == [f"I3 alpha {name}: its transfers give -57, which is below zero"]


def test_audit_finds_that_more_is_owed_than_there_is(world: World, anna: int) -> None:
    corrupt(
        world,
        "INSERT INTO transfer_groups (id, chain, kind, created_ms) VALUES ('gift:alpha:1', 'alpha', 'gift', 1)",
        "INSERT INTO transfers (group_id, chain, debit, credit, amount)"
        f" VALUES ('gift:alpha:1', 'alpha', 'equity.operator', 'liab.{anna}.available', 800)",
        f"UPDATE balances SET amount = 1543 WHERE account = 'liab.{anna}.available'",
        "INSERT INTO balances (chain, account, amount) VALUES ('alpha', 'equity.operator', -800)",
    )
    assert found(world) == [
        "I10 alpha: 2561 is owed and 1778 is there",
        "I13 alpha: the wallet holds 790 less than what is owed for good",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("debit = 'asset.nobody'", None),
        ("debit = 'nonsense'", "names 'nonsense', which is no account"),
        ("debit = 'liab.99999.available'", "names liab.99999.available, which is nobody's account on this chain"),
        ("debit = 'suspense.unexplained'", "debits and credits suspense.unexplained"),
        ("amount = 0", "has the amount 0"),
        ("group_id = 'credit:beta:none'", "has no group"),
    ],
)
def test_audit_finds_a_malformed_transfer(world: World, change: str, fault: str | None) -> None:
    corrupt(world, f"UPDATE transfers SET {change} WHERE chain = 'beta'")
    told = [str(finding) for finding in audited(world).findings if finding.rule == "I1"]
    assert len(told) == (0 if fault is None else 1)
    assert fault is None or told[0].endswith(fault)
    # However it is malformed, the balances or the block say so as well.
    assert {finding.rule for finding in audited(world).findings} & {"I12", "transfers", "I6"}


def test_audit_finds_a_transfer_on_another_chain_than_its_group(world: World) -> None:
    corrupt(world, "UPDATE transfer_groups SET chain = 'regbtc' WHERE chain = 'beta'")
    hash_hex = block_hash_hex(EMPTY)
    assert {finding.rule for finding in audited(world).findings} == {"I1", "I11", "transfers"}
    assert f"credit:beta:{hash_hex}: the id of a credit group is another" in found(world)[1]
    assert found(world)[0].endswith("is of another chain than its group, regbtc")


def test_audit_finds_income_that_was_taken_back_without_a_correction(world: World) -> None:
    told = "lessens income or an expense and is no correction"
    corrupt(
        world,
        "INSERT INTO transfer_groups (id, chain, kind, created_ms) VALUES ('gift:alpha:1', 'alpha', 'gift', 1)",
        "INSERT INTO transfers (id, group_id, chain, debit, credit, amount)"
        " VALUES (999, 'gift:alpha:1', 'alpha', 'income.fee', 'equity.operator.available', 1)",
    )
    assert f"I4 alpha: gift:alpha:1: transfer 999 {told}" in found(world)


def test_audit_finds_another_chains_account(world: World, anna: int) -> None:
    corrupt(world, f"UPDATE accounts SET chain = 'beta' WHERE id = {anna}")
    rules = [finding.rule for finding in audited(world).findings]
    assert rules.count("I1") == 8
    assert f"I6 {of(MATURE)}: account {anna} is of the chain beta" in found(world)


# -- blocks and what their states demand -------------------------------------------------------------------------------


def test_audit_finds_two_credited_blocks_at_one_height(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET height = 12 WHERE id = {block_id(MATURE)}")
    assert found(world) == ["I5 alpha: 2 blocks are credited at height 12"]


def test_audit_finds_a_mature_block_that_never_matured(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET state = 'mature' WHERE id = {block_id(RETURNED)}")
    missing = group("mature", RETURNED)
    assert found(world) == [f"transfers {of(RETURNED)}: the state mature demands {missing}, which is missing"]


def test_audit_finds_a_block_that_matured_against_its_state(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET state = 'immature' WHERE id = {block_id(MATURE)}")
    assert found(world) == [f"transfers {of(MATURE)}: the state immature does not allow {group('mature', MATURE)}"]


def test_audit_finds_an_orphan_that_was_never_voided(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET state = 'orphan' WHERE id = {block_id(RETURNED)}")
    surplus = group("reinstate", RETURNED, ":1")
    assert found(world) == [f"transfers {of(RETURNED)}: the state orphan does not allow {surplus}"]


def test_audit_finds_an_orphan_that_counts_as_paid(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET state = 'immature' WHERE id = {block_id(ORPHAN)}")
    missing = group("reinstate", ORPHAN, ":1")
    assert found(world) == [f"transfers {of(ORPHAN)}: the state immature demands {missing}, which is missing"]


def test_audit_finds_a_forgotten_orphaning(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET orphaned_times = 0 WHERE id = {block_id(RETURNED)}")
    assert found(world) == [
        f"transfers {of(RETURNED)}: the state immature does not allow {group(kind, RETURNED, ':1')}"
        for kind in ("orphan", "reinstate")
    ]


def test_audit_finds_a_credit_that_is_active_twice(world: World) -> None:
    second = group("reinstate", RETURNED, ":2")
    corrupt(
        world,
        "INSERT INTO transfer_groups (id, chain, kind, created_ms)"
        f" VALUES ('{second}', 'alpha', 'reinstate', 1)",
    )
    assert found(world) == [
        f"transfers {of(RETURNED)}: the state immature does not allow {second}",
        f"I5 {of(RETURNED)}: 2 credits are active at the same time",
    ]


def test_audit_finds_a_voiding_that_is_not_the_exact_opposite(world: World, anna: int) -> None:
    voided = group("orphan", ORPHAN, ":1")
    corrupt(world, f"DELETE FROM transfers WHERE group_id = '{voided}' AND debit = 'liab.{anna}.immature'")
    assert found(world)[-1] == (
        f"transfers {of(ORPHAN)}: {voided}: 0 from liab.{anna}.immature to asset.immature, the block demands 693"
    )
    assert [line.partition(" ")[0] for line in found(world)] == ["I12", "I12", "transfers"]


def test_audit_finds_credits_of_a_block_that_was_never_credited(world: World, anna: int) -> None:
    corrupt(
        world,
        "INSERT INTO credits (block_id, account_id, weight, amount)"
        f" VALUES ({block_id(REJECTED)}, {anna}, '10', 7)",
    )
    assert found(world) == [f"I6 {of(REJECTED)}: credits of 7, but no reward was ever read"]


def test_audit_finds_groups_of_a_block_that_is_gone(world: World) -> None:
    corrupt(world, f"DELETE FROM blocks WHERE id = {block_id(EMPTY, 'beta')}")
    assert found(world) == [f"transfers beta: credit:beta:{block_hash_hex(EMPTY)} belongs to no block"]


# -- credits -----------------------------------------------------------------------------------------------------------


def test_audit_finds_a_changed_credit(world: World, anna: int) -> None:
    corrupt(world, f"UPDATE credits SET amount = 579 WHERE account_id = {anna} AND block_id = {block_id(RETURNED)}")
    told = found(world)
    assert told[0] == f"I6 {of(RETURNED)}: credits 771 + fee 7 + operator 0 + unexplained 0 are not the reward 777"
    assert told[-1] == f"split {of(RETURNED)}: account {anna}: amount 579, the split gives 578"
    # The credit was booked and voided and booked: three groups tell another amount.
    assert [line.partition(" ")[0] for line in told] == ["I6", "transfers", "transfers", "transfers", "split"]


def test_audit_finds_a_unit_moved_between_two_credits(world: World, anna: int, bert: int) -> None:
    corrupt(
        world,
        f"UPDATE credits SET amount = amount + 1 WHERE account_id = {anna} AND block_id = {block_id(ORPHAN)}",
        f"UPDATE credits SET amount = amount - 1 WHERE account_id = {bert} AND block_id = {block_id(ORPHAN)}",
    )
    told = [line for line in found(world) if line.startswith("split")]
    assert sorted(told) == sorted(
        [
            f"split {of(ORPHAN)}: account {anna}: amount 694, the split gives 693",
            f"split {of(ORPHAN)}: account {bert}: amount 296, the split gives 297",
        ]
    )
    assert {line.partition(" ")[0] for line in found(world)} == {"transfers", "split"}


def test_audit_finds_a_lost_credit(world: World, bert: int) -> None:
    corrupt(world, f"DELETE FROM credits WHERE account_id = {bert} AND block_id = {block_id(ORPHAN)}")
    assert f"weights {of(ORPHAN)}: account {bert}: weight 0, its shares give 60" in found(world)
    assert {line.partition(" ")[0] for line in found(world)} == {"I6", "transfers", "weights", "split"}


def test_audit_finds_a_changed_weight_and_leaves_right_amounts_alone(world: World, anna: int) -> None:
    corrupt(world, f"UPDATE credits SET weight = '151' WHERE account_id = {anna} AND block_id = {block_id(MATURE)}")
    assert found(world) == [f"weights {of(MATURE)}: account {anna}: weight 151, its shares give 150"]


def test_audit_finds_a_weight_that_is_no_number(world: World, anna: int) -> None:
    corrupt(world, f"UPDATE credits SET weight = 'much' WHERE account_id = {anna} AND block_id = {block_id(MATURE)}")
    assert found(world) == [
        f"weights {of(MATURE)}: account {anna}: 'much' is no weight",
        f"weights {of(MATURE)}: account {anna}: weight 0, its shares give 150",
    ]


def test_audit_finds_a_changed_reward(world: World) -> None:
    """A reward that fits neither its credits nor the coins it brought, although the fee would be the same."""
    corrupt(world, f"UPDATE blocks SET reward = 778 WHERE id = {block_id(RETURNED)}")
    assert found(world) == [f"I6 {of(RETURNED)}: the reward is 778, its events have 777"]


def test_audit_finds_a_changed_income_event(world: World) -> None:
    """The operator's part of a block that was divided among miners."""
    corrupt(world, f"UPDATE income_events SET operator_amount = 5 WHERE block_id = {block_id(RETURNED)}")
    told = found(world)
    assert told[0] == f"I6 {of(RETURNED)}: credits 770 + fee 7 + operator 5 + unexplained 0 are not the reward 777"
    assert told[-1] == f"split {of(RETURNED)}: operator 5, the split gives 0"
    assert [line.partition(" ")[0] for line in told] == ["I6", "transfers", "transfers", "transfers", "split"]


def test_audit_finds_an_income_event_of_another_scheme(world: World) -> None:
    corrupt(world, f"UPDATE income_events SET scheme = 'solo' WHERE block_id = {block_id(RETURNED)}")
    told = f"scheme {of(RETURNED)}: credited as solo, its solve counted as pplns"
    assert told in found(world)


def test_audit_finds_a_lost_income_event_by_what_it_alone_knew(world: World) -> None:
    """Without its row a block is taken for one of before: everything but its terms can still be told."""
    corrupt(world, f"DELETE FROM income_events WHERE block_id = {block_id(RETURNED)}")
    report = audited(world)
    assert report.findings == []
    assert [note.partition(": ")[0] for note in report.notes] == ["alpha"]


def test_audit_finds_a_changed_fee(world: World) -> None:
    corrupt(world, f"UPDATE blocks SET fee = 8 WHERE id = {block_id(RETURNED)}")
    assert found(world) == [f"I6 {of(RETURNED)}: the fee is 8, its events have 7"]
    corrupt(world, f"UPDATE income_events SET fee = 8 WHERE block_id = {block_id(RETURNED)}")
    told = found(world)
    assert told[0] == f"I6 {of(RETURNED)}: credits 770 + fee 8 + operator 0 + unexplained 0 are not the reward 777"
    assert told[-1] == f"fee {of(RETURNED)}: the fee is 8, 10000 ppm of 777 are 7"
    assert [line.partition(" ")[0] for line in told] == ["I6", "transfers", "transfers", "transfers", "fee"]


def test_audit_finds_unexplained_coins_that_somebody_earned(world: World, anna: int) -> None:
    """A group that keeps a miner's part in suspense, balances and credit made to fit."""
    where = f"group_id = '{group('credit', MATURE)}'"
    corrupt(
        world,
        f"UPDATE transfers SET credit = 'suspense.unexplained' WHERE {where} AND credit = 'liab.{anna}.immature'",
        f"DELETE FROM credits WHERE account_id = {anna} AND block_id = {block_id(MATURE)}",
        f"UPDATE income_events SET unexplained = 743 WHERE block_id = {block_id(MATURE)}",
    )
    assert f"split {of(MATURE)}: unexplained 743, the split leaves 0" in found(world)
    assert f"split {of(MATURE)}: account {anna}: amount 0, the split gives 743" in found(world)


# -- shares ------------------------------------------------------------------------------------------------------------


def test_audit_finds_a_share_that_was_given_to_somebody_else(world: World, anna: int, bert: int) -> None:
    corrupt(world, "UPDATE shares SET route_id = (SELECT route_id FROM shares WHERE sequence = 40) WHERE sequence = 21")
    assert sorted(found(world)) == sorted(
        [
            f"weights {of(MATURE)}: account {anna}: weight 150, its shares give 140",
            f"weights {of(MATURE)}: account {bert}: weight 50, its shares give 60",
        ]
    )


def test_audit_finds_a_share_taken_out_of_the_middle(world: World) -> None:
    """The windows reach one share further back, from one of Anna's: to Bert's share 20 for MATURE, else to hers."""
    corrupt(world, "DELETE FROM shares WHERE sequence = 30")
    told = audited(world)
    assert [(finding.rule, finding.subject) for finding in told.findings] == [("weights", of(MATURE))] * 2


def test_audit_takes_stored_weights_where_old_shares_are_gone(world: World) -> None:
    corrupt(world, "DELETE FROM shares WHERE sequence <= 25")
    report = audited(world)
    assert report.findings == []
    assert (report.counts["credited"], report.counts["recomputed"]) == (5, 1)
    assert any(note.startswith("alpha: shares of 3 of 3 windows are no longer stored") for note in report.notes)


def test_audit_still_splits_where_old_shares_are_gone(world: World, anna: int) -> None:
    corrupt(
        world,
        "DELETE FROM shares WHERE sequence <= 25",
        f"UPDATE credits SET weight = '160' WHERE account_id = {anna} AND block_id = {block_id(MATURE)}",
    )
    assert {finding.rule for finding in audited(world).findings} == {"split"}


def test_audit_does_not_excuse_weights_that_removed_shares_cannot_explain(world: World, anna: int) -> None:
    corrupt(
        world,
        "DELETE FROM shares WHERE sequence <= 25",
        f"UPDATE credits SET weight = '10' WHERE account_id = {anna} AND block_id = {block_id(MATURE)}",
    )
    told = {(finding.rule, finding.subject) for finding in audited(world).findings}
    assert ("weights", of(MATURE)) in told


def test_audit_does_not_excuse_weights_of_a_log_that_is_whole(world: World, anna: int) -> None:
    """A window that all shares of a young pool do not fill: its first share is there, so none was removed."""
    hard = f"{2**200:064x}"
    corrupt(world, f"UPDATE blocks SET target_hex = '{hard}' WHERE id = {block_id(MATURE)}")
    told = [str(finding) for finding in audited(world).findings]
    assert f"weights {of(MATURE)}: account {anna}: weight 150, its shares give 300" in told


def test_audit_tells_a_thousand_findings_of_one_kind_in_a_few_lines() -> None:
    many = [Finding("weights", "alpha block 1", f"account {number}") for number in range(1000)]
    told = shortened([Finding("fee", "alpha block 1", "x"), *many, Finding("weights", "alpha block 2", "x")])
    assert len(told) == 23
    assert told[-1] == Finding("weights", "alpha block 1", "and 980 more like these")


# -- terms -------------------------------------------------------------------------------------------------------------


def test_audit_checks_old_blocks_under_the_terms_they_are_said_to_have(world: World) -> None:
    changed = {chain: CreditTerms(20_000, 1, 0) for chain in PRESENT}
    assert audited(world, present=changed).findings == [], "each event was credited by the terms kept with it"
    forget_terms(world)
    rules = {finding.rule for finding in audited(world, present=changed).findings}
    assert rules == {"fee", "weights"}
    past = [PastTerms(chain, 100, PRESENT[chain]) for chain in PRESENT]
    assert audited(world, *past, present=changed).findings == []
    too_low = [PastTerms("alpha", 5, PRESENT["alpha"]), *past[:1], *past[2:]]
    assert {finding.subject for finding in audited(world, *too_low, present=changed).findings} == {
        of(RETURNED),
        of(ORPHAN),
    }


def test_audit_says_which_chains_have_no_terms(world: World) -> None:
    forget_terms(world)
    report = audited(world, present={chain: PRESENT[chain] for chain in ("regbtc", "beta")})
    assert report.findings == []
    assert report.counts["recomputed"] == 2
    assert report.notes[0].startswith("alpha: 3 blocks: not configured, and credited before the books kept terms")
    assert report.notes[1].startswith("beta: 1 blocks: credited before the books kept terms; unless --terms says")
    assert report.notes[1].endswith("checked under fee_ppm=10000 factor=2 window_min_s=0")


def test_audit_parses_past_terms() -> None:
    assert parse_past_terms("namecoin:812000:10000:2.5:3600") == PastTerms(
        "namecoin", 812_000, CreditTerms(10_000, Fraction(5, 2), 3600)
    )


@pytest.mark.parametrize(
    "text", ["", "alpha", "alpha:1:2:3", "a:x:1:2:3", "a:1:1000001:2:3", "a:1:1:0:3", "a:1:1:1/0:3", "a:1:-1:2:3"]
)
def test_audit_refuses_past_terms_of_another_form(text: str) -> None:
    with pytest.raises(ValueError, match="expected CHAIN:LAST_HEIGHT:FEE_PPM:FACTOR:WINDOW_MIN_S"):
        parse_past_terms(text)
