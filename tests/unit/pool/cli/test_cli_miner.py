"""`pool miner` and the writing part of `pool ledger`, as they are typed: what is said, what is done, the exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from support.message_signing import SigningKey

from pool.cli import commands
from pool.config.configuration import load
from pool.ledger.account import ASSET_WALLET, OPERATOR_AVAILABLE, available
from pool.ledger.transfer import Transfer, TransferGroup
from pool.miners.settings_message import template
from pool.settings_rules import settings_rules
from pool.shares.record import AccountKey, LoggedShare, Position, ShareRecord
from pool.shares.route import route_login
from pool.storage import ledger_store
from pool.storage.account_store import account_id
from pool.storage.books import SqlBooks
from pool.storage.database import Database, upgrade
from stratum.words import parse_login

DEVNET = str(Path(__file__).parents[4] / "deploy/devnet.yaml")
RULES = settings_rules(load(DEVNET, {}))
NET = RULES.networks[RULES.parent]
ADA, BOB, CLEO = SigningKey(61), SigningKey(62), SigningKey(63)
ADA_ADDRESS, BOB_ADDRESS, CLEO_ADDRESS = (key.address("p2wpkh", NET) for key in (ADA, BOB, CLEO))

TO_BOB = ("--to", BOB_ADDRESS, "--reason", "ticket 7")


class Outcome(NamedTuple):
    exit_code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `pool GROUP COMMAND ...` over the books in tmp_path."""

    def run(*words: str) -> Outcome:
        given = ["-c", DEVNET, "--set", f"pool.data_dir={tmp_path}"]
        monkeypatch.setattr(sys, "argv", ["pool", *words[:2], *given, *words[2:]])
        with pytest.raises(SystemExit) as end:
            commands.main()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Books in which Ada mined and named Cleo's address for beta; of alpha, 60 are held for her, 100 the operator's."""
    url = load(DEVNET, {"pool.data_dir": str(tmp_path)}).database_url()
    upgrade(url)
    database = Database(url)
    route = route_login(parse_login(f"{ADA_ADDRESS}+beta={CLEO_ADDRESS}"), {}, RULES.networks, RULES.parent).route
    share = ShareRecord(1, 1000, route.digest, "rig", 50, ("regbtc",), bytes(32), False, ())
    SqlBooks(database).store_shares([LoggedShare(Position(1, 1), share, route)], Position(1, 1), 1)
    with database.write() as connection:
        held = account_id(connection, "alpha", AccountKey("held", ADA.script("p2wpkh").hex(), ADA_ADDRESS))
        transfers = (Transfer(ASSET_WALLET, available(held), 60), Transfer(ASSET_WALLET, OPERATOR_AVAILABLE, 100))
        ledger_store.post(connection, TransferGroup("test:alpha:1", "alpha", "test", transfers), 1)
    return database


def balances(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {name: n for name, n in ledger_store.chain_balances(connection, "alpha").items() if n}


def message_file(tmp_path: Path, number: int, *lines: str, key: SigningKey = ADA) -> Path:
    text = template(RULES, RULES.miner(ADA_ADDRESS), number, datetime.now(UTC).date()) + "\n".join(lines)
    path = tmp_path / "message.txt"
    path.write_text(f"{text}\nsignature: {key.sign('p2wpkh', text, NET)}\n")
    return path


@pytest.mark.parametrize(
    "words",
    [("miner",), *(("miner", name) for name in ("settings", "apply", "freeze", "unfreeze")),
     ("ledger", "release"), ("ledger", "import")],
    ids=" ".join,
)  # fmt: skip
def test_cli_miner_help_teaches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pool", *words, "--help"])
    with pytest.raises(SystemExit) as end:
        commands.main()
    captured = capsys.readouterr()
    assert (end.value.code, captured.err) == (0, "")
    assert f"  pool {words[0]} " in captured.out.partition("Usage:")[2]


def test_cli_miner_never_shows_where_a_miner_is_told(run: Run, database: Database, tmp_path: Path) -> None:
    path = message_file(tmp_path, 1, "offline-notice: ntfy://ntfy.sh/secret-topic after 15 min")
    refused = run("miner", "apply", str(path))
    assert (refused.exit_code, "this pool sends no offline notices" in refused.err) == (1, True)
    allowed = ("--set", "miner_notices.per_hour=4")
    done = run("miner", "apply", *allowed, str(path))
    assert done.exit_code == 0, done.err
    shown = run("miner", "settings", ADA_ADDRESS)
    assert "\noffline notice: ntfy, after 15 min\n" in shown.out
    assert "\n  offline-notice: (ntfy, after 15 min)\n" in shown.out
    assert "secret-topic" not in f"{refused}{done}{shown}"
    off = run("miner", "apply", str(message_file(tmp_path, 2, "offline-notice: off")))
    assert off.exit_code == 0, "it can be ended at any pool"
    assert "\noffline notice" not in run("miner", "settings", ADA_ADDRESS).out


def test_cli_miner_apply_does_what_was_signed_and_settings_shows_it(
    run: Run, database: Database, tmp_path: Path
) -> None:
    path = message_file(tmp_path, 3, "minimum-payout: regbtc 0.5", f"release-held: alpha {BOB_ADDRESS}")
    outcome = run("miner", "apply", str(path))
    assert outcome == Outcome(
        0, f"message 3 of {ADA_ADDRESS}: applied\nreleased 60 of alpha to {BOB_ADDRESS}\n", ""
    )
    assert run("miner", "apply", str(path)).out == f"message 3 of {ADA_ADDRESS}: was applied before, nothing changes\n"
    shown = run("miner", "settings", ADA_ADDRESS.upper())
    assert (shown.exit_code, shown.err) == (0, "")
    for line in (
        f"address {ADA_ADDRESS}", "frozen: no", "number of the next message: 4",
        "regbtc: minimum payout 0.5 (50000000), registered address none", f"a login of it named: beta {CLEO_ADDRESS}",
        f"  release-held: alpha {BOB_ADDRESS}", "  " + path.read_text().splitlines()[-1],
    ):  # fmt: skip
        assert line in shown.out.splitlines()
    assert "alpha held: available 0" in shown.out


def test_cli_miner_apply_refuses_what_is_not_the_miners(run: Run, database: Database, tmp_path: Path) -> None:
    forged = message_file(tmp_path, 1, f"release-held: alpha {BOB_ADDRESS}", key=BOB)
    outcome = run("miner", "apply", str(forged))
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert outcome.err.endswith("message.txt: signature: the signature is not of this message by this address's key\n")
    assert balances(database)[OPERATOR_AVAILABLE] == 100
    good = message_file(tmp_path, 2, "minimum-payout: alpha 1")
    assert run("miner", "apply", str(good)).exit_code == 0
    outcome = run("miner", "apply", str(message_file(tmp_path, 1, "minimum-payout: alpha 1")))
    assert (outcome.exit_code, outcome.err) == (1, "pool: number: 1 was used before, the next is 3\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "expected a last line 'signature: "),
        (b"signature: abc", "expected a last line 'signature: "),
        (b"parapool x\nsignature: abc\nmore", "expected a last line 'signature: "),
        (b"hello\nsignature: abc", "line 1: expected 'parapool devnet'"),
        (b"\xff\xfe\x00\nsignature: abc", "line 1: "),
        (b"x" * 9000, "at most 8192 characters"),
    ],
)
def test_cli_miner_apply_names_what_is_wrong_with_a_file(
    run: Run, database: Database, tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "message.txt"
    path.write_bytes(content)
    outcome = run("miner", "apply", str(path))
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("change", ["\n", "\r\n", "\r\n-signed"])
def test_cli_miner_apply_takes_what_mail_does_to_line_ends(
    run: Run, database: Database, tmp_path: Path, change: str
) -> None:
    """The file has other line ends than what was signed, or an end that was signed, too."""
    text = template(RULES, RULES.miner(ADA_ADDRESS), 1, datetime.now(UTC).date()) + "minimum-payout: alpha 1"
    signed = text.replace("\n", "\r\n") + "\r\n" if change == "\r\n-signed" else text + "\n" * (change == "\n")
    content = f"{text}\nsignature: {ADA.sign('p2wpkh', signed, NET)}\n"
    path = tmp_path / "message.txt"
    path.write_bytes(content.replace("\n", "\r\n" if change == "\r\n" else "\n").encode())
    assert run("miner", "apply", str(path)).exit_code == 0


def test_cli_miner_freeze_and_unfreeze(run: Run, database: Database, tmp_path: Path) -> None:
    outcome = run("miner", "freeze", ADA_ADDRESS, "--reason", "ticket 12")
    assert outcome == Outcome(0, f"{ADA_ADDRESS} is frozen\na login of it named: beta {CLEO_ADDRESS}\n", "")
    assert "was frozen before" in run("miner", "freeze", ADA_ADDRESS, "--reason", "ticket 13").out
    assert "frozen: ticket 12\n" in run("miner", "settings", ADA_ADDRESS).out
    refused = run("miner", "apply", str(message_file(tmp_path, 1, f"release-held: alpha {BOB_ADDRESS}")))
    assert (refused.exit_code, "has stopped payouts" in refused.err) == (1, True)
    released = run("ledger", "release", ADA_ADDRESS, "--chain", "alpha", *TO_BOB)
    assert (released.exit_code, released.err) == (1, f"pool: {ADA_ADDRESS} is frozen: unfreeze it first\n")
    assert run("miner", "unfreeze", ADA_ADDRESS, "--reason", "theirs").exit_code == 0
    assert run("miner", "unfreeze", ADA_ADDRESS, "--reason", "theirs").exit_code == 1
    assert balances(database)[OPERATOR_AVAILABLE] == 100


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("miner", "settings", "nobody"), "'nobody' is an address of none of the chains: regbtc, "),
        (("miner", "freeze", ADA_ADDRESS), "Missing option '--reason'"),
        (("miner", "freeze", ADA_ADDRESS, "--reason", "a\x1b[2J"), "expected one line of 1 to 200 printable"),
        (("miner", "freeze", ADA_ADDRESS, "--reason", " "), "expected one line of 1 to 200 printable"),
        (("ledger", "release", "nobody", "--chain", "alpha", *TO_BOB), "'nobody' is no"),
        (("ledger", "release", ADA_ADDRESS, "--chain", "doge", *TO_BOB), "no chain 'doge'"),
        (("ledger", "import", "/nowhere.csv"), "does not exist"),
    ],
)
def test_cli_miner_wrong_use_is_one_line_and_exit_code_2(
    run: Run, database: Database, words: tuple[str, ...], told: str
) -> None:
    outcome = run(*words)
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("words", [("settings", ADA_ADDRESS), ("freeze", ADA_ADDRESS, "--reason", "x")])
def test_cli_miner_without_books_is_wrong_use_and_makes_none(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    outcome = run("miner", *words)
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert "there are no books yet" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_cli_ledger_release_hands_over_what_is_held(run: Run, database: Database) -> None:
    words = ("ledger", "release", ADA_ADDRESS, "--chain", "alpha", *TO_BOB)
    assert run(*words) == Outcome(0, f"released 60 of alpha to {BOB_ADDRESS}\n", "")
    assert run(*words) == Outcome(1, f"nothing final is held for {ADA_ADDRESS} on alpha\n", "")
    assert "  reason: ticket 7\n" in run("miner", "settings", ADA_ADDRESS).out
    assert run("ledger", "audit").exit_code == 0


def test_cli_ledger_import_takes_a_file_once(run: Run, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "balances.csv"
    path.write_text(f"chain,address,amount\nalpha,{BOB_ADDRESS},70\nalpha,{CLEO_ADDRESS},30\n")
    before = balances(database)
    rehearsed = run("ledger", "import", str(path), "--dry-run")
    assert rehearsed.exit_code == 0
    assert "good, nothing was changed (--dry-run)" in rehearsed.out
    assert balances(database) == before
    taken = run("ledger", "import", str(path))
    assert (taken.exit_code, taken.err) == (0, "")
    assert taken.out.startswith("2 balances, 100 of alpha: taken (reference ")
    assert OPERATOR_AVAILABLE not in balances(database)
    after = balances(database)
    assert "was taken before, nothing changes" in run("ledger", "import", str(path)).out
    assert balances(database) == after
    statement = run("ledger", "statement", BOB_ADDRESS)
    assert statement.exit_code == 0
    assert "opening: +70 available" in statement.out
    assert run("ledger", "audit").exit_code == 0


def test_cli_ledger_import_names_each_bad_line_and_takes_nothing(run: Run, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "balances.csv"
    path.write_text(
        f"chain,address,amount\nalpha,{BOB_ADDRESS},70\nalpha,{CLEO_ADDRESS},-5\nalpha,{CLEO_ADDRESS},0.5\n"
        f"dogecoin,{CLEO_ADDRESS},5\nalpha,{BOB_ADDRESS},1\nalpha,evil\x1b[2J,1\n"
    )
    before = balances(database)
    outcome = run("ledger", "import", str(path))
    assert (outcome.exit_code, outcome.out) == (1, "")
    lines = outcome.err.splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [f"{path}:{number}" for number in (3, 4, 5, 6, 7)]
    assert lines[-1] == "nothing was taken"
    assert "\x1b" not in outcome.err
    assert balances(database) == before


def test_cli_ledger_import_of_more_than_is_funded_takes_nothing(run: Run, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "balances.csv"
    path.write_text(f"chain,address,amount\nalpha,{BOB_ADDRESS},101\n")
    before = balances(database)
    outcome = run("ledger", "import", str(path))
    assert (outcome.exit_code, outcome.out) == (1, "")
    assert "the operator has 100 available; fund 1 first" in outcome.err
    assert balances(database) == before
