"""Loading the configuration: what a good file gives, files that are none, secrets, and overrides."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from config_file import GOOD
from pydantic import ValidationError

from chains.auxpow.params import DOGECOIN, NAMECOIN
from pool.config.configuration import AuxpowChain, BitcoinChain, Config, ConfigError, LimitsSection, Mm2Chain, load
from stratum.limits import Limits


def test_config_loads_the_shape_of_the_readme(accepted: Callable[..., Config]) -> None:
    config = accepted(GOOD)
    assert config.pool.data_dir == Path("data")
    assert config.stratum.ports[0].address == ("127.0.0.1", 3333)
    assert config.stratum.ports[0].share_interval_s == 4.0
    assert config.stratum.ports[0].cap_max_shares_per_min == 60
    assert config.http.address == ("127.0.0.1", 8080)
    assert config.parent_chain is config.chains["regbtc"]
    assert isinstance(config.parent_chain, BitcoinChain)
    assert list(config.aux_chains) == ["regnmc", "alpha"]
    namecoin, alpha = config.chains["regnmc"], config.chains["alpha"]
    assert isinstance(namecoin, AuxpowChain)
    assert isinstance(alpha, Mm2Chain)
    assert namecoin.chain_id == 1
    assert namecoin.pplns.factor == Fraction(21, 10), "the digits of the file, not the nearest double"
    assert namecoin.pplns.window_min_s == 3600
    assert alpha.pplns.factor == Fraction(2)
    assert (alpha.network, namecoin.network) == ("regtest", "regtest"), "the family devnet has no other"
    assert (alpha.notify, alpha.away_s) == ("new_job", 60.0)
    assert config.parent_chain.longpoll is True
    assert config.parent_chain.nodes[0].read_password() == "geheim"


def test_config_default_database_is_sqlite_in_the_data_dir(accepted: Callable[..., Config], tmp_path: Path) -> None:
    assert accepted(GOOD).database_url() == f"sqlite:///{tmp_path}/data/pool.sqlite"
    url = "postgresql+psycopg://parapool:geheim@db/parapool"
    config = accepted(GOOD, **{"pool.database_url": url})
    assert config.database_url() == url
    assert "geheim" not in repr(config)


def test_config_fee_is_the_pools_unless_the_chain_has_its_own(accepted: Callable[..., Config]) -> None:
    config = accepted(GOOD, **{"chains.alpha.fee_ppm": "0"})
    assert [config.fee_ppm(name) for name in config.chains] == [10000, 10000, 0]


def test_config_cannot_be_changed(accepted: Callable[..., Config]) -> None:
    config = accepted(GOOD)
    with pytest.raises(ValidationError):
        config.pool.fee_ppm = 0  # type: ignore[misc]


def test_config_shows_no_secret_in_its_repr(accepted: Callable[..., Config]) -> None:
    assert "geheim" not in repr(accepted(GOOD)) + str(accepted(GOOD)) + accepted(GOOD).model_dump_json()


def test_config_limits_are_those_of_the_stratum_server(accepted: Callable[..., Config]) -> None:
    assert LimitsSection().model_dump() == dataclasses.asdict(Limits())
    config = accepted(GOOD, **{"stratum.limits.line_bytes": "8192"})
    assert Limits(**config.stratum.limits.model_dump()).line_bytes == 8192


def test_config_takes_a_dialect_by_name_or_by_words(accepted: Callable[..., Config]) -> None:
    def dialect(text: str) -> object:
        chain = accepted(GOOD, **{"chains.regnmc.dialect": text}).chains["regnmc"]
        assert isinstance(chain, AuxpowChain)
        return chain.rpc_dialect()

    assert dialect("namecoin") == NAMECOIN
    assert dialect("dogecoin") == DOGECOIN
    words = "{create_method: creatework, strict_chain_id: false}"
    assert dialect(words) == dataclasses.replace(NAMECOIN, create_method="creatework", strict_chain_id=False)


# -- the file itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", ["1: file: expected a mapping of keys and values"]),
        (b"# nothing\n", ["1: file: expected a mapping of keys and values"]),
        (b"- pool\n", ["1: file: expected a mapping of keys and values"]),
        (b"just words\n", ["1: file: expected a mapping of keys and values"]),
        (b"pool: {}\n\xff\n", ["2: file: expected UTF-8 text"]),
        (b"pool: {}\nhttp: \x01\n", ["2: file: expected YAML without control characters"]),
        (b"pool: {}\nhttp: [1\nparent: x\n", ["3: file: expected valid YAML: expected ',' or ']', but got ':'"]),
        (b"pool: {}\n\thttp: 1\n", ["2: file: expected spaces: YAML takes no tab before a key"]),
        (b"pool: {}\n---\nhttp: {}\n", ["2: file: expected valid YAML: but found another document"]),
        (b"a: " + b"[" * 5000, ["1: file: expected at most 20 levels of nesting"]),
        (b"pool: *x\n", ["1: file: expected quotes around text that starts with * or &"]),
        (b"x" * 1_000_001, ["1: file: expected a file of at most 1000000 bytes"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_config_refuses_a_file_that_is_no_mapping(
    refused: Callable[..., list[str]], text: bytes, lines: list[str]
) -> None:
    assert refused(text) == lines


def test_config_refuses_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "nowhere.yaml", "No such file or directory"), (tmp_path, "Is a directory")]:
        with pytest.raises(ConfigError) as refusal:
            load(path)
        assert refusal.value.lines == [f"{path}:1: file: expected a readable file: {reason}"]


def test_config_refuses_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root reads everything, so the refusal itself is played
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path / "x.yaml")
    assert refusal.value.lines == [f"{tmp_path}/x.yaml:1: file: expected a readable file: Permission denied"]


def test_config_names_duplicate_keys_with_both_lines(refused: Callable[..., list[str]]) -> None:
    text = GOOD.replace("  tag: /parapool/", "  tag: /parapool/\n  tag: /other/") + "http: {}\n"
    assert refused(text) == [
        "6: pool.tag: duplicate key, first used on line 5",
        f"{len(text.splitlines())}: http: duplicate key, first used on line 13",
    ]


def test_config_takes_a_file_with_a_byte_order_mark(accepted: Callable[..., Config]) -> None:
    assert accepted("\ufeff" + GOOD).pool.name == "devnet"


def test_config_reads_yaml_1_2(accepted: Callable[..., Config]) -> None:
    text = GOOD.replace("fee_ppm: 10000", "fee_ppm: 010").replace("name: devnet", "name: no")
    text = text.replace("chain_id: 1", "chain_id: 0x01\n    notify: off")
    config = accepted(text)
    assert (config.pool.fee_ppm, config.pool.name) == (10, "no")
    assert config.chains["regnmc"].notify == "off"


# -- overrides ----------------------------------------------------------------------------------------------------


def test_config_overrides_replace_add_and_append(accepted: Callable[..., Config]) -> None:
    config = accepted(
        GOOD,
        **{
            "stratum.ports.0.bind": "127.0.0.1:4444",
            "stratum.ports.1.bind": "127.0.0.1:4445",
            "stratum.limits.idle_s": "60",
            "chains.alpha.pplns.factor": "0.5",
            "chains.regbtc.nodes.0.password": "1234",
            "pool.name": "no: yes",
        },
    )
    assert [port.bind for port in config.stratum.ports] == ["127.0.0.1:4444", "127.0.0.1:4445"]
    assert config.stratum.limits.idle_s == 60.0
    assert config.chains["alpha"].pplns.factor == Fraction(1, 2)
    assert config.chains["regbtc"].nodes[0].read_password() == "1234", "a key of text takes digits as text"
    assert config.pool.name == "no: yes"


def test_config_tells_a_mistake_of_an_override_as_such(refused: Callable[..., list[str]]) -> None:
    overrides = {"stratum.ports.0.bind": "nonsense", "pool.fee_ppm": "x", "pool.tga": "x"}
    assert sorted(refused(GOOD.replace("name: devnet", "name: 5"), **overrides)) == [
        "--set pool.fee_ppm: expected a whole number",
        "--set pool.tga: unknown key, did you mean tag?",
        "--set stratum.ports.0.bind: expected HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:3333 or "
        "[::1]:3333",
        "2: pool.name: expected text (in quotes when it looks like a number)",
    ]


def test_config_tells_where_inside_an_override_the_mistake_is(refused: Callable[..., list[str]]) -> None:
    assert refused(GOOD, **{"chains.alpha.nodes": "[{url: http://a, pass: x}]"}) == [
        "--set chains.alpha.nodes: 0.pass: unknown key, did you mean password?"
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("stratum.ports.7.bind", "expected a place from 0 to 1 in the list, not '7'"),
        ("stratum.ports.first.bind", "expected a place from 0 to 1 in the list, not 'first'"),
        ("pool.name.first", "expected a key of the configuration; 'first' stands below a plain value"),
        ("pool..name", "expected a dotted key, such as http.bind or stratum.ports.0.bind"),
    ],
)
def test_config_tells_an_override_that_leads_nowhere(
    refused: Callable[..., list[str]], key: str, expected: str
) -> None:
    assert refused(GOOD, **{key: "x"}) == [f"--set {key}: {expected}"]


def test_config_an_override_can_mend_the_file(accepted: Callable[..., Config]) -> None:
    assert accepted(GOOD.replace("fee_ppm: 10000", "fee_ppm: x"), **{"pool.fee_ppm": "5"}).pool.fee_ppm == 5


def test_config_takes_relative_paths_from_the_working_directory(accepted: Callable[..., Config]) -> None:
    assert accepted(GOOD).pool.data_dir.absolute() == Path(os.getcwd()) / "data"
