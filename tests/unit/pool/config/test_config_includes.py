"""A configuration out of several files: what comes from where, in which order, and each mistake in its own file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from config_file import ADDRESS, GOOD

from pool.cli.commands import commands
from pool.config.configuration import Config, ConfigError, load
from pool.config.includes import MAX_FILES, MAX_LEVELS, parts_of
from pool.config.reload import reload_between

ROOT = Path(__file__).parents[4]
MAIN = GOOD[: GOOD.index("  regnmc:")]
NAMECOIN = "chains:\n" + GOOD[GOOD.index("  regnmc:") : GOOD.index("  alpha:")]
ALPHA = "chains:\n" + GOOD[GOOD.index("  alpha:") :]
MAIN_ADDRESSES = {
    "chains.bitcoin.address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "chains.namecoin.address": "nc1qw508d6qejxtdg4y5r3zarvary0c5xw7kttkktk",
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**files: str) -> None:
    """Files by name, with __ for a folder."""
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def refused(path: str = "pool.yaml", **overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        load(path, overrides)
    assert all(line.isprintable() for line in refusal.value.lines)
    return refusal.value.lines


def without_include(config: Config) -> dict[str, object]:
    return config.model_dump(exclude={"include"})


def test_config_includes_make_the_same_of_several_files_as_of_one() -> None:
    write(whole=GOOD, pool="include: [chains/*.yaml]\n" + MAIN, chains__1=NAMECOIN, chains__2=ALPHA)
    config = load("pool.yaml")
    assert without_include(config) == without_include(load("whole.yaml"))
    assert list(config.chains) == ["regbtc", "regnmc", "alpha"]


def test_config_includes_own_keys_come_first_then_the_files_in_their_order() -> None:
    write(pool="include: [chains/2.yaml, chains/1.yaml]\n" + MAIN, chains__1=NAMECOIN, chains__2=ALPHA)
    assert list(load("pool.yaml").chains) == ["regbtc", "alpha", "regnmc"]
    write(pool="include: [chains.yaml]\n" + MAIN.replace("chains:", "chains: # more in chains.yaml"), chains=NAMECOIN)
    assert list(load("pool.yaml").chains) == ["regbtc", "regnmc"]


def test_config_includes_fill_a_section_that_stands_there_empty() -> None:
    head, chains = MAIN.split("chains:\n")
    write(pool=f"include: [parent.yaml]\n{head}chains:\n", parent="chains:\n" + chains + "stratum:\n")
    assert list(load("pool.yaml").chains) == ["regbtc"]


def test_config_includes_lists_go_on() -> None:
    more = "stratum:\n  ports:\n    - bind: 127.0.0.1:3334\n    - bind: 127.0.0.1:3335\n"
    write(pool="include: [ports.yaml]\n" + MAIN, ports=more)
    assert [port.bind[-4:] for port in load("pool.yaml").stratum.ports] == ["3333", "3334", "3335"]
    write(ports=more.replace("127.0.0.1:3335", "nowhere") + "  limits: {job_limit: 9}\n")
    assert [line.split(": ")[:2] for line in refused()] == [
        ["ports.yaml:4", "stratum.ports.2.bind"], ["ports.yaml:5", "stratum.limits.job_limit"]
    ]  # fmt: skip


def test_config_includes_are_seen_from_their_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(etc__pool="include: [aux/first.yaml]\n" + MAIN)
    (tmp_path / "etc/aux").mkdir()
    (tmp_path / "etc/aux/first.yaml").write_text(f"include: [second.yaml, {tmp_path}/third.yaml]\n{NAMECOIN}")
    (tmp_path / "etc/aux/second.yaml").write_text(ALPHA)
    write(third="pool: {front_end: east}\n")
    monkeypatch.chdir("/")
    config = load(tmp_path / "etc/pool.yaml")
    assert (list(config.chains), config.pool.front_end) == (["regbtc", "regnmc", "alpha"], "east")


def test_config_includes_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "east")
    write(pool="include: ['${SITE}.yaml']\n" + MAIN, east="pool: {front_end: east}\n")
    assert load("pool.yaml").pool.front_end == "east"


def test_config_includes_a_key_in_two_files_is_told_with_both_places() -> None:
    write(pool="include: [a.yaml, b.yaml]\n" + MAIN, a="pool:\n  front_end: a\n")
    write(b="\npool:\n  fee_ppm: 1\n  front_end: b")
    assert refused() == [
        "b.yaml:3: pool.fee_ppm: duplicate key, first used at pool.yaml:5",
        "b.yaml:4: pool.front_end: duplicate key, first used at a.yaml:2",
    ]
    write(pool="include: [a.yaml]\n" + MAIN, a="chains:\n  regbtc: {fee_ppm: 7}\n  regnmc: 8\nparent: {}\n")
    lines = refused()
    assert "a.yaml:4: parent: duplicate key, first used at pool.yaml:15" in lines
    assert [line for line in lines if "regbtc" in line] == [], "sections are merged"


def test_config_includes_a_mistake_is_told_in_its_own_file() -> None:
    write(
        pool="include: [chains/*.yaml]\n" + MAIN.replace("fee_ppm: 10000", "fee_ppm: much"),
        chains__1=NAMECOIN.replace("chain_id: 1", "chain_id: one").replace("auxpow", "auxpow\n    colour: red"),
        chains__2=ALPHA.replace(ADDRESS, "nobody") + "    away_s: -1\n",
    )  # fmt: skip
    assert [line.split(": ")[:2] for line in refused()] == [
        ["pool.yaml:5", "pool.fee_ppm"],
        ["chains/1.yaml:4", "chains.regnmc.colour"],
        ["chains/1.yaml:6", "chains.regnmc.chain_id"],
        ["chains/2.yaml:5", "chains.alpha.address"],
        ["chains/2.yaml:8", "chains.alpha.away_s"],
    ]


def test_config_includes_a_missing_key_is_told_where_its_section_stands() -> None:
    write(pool="include: [a.yaml]\n" + MAIN, a="chains:\n\n  alpha:\n    kind: mm2\n    context_name: alpha\n")
    assert [line.split(": ")[:2] for line in refused()] == [
        ["a.yaml:3", "chains.alpha.address"], ["a.yaml:3", "chains.alpha.nodes"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ("chains.yaml", "pool.yaml:1: include: expected a list of files or patterns, such as [chains/*.yaml]"),
        ("[8]", "pool.yaml:1: include: expected a list of files or patterns, such as [chains/*.yaml]"),
        ("['']", "pool.yaml:1: include: expected a list of files or patterns, such as [chains/*.yaml]"),
        ('["a\\0b"]', "pool.yaml:1: include: expected a list of files or patterns, such as [chains/*.yaml]"),
        ("[gone.yaml]", "pool.yaml:1: include.0: expected a readable file: gone.yaml: No such file or directory"),
        ("[.]", "pool.yaml:1: include.0: expected a readable file: .: Is a directory"),
        ('["a\\nb"]', "pool.yaml:1: include.0: expected a readable file: 'a\\nb': No such file or directory"),
        ("[gone/*.yaml]", "pool.yaml:1: include.0: expected at least one file like gone/*.yaml"),
        ("[pool.yaml]", "pool.yaml:1: include.0: expected files that do not include themselves, this is a circle: "
         "pool.yaml → pool.yaml"),
        ("[good.yaml, ./good.yaml]", "pool.yaml:1: include.1: expected each file once, good.yaml is included at "
         "pool.yaml:1 already"),
        ("['${UNSET_OF_TEST}']", "pool.yaml:1: include.0: expected the environment variable UNSET_OF_TEST, which is "
         "not set (write $${ for a plain ${)"),
    ],
)  # fmt: skip
def test_config_includes_that_cannot_be_taken_are_told_and_nothing_else(include: str, expected: str) -> None:
    """What the missing file would have brought is not told as missing."""
    write(pool=f"include: {include}\n" + MAIN.replace("parent: regbtc", ""), good="pool: {front_end: a}\n")
    assert expected in refused()
    assert [line for line in refused() if "missing key" in line] == []


def test_config_includes_a_circle_names_its_files() -> None:
    write(pool="include: [a.yaml]\n" + MAIN, a="include: [b/1.yaml]\n", b__1="\ninclude:\n  - ../a.yaml\n")
    assert refused() == [
        "b/1.yaml:3: include.0: expected files that do not include themselves, this is a circle: "
        "a.yaml → 1.yaml → a.yaml"
    ]


def test_config_includes_end_at_a_depth_and_at_a_number_of_files() -> None:
    for level in range(MAX_LEVELS + 1):
        write(**{f"level{level}": f"include: [level{level + 1}.yaml]\n"})
    write(pool="include: [level0.yaml]\n" + MAIN, **{f"level{MAX_LEVELS + 1}": "{}"})
    (line,) = refused()
    assert line.startswith(f"level{MAX_LEVELS - 1}.yaml:1: include.0: expected at most {MAX_LEVELS} levels and ")
    for number in range(MAX_FILES + 5):
        write(**{f"many__{number}": "{}"})
    write(pool="include: [many/*.yaml]\n" + MAIN)
    (line,) = refused()
    assert line.startswith("pool.yaml:1: include.0: expected at most ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("chains:\n\tregnmc: 1\n", "bad.yaml:2: file: expected spaces: YAML takes no tab before a key"),
        ("just text", "bad.yaml:1: file: expected a mapping of keys and values"),
        ("", "bad.yaml:1: file: expected a mapping of keys and values"),
        ("a: 1\na: 2\n", "bad.yaml:2: a: duplicate key, first used on line 1"),
    ],
)
def test_config_includes_a_file_that_is_none_is_told_by_its_name(text: str, line: str) -> None:
    write(pool="include: [bad.yaml]\n" + MAIN, bad=text)
    assert any(found.startswith(line) for found in refused()), refused()


def test_config_includes_are_the_files_own_and_not_the_command_lines() -> None:
    write(pool=MAIN)
    assert refused(**{"include.0": "a.yaml"}) == ["--set include.0: files are included by the file, not here"]


def test_config_includes_lie_below_what_the_command_line_says() -> None:
    write(pool="include: [a.yaml]\n" + MAIN, a=NAMECOIN)
    assert load("pool.yaml", {"chains.regnmc.chain_id": "7"}).chains["regnmc"].chain_id == 7  # type: ignore[union-attr]


def test_config_includes_are_explained_by_check_config() -> None:
    write(pool="include: [chains/*.yaml]\n" + MAIN, chains__1=NAMECOIN, chains__2=ALPHA + "pool: {front_end: a}\n")
    result = CliRunner().invoke(commands, ["check-config", "-c", "pool.yaml"])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "pool.yaml: good; parent regbtc, auxiliary chains: regnmc, alpha",
        "  pool.yaml: pool, stratum, http, parent, chains.regbtc",
        "  chains/1.yaml: chains.regnmc",
        "  chains/2.yaml: chains.alpha",
    ]
    assert parts_of(Path("pool.yaml"))[Path("chains/1.yaml")] == ["chains.regnmc"]


def test_config_includes_are_read_again_at_a_reload() -> None:
    """A further chain is one more file: nothing that is there is touched."""
    write(pool="include: [chains/*.yaml]\n" + MAIN, chains__1=NAMECOIN)
    before = load("pool.yaml")
    write(chains__2=ALPHA)
    change = reload_between(before, load("pool.yaml"))
    assert (change.added, change.removed, change.keys) == (("alpha",), (), ())
    os.replace("chains/2.yaml", "alpha.yaml")
    write(pool="include: [chains/*.yaml, alpha.yaml]\n" + MAIN)
    assert str(reload_between(load("pool.yaml"), before)) == "removed=alpha"


def test_config_two_chains_with_their_defaults_are_a_file_of_under_25_lines() -> None:
    path = ROOT / "deploy/two-chains.yaml"
    assert len(path.read_text().splitlines()) < 25
    assert [line.split(": ")[1] for line in refused(str(path))] == list(MAIN_ADDRESSES), "only the operator's own"
    text = path.read_text()
    for name, address in MAIN_ADDRESSES.items():
        text = text.replace(f"YOUR-{name.split('.')[1].upper()}-ADDRESS", address)
    Path("pool.yaml").write_text(text)
    result = CliRunner().invoke(commands, ["check-config", "-c", "pool.yaml"])
    assert (result.exit_code, result.output) == (0, "pool.yaml: good; parent bitcoin, auxiliary chains: namecoin\n")
