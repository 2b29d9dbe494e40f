"""Every kind of mistake in a configuration with its exact line, all at once, and nothing secret in any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from config_file import ADDRESS, GOOD, MAIN_ADDRESS

from pool.config.configuration import Config

# One mistake each: what to replace in the good file, by what, where the message points to, and the message.
KEY_MISTAKES = [
    ("fee_ppm: 10000", "fee_pm: 10000", "fee_pm", "pool.fee_pm: unknown key, did you mean fee_ppm?"),
    (
        "  bind: 127.0.0.1:8080", "  bind: 127.0.0.1:8080\n  zzz: 1", "zzz",
        "http.zzz: unknown key, expected one of bind, forwarded_from, limits, pseudonym_key_file, public_credits",
    ),
    ("parent: regbtc", "parent: regbtc\nchain: {}", "chain: {}", "chain: unknown key, did you mean chains?"),
    (
        "chain_id: 1", "chain_id: 1\n    longpoll: true", "longpoll",
        "chains.regnmc.longpoll: unknown key, expected one of address, away_s, chain_id, dialect, family, fee_ppm, "
        "former_addresses, kind, maturity, network, nodes, notify, payouts, poll_interval_s, pplns, pps, scheme",
    ),
    ("        password: geheim", "        pasword: geheim", "pasword",
     "chains.regbtc.nodes.0.pasword: unknown key, did you mean password?"),
    ("fee_ppm: 10000", "fee_ppm: 1.5", "fee_ppm", "pool.fee_ppm: expected a whole number"),
    ("fee_ppm: 10000", "fee_ppm: true", "fee_ppm", "pool.fee_ppm: expected a whole number"),
    ("fee_ppm: 10000", 'fee_ppm: "10000"', "fee_ppm", "pool.fee_ppm: expected a whole number"),
    ("fee_ppm: 10000", "fee_ppm: -1", "fee_ppm", "pool.fee_ppm: expected a number of at least 0"),
    ("fee_ppm: 10000", "fee_ppm: 1000001", "fee_ppm", "pool.fee_ppm: expected a number of at most 1000000"),
    ("name: devnet", "name: 5", "name: 5", "pool.name: expected text (in quotes when it looks like a number)"),
    ("name: devnet", 'name: ""', 'name: ""', "pool.name: expected text without control characters, not empty"),
    ("  data_dir: ./data", "", "pool:", "pool.data_dir: missing key, expected: Folder of the share log, "),
    ("data_dir: ./data", "data_dir: [a]", "data_dir", "pool.data_dir: expected a path"),
    ("data_dir: ./data", "data_dir: pool.yaml", "data_dir", "pool.data_dir: expected a folder, this is a file"),
    ("data_dir: ./data", "data_dir: /proc/nowhere/data", "data_dir",
     "pool.data_dir: expected a folder that can be made and written, /proc is not"),
    ("data_dir: ./data", "data_dir: pool.yaml/data", "data_dir",
     "pool.data_dir: expected a folder that can be made and written, "),
    ("name: devnet", "name: devnet\n  database_url: postgresql://u@h:port/d", "database_url",
     "pool.database_url: expected sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"),
    ("name: devnet", "name: devnet\n  database_url: nonsense://x/d", "database_url",
     "pool.database_url: expected sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"),
    ("tag: /parapool/", "tag: " + "t" * 50, "tag: ", "pool.tag: expected at most 49 bytes, this tag has 50: a coinbase "
     "scriptSig holds 100 bytes (height 5, merged-mining header 45)"),
    ("start_difficulty: 1", "start_difficulty: .nan", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected a finite number"),
    ("start_difficulty: 1", "start_difficulty: .inf", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected a "),
    ("start_difficulty: 1", "start_difficulty: 1e400", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected a "),
    ("start_difficulty: 1", "start_difficulty: yes", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected a number"),
    ("start_difficulty: 1", "start_difficulty: true", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected a number"),
    ("start_difficulty: 1", "start_difficulty: 0", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected a number of at least 9.09494701773e-13"),
    ("maximum_difficulty: 1000000", "maximum_difficulty: 1073741825", "maximum_difficulty",
     "stratum.ports.0.maximum_difficulty: expected a number of at most 1073741824"),
    ("start_difficulty: 1", "start_difficulty: 0.0001", "start_difficulty",
     "stratum.ports.0.start_difficulty: expected minimum ≤ start ≤ maximum, these are 0.001, 0.0001 and 1e+06"),
    ("minimum_difficulty: 0.001", "minimum_difficulty: 2000000", "minimum_difficulty",
     "stratum.ports.0.minimum_difficulty: expected minimum ≤ start ≤ maximum, these are 2e+06, 1 and 1e+06"),
    ("bind: 127.0.0.1:3333", "bind: 127.0.0.1", "bind: 127.0.0.1", "stratum.ports.0.bind: expected HOST:PORT"),
    ("bind: 127.0.0.1:3333", "bind: :3333", "bind: :3333", "stratum.ports.0.bind: expected HOST:PORT"),
    ("bind: 127.0.0.1:3333", "bind: 127.0.0.1:65536", "65536", "stratum.ports.0.bind: expected HOST:PORT"),
    ("bind: 127.0.0.1:3333", "bind: ::1:3333", "::1:3333", "stratum.ports.0.bind: expected HOST:PORT"),
    ("bind: 127.0.0.1:3333", "bind: 3333", "bind: 3333", "stratum.ports.0.bind: expected text"),
    ("maximum_difficulty: 1000000", "extranonce2_size: 6", "extranonce2_size",
     "stratum.ports.0.extranonce2_size: expected 4 or 8"),
    ("parent: regbtc", "parent: bitcoin", "parent", "parent: expected one of the chains of kind bitcoin: regbtc"),
    ("parent: regbtc", "parent: alpha", "parent: alpha",
     "parent: expected a chain of kind bitcoin, alpha is of kind mm2"),
    ("parent: regbtc", "", "pool:", "parent: missing key, expected: Name of the chain whose blocks are mined"),
    ("  alpha:", "  d:", "  d:", "chains.d: a chain may not be named d"),
    ("  alpha:", "  Alpha:", "  Alpha:", "chains.Alpha: expected a chain name of 1 to 32 characters out of a-z"),
    ("  alpha:", f"  {'a' * 33}:", "aaa", f"chains.{'a' * 33}: expected a chain name of 1 to 32"),
    ("kind: mm2", "kind: mm3", "mm3", "chains.alpha.kind: expected bitcoin, auxpow, mm2, bk or parallel"),
    ("    kind: mm2\n", "", "  alpha:",
     "chains.alpha: missing key kind, expected bitcoin, auxpow, mm2, bk or parallel"),
    ("family: devnet", "family: dogcoin", "dogcoin", "chains.regnmc.family: expected another one: unknown family"),
    ("family: devnet", "family: devnet\n    network: main", "network: main",
     "chains.regnmc.network: expected another one: family devnet has no network 'main'"),
    ("network: regtest", "network: regtst", "regtst", "chains.regbtc.network: expected main, test or regtest"),
    ("chain_id: 1", "chain_id: 32768", "chain_id", "chains.regnmc.chain_id: expected a number of at most 32767"),
    ("factor: 2.1", "factor: 0", "factor", "chains.regnmc.pplns.factor: expected a number over 0, at most 1000"),
    ("factor: 2.1", "factor: .nan", "factor", "chains.regnmc.pplns.factor: expected a number over 0"),
    ("factor: 2.1", "factor: true", "factor", "chains.regnmc.pplns.factor: expected a number over 0"),
    ("factor: 2.1", "factor: many", "factor", "chains.regnmc.pplns.factor: expected a number over 0"),
    ("factor: 2.1", "window_min_s: -1", "window_min_s", "chains.regnmc.pplns.window_min_s: expected a number of at"),
    ("chain_id: 1", "scheme: prop", "scheme", "chains.regnmc.scheme: expected pplns, solo, pps or fpps"),
    ("chain_id: 1", "scheme: pps", "scheme",
     "chains.regnmc.scheme: expected a section pps with minimum_reserve in chain regnmc: shares are bought from it"),
    ("chain_id: 1", "pps: {minimum_reserve: 0}", "minimum_reserve",
     "chains.regnmc.pps.minimum_reserve: expected a number of at least 1"),
    ("chain_id: 1", "pps: {fee_ppm: 5}", "pps:",
     "chains.regnmc.pps.minimum_reserve: missing key, expected: In smallest units."),
    ("chain_id: 1", "pps: {minimum_reserve: 10, resume_reserve: 9}", "resume_reserve",
     "chains.regnmc.pps.resume_reserve: expected at least minimum_reserve, which is 10"),
    ("chain_id: 1", "pps: {minimum_reserv: 10, minimum_reserve: 10}", "minimum_reserv:",
     "chains.regnmc.pps.minimum_reserv: unknown key, did you mean minimum_reserve?"),
    ("maximum_difficulty: 1000000", "scheme: prop", "scheme",
     "stratum.ports.0.scheme: expected pplns or solo or pps or fpps, or a mapping of chains to one of them"),
    ("maximum_difficulty: 1000000", "scheme: {alpha: 5}", "scheme", "stratum.ports.0.scheme: expected pplns or solo"),
    ("maximum_difficulty: 1000000", "scheme: [solo]", "scheme", "stratum.ports.0.scheme: expected pplns or solo"),
    ("maximum_difficulty: 1000000", "scheme: {alfa: solo}", "scheme",
     "stratum.ports.0.scheme: expected chains out of regbtc, regnmc, alpha, not 'alfa'"),
    ("maximum_difficulty: 1000000", "scheme: {alpha: fpps}", "scheme",
     "stratum.ports.0.scheme: expected a section pps with minimum_reserve in chain alpha"),
    ("chain_id: 1", "notify: maybe", "notify", "chains.regnmc.notify: expected off, new_job or clean"),
    ("chain_id: 1", "dialect: klingon", "dialect",
     "chains.regnmc.dialect: expected namecoin or dogecoin, or a mapping of the words that differ"),
    ("chain_id: 1", "dialect: {makeblock: x}", "dialect", "chains.regnmc.dialect: expected keys out of create_method"),
    ("chain_id: 1", "dialect: {get_method: 5}", "dialect", "chains.regnmc.dialect: expected a word as get_method"),
    ("context_name: alpha", "context_name: ''", "context_name", "chains.alpha.context_name: expected text"),
    ("      - url: http://127.0.0.1:19501", "      - url: http://someone:geheim@127.0.0.1:1", "geheim@",
     "chains.regbtc.nodes.0.url: expected http://HOST:PORT or https://HOST:PORT (user and password have keys"),
    ("      - url: http://127.0.0.1:19501", "      - url: 127.0.0.1:1", "url: 127.0.0.1:1\n",
     "chains.regbtc.nodes.0.url: expected http://HOST:PORT"),
    ("        user: someone", "        user: someone\n        zmq_hashblock: udp://x", "zmq_hashblock",
     "chains.regbtc.nodes.0.zmq_hashblock: expected tcp://HOST:PORT"),
    ("        user: someone\n", "", "password: geheim", "chains.regbtc.nodes.0.password: expected user beside it"),
    ("        user: someone", "        cookie_file: /x/.cookie", "cookie_file",
     "chains.regbtc.nodes.0.cookie_file: expected either cookie_file or password, not both"),
    ("    nodes:\n      - url: http://127.0.0.1:19504\n", "    nodes: []\n", "nodes: []",
     "chains.alpha.nodes: expected at least 1 of them"),
    ("    nodes:\n      - url: http://127.0.0.1:19504\n", "    nodes: {url: x}\n", "nodes: {url: x}",
     "chains.alpha.nodes: expected a list"),
    ("    nodes:\n      - url: http://127.0.0.1:19504\n", "    nodes: [x]\n", "nodes: [x]",
     "chains.alpha.nodes.0: expected a mapping of keys and values"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "where", "message"), KEY_MISTAKES, ids=[case[1].strip()[:40] for case in KEY_MISTAKES]
)
def test_config_names_each_mistake_with_its_line(
    refused: Callable[..., list[str]], old: str, new: str, where: str, message: str
) -> None:
    assert GOOD.count(old) == 1, f"{old!r} is no one place of the good file"
    text = GOOD.replace(old, new)
    line = text.count("\n", 0, text.index(where)) + 1
    found = refused(text)
    assert found[0].startswith(f"{line}: {message}"), (line, found)
    assert len(found) == 1, found
    assert "geheim" not in found[0]


# -- between keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1:3333", "127.0.0.1:3333"),
        ("0.0.0.0:3333", "127.0.0.1:3333"),
        ("127.0.0.1:3333", "'[::]:3333'"),
        ("LOCALHOST:3333", "localhost:3333"),
    ],
)
def test_config_refuses_two_listeners_on_one_port(
    refused: Callable[..., list[str]], first: str, second: str
) -> None:
    text = GOOD.replace("127.0.0.1:3333", first).replace("127.0.0.1:8080", second)
    assert refused(text) == ["13: http.bind: expected a port of its own, this one is taken by stratum.ports.0.bind"]
    more = GOOD.replace("bind: 127.0.0.1:3333", f"bind: {first}").replace("http:\n", f"    - bind: {second}\nhttp:\n")
    assert refused(more) == [
        "12: stratum.ports.1.bind: expected a port of its own, this one is taken by stratum.ports.0.bind"
    ]


def test_config_allows_one_port_on_two_addresses(accepted: Callable[..., Config]) -> None:
    config = accepted(GOOD.replace("127.0.0.1:8080", "127.0.0.2:3333"))
    assert config.http.address == ("127.0.0.2", 3333)


def test_config_names_both_mm1_chains_with_one_id(refused: Callable[..., list[str]]) -> None:
    doge = f"  regdoge: {{kind: auxpow, family: devnet, chain_id: 1, address: {ADDRESS}, nodes: [{{url: http://a}}]}}\n"
    assert refused(GOOD + doge) == [
        f"{len(GOOD.splitlines()) + 1}: chains.regdoge.chain_id: expected a chain_id of its own, "
        "chains regnmc and regdoge both have 1"
    ]


def test_config_names_the_first_mm1_chain_that_clashes_once_per_chain(refused: Callable[..., list[str]]) -> None:
    more = "".join(
        f"  {name}: {{kind: auxpow, family: devnet, chain_id: {chain_id}, address: {ADDRESS}, "
        f"nodes: [{{url: http://{name}}}]}}\n"
        for name, chain_id in (("a", 7), ("b", "0x01"), ("c", 7), ("e", 1))
    )
    assert [line.split(": ", 1)[1] for line in refused(GOOD + more)] == [
        f"chains.{two}.chain_id: expected a chain_id of its own, chains {one} and {two} both have {chain_id}"
        for one, two, chain_id in (("regnmc", "b", 1), ("a", "c", 7), ("regnmc", "e", 1))
    ]


def test_config_names_both_mm2_chains_with_one_context(refused: Callable[..., list[str]]) -> None:
    beta = f"  beta:\n    kind: mm2\n    address: {ADDRESS}\n    nodes: [{{url: http://a}}]\n    context_name: alpha\n"
    assert refused(GOOD + beta) == [
        f"{len(GOOD.splitlines()) + 5}: chains.beta.context_name: expected a context_name of its own, "
        "chains alpha and beta both have 'alpha'"
    ]


def test_config_refuses_an_address_of_another_network(refused: Callable[..., list[str]]) -> None:
    text = GOOD.replace(f"regtest\n    address: {ADDRESS}", f"regtest\n    address: {MAIN_ADDRESS}")
    (line,) = refused(text)
    assert line.startswith("19: chains.regbtc.address: expected an address of bitcoin regtest: ")


def test_config_refuses_a_former_address_of_another_network(refused: Callable[..., list[str]]) -> None:
    both = f"address: {ADDRESS}\n    former_addresses: [{ADDRESS}, {MAIN_ADDRESS}]"
    (line,) = refused(GOOD.replace(f"regtest\n    address: {ADDRESS}", f"regtest\n    {both}"))
    assert line.startswith("20: chains.regbtc.former_addresses.1: expected an address of bitcoin regtest: ")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://127.0.0.1:19501", True),
        ("http://localhost:19501/", True),
        ("HTTP://127.0.0.1:19501", True),
        ("https://127.0.0.1:19501", True),
        ("http://127.0.0.1:19501/namecoin", False),
        ("http://127.0.0.2:19501", False),
        ("http://127.0.0.1", False),
    ],
)
def test_config_names_both_chains_with_one_node(
    refused: Callable[..., list[str]], accepted: Callable[..., Config], url: str, same: bool
) -> None:
    text = GOOD.replace("http://127.0.0.1:19504", url)
    if not same:
        assert accepted(text).chains["alpha"].nodes[0].url == url
        return
    assert refused(text) == [
        f"{len(text.splitlines())}: chains.alpha.nodes.0.url: expected a node of its own, "
        "chains regbtc and alpha have the same url"
    ]


def test_config_refuses_a_second_node_that_is_the_first(refused: Callable[..., list[str]]) -> None:
    text = GOOD + "      - url: http://127.0.0.1:19505\n      - url: http://127.0.0.1:19504/\n"
    (line,) = refused(text)
    where = f"{len(text.splitlines())}: chains.alpha.nodes.2.url"
    assert line == f"{where}: expected another node, chains.alpha.nodes.0.url is the same"


@pytest.mark.parametrize("network", ["regtst", "main", "[]"])
def test_config_tells_a_chains_other_mistakes_beside_a_wrong_network(
    refused: Callable[..., list[str]], network: str
) -> None:
    """A family without the network, or a word that is none: what no network of the family has is wrong all the same."""
    text = GOOD.replace("family: devnet", f"family: devnet-scrypt\n    network: {network}")
    text = text.replace(f"chain_id: 1\n    address: {ADDRESS}", f"chain_id: 1\n    address: {MAIN_ADDRESS}")
    assert [line.split(": ", 1)[1].split(":")[0] for line in refused(text)] == [
        "chains.regnmc.family", "chains.regnmc.network", "chains.regnmc.address"
    ]  # fmt: skip
    good_address = text.replace(MAIN_ADDRESS, ADDRESS)
    assert [line.split(": ", 1)[1].split(":")[0] for line in refused(good_address)] == [
        "chains.regnmc.family", "chains.regnmc.network"
    ]  # fmt: skip


def test_config_tells_a_wrong_family_beside_a_wrong_network_and_address(refused: Callable[..., list[str]]) -> None:
    text = GOOD.replace("family: devnet", "family: dogcoin\n    network: regtst")
    text = text.replace(f"chain_id: 1\n    address: {ADDRESS}", f"chain_id: 1\n    address: {ADDRESS[:-1]}q")
    family, network, address = refused(text)
    assert "chains.regnmc.family: expected another one: unknown family 'dogcoin'; there are bitcoin" in family
    assert network.endswith("chains.regnmc.network: expected main, test or regtest")
    assert address.endswith("chains.regnmc.address: expected an address of a known family")


def test_config_refuses_to_buy_shares_by_a_subsidy_that_nobody_knows(refused: Callable[..., list[str]]) -> None:
    bought = "chain_id: 1\n    scheme: fpps\n    pps: {minimum_reserve: 5}"
    text = GOOD.replace("family: devnet", "family: fractal\n    network: main").replace("chain_id: 1", bought)
    (line,) = refused(text.replace(f"5}}\n    address: {ADDRESS}", f"5}}\n    address: {MAIN_ADDRESS}"))
    expected = "expected pplns or solo for chain regnmc: no subsidy of fractal main is known here"
    assert line == f"29: chains.regnmc.scheme: {expected}"


def test_config_buys_no_shares_of_a_chain_that_every_port_rewards_otherwise(accepted: Callable[..., Config]) -> None:
    text = GOOD.replace("chain_id: 1", "chain_id: 1\n    scheme: pps")
    config = accepted(text.replace("maximum_difficulty: 1000000", "scheme: {regnmc: solo}"))
    (port,) = config.stratum.ports
    assert config.port_schemes(port) == {"regbtc": "pplns", "regnmc": "solo", "alpha": "pplns"}
    assert config.bought_chains == []


def test_config_lets_each_port_have_its_scheme(accepted: Callable[..., Config]) -> None:
    text = GOOD.replace("chain_id: 1", "chain_id: 1\n    scheme: fpps\n    pps: {minimum_reserve: 700, fee_ppm: 40000}")
    config = accepted(text.replace("http:\n", "    - {bind: '127.0.0.1:3334', scheme: solo}\nhttp:\n"))
    assert [config.port_schemes(port) for port in config.stratum.ports] == [
        {"regbtc": "pplns", "regnmc": "fpps", "alpha": "pplns"},
        {"regbtc": "solo", "regnmc": "solo", "alpha": "solo"},
    ]
    assert config.bought_chains == ["regnmc"]
    assert [config.pps_fee_ppm(name) for name in config.chains] == [10_000, 40_000, 10_000]
    pps = config.chains["regnmc"].pps
    assert pps is not None
    assert (pps.minimum_reserve, pps.resume) == (700, 1400)


def test_config_refuses_a_second_bitcoin_chain(refused: Callable[..., list[str]]) -> None:
    other = f"  other: {{kind: bitcoin, network: regtest, address: {ADDRESS}, nodes: [{{url: http://a}}]}}\n"
    (line,) = refused(GOOD + other)
    assert "chains.other.kind: expected auxpow, mm2, bk or parallel: a pool has one parent" in line


def test_config_refuses_an_auxpow_chain_of_another_proof_of_work(refused: Callable[..., list[str]]) -> None:
    text = GOOD.replace("family: devnet", "family: dogecoin\n    network: regtest").replace(
        f"chain_id: 1\n    address: {ADDRESS}", "chain_id: 1\n    address: mhYqrCH6LbYhDHJt7QdvnVVEA4AUvpZuN2"
    )
    assert refused(text) == [
        "26: chains.regnmc.family: expected a chain with the parent's proof of work sha256d, not scrypt"
    ]


@pytest.mark.parametrize(
    ("without_auxpow", "extranonce2_size", "longest"), [(False, 4, 49), (False, 8, 36), (True, 4, 93), (True, 8, 80)]
)
def test_config_leaves_the_tag_what_the_coinbase_has_room_for(
    accepted: Callable[..., Config],
    refused: Callable[..., list[str]],
    without_auxpow: bool,
    extranonce2_size: int,
    longest: int,
) -> None:
    text = GOOD
    if without_auxpow:
        text = text[: text.index("  regnmc:")] + text[text.index("  alpha:") :]
    size = {"stratum.ports.0.extranonce2_size": str(extranonce2_size)}
    assert accepted(text, **size, **{"pool.tag": "t" * longest}).pool.tag == "t" * longest
    (line,) = refused(text.replace("/parapool/", "t" * (longest + 1)), **size)
    assert line.startswith(f"5: pool.tag: expected at most {longest} bytes, this tag has {longest + 1}")
    (line,) = refused(text.replace("/parapool/", "ü" * (longest // 2 + 1)), **size)
    assert line.startswith(f"5: pool.tag: expected at most {longest} bytes")


def test_config_tells_all_mistakes_at_once_in_the_files_order(refused: Callable[..., list[str]]) -> None:
    text = (
        GOOD.replace("fee_ppm: 10000", "fee_ppm: lots")
        .replace("tag: /parapool/", f"tag: {'t' * 60}")
        .replace("start_difficulty: 1", "start_difficulty: 5000000")
        .replace("127.0.0.1:8080", "127.0.0.1:3333")
        .replace("password: geheim", "password: geheim\n        password_file: /nowhere/pw")
        .replace("chain_id: 1", "chain_id: one")
        .replace("context_name: alpha", "contextname: alpha")
        .replace("parent: regbtc", "parent: regbtx")
    )
    assert [line.split(": ")[1] for line in refused(text)] == [
        "pool.fee_ppm", "pool.tag", "stratum.ports.0.start_difficulty", "http.bind", "parent",
        "chains.regbtc.nodes.0.password_file", "chains.regbtc.nodes.0.password_file", "chains.regnmc.chain_id",
        "chains.alpha.context_name", "chains.alpha.contextname",
    ]  # fmt: skip


# -- logins and secrets -------------------------------------------------------------------------------------------


def test_config_reads_the_first_line_of_a_password_file(accepted: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("first line \r\nsecond\n")
    (tmp_path / "pw").chmod(0o600)
    config = accepted(GOOD.replace("password: geheim", "password_file: pw"))
    assert config.chains["regbtc"].nodes[0].read_password() == "first line "


def test_config_refuses_password_files_it_cannot_use(refused: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\nsecond")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, expected in [
        ("missing", "expected a readable file: No such file or directory"),
        (".", "expected a readable file: Is a directory"),
        ("empty", "expected a password on the file's first line"),
        ("binary", "expected a file of UTF-8 text"),
    ]:
        (line,) = refused(GOOD.replace("password: geheim", f"password_file: {name}"))
        assert line == f"23: chains.regbtc.nodes.0.password_file: {expected}"


def test_config_refuses_secrets_that_everybody_on_the_machine_can_read(
    refused: Callable[..., list[str]], accepted: Callable[..., Config], tmp_path: Path
) -> None:
    """Of nodes, and of the places that are told of events. The group may: that is how a unit's user reads them."""
    secret = tmp_path / "secret"
    secret.write_text("json://127.0.0.1:1/token\n")
    text = GOOD.replace("password: geheim", "password_file: secret") + "notifications: [{url_file: secret}]\n"
    secret.chmod(0o644)
    expected = "expected a file that not everybody on this machine can read: chmod o-r secret"
    assert refused(text) == [
        f"23: chains.regbtc.nodes.0.password_file: {expected}", f"38: notifications.0.url_file: {expected}"
    ]  # fmt: skip
    secret.chmod(0o640)
    assert accepted(text).parent == "regbtc"


def test_config_lets_a_cookie_file_come_later(accepted: Callable[..., Config]) -> None:
    text = GOOD.replace("        user: someone\n        password: geheim", "        cookie_file: later/.cookie")
    node = accepted(text).chains["regbtc"].nodes[0]
    assert node.cookie_file == Path("later/.cookie")
    assert node.read_password() is None


@pytest.mark.parametrize(
    "password",
    ["1234567", "*geheim", "&geheim", "!geheim x", "[geheim", "{geheim", "geheim: x", "@geheim", "%geheim", '"geheim',
     "|geheim", "[geheim]", "{geheim: geheim}", "'geheim' geheim", "true", "2026-01-01 geheim\tx: y"],
)  # fmt: skip
def test_config_never_shows_a_password_that_yaml_reads_otherwise(
    refused: Callable[..., list[str]], password: str
) -> None:
    for line in refused(GOOD.replace("password: geheim", f"password: {password}").replace("fee_ppm: 10000", "x: 1")):
        assert "geheim" not in line
        assert "1234567" not in line


def test_config_of_the_http_port_names_each_mistake(refused: Callable[..., list[str]]) -> None:
    text = GOOD.replace(
        "http:\n",
        "http:\n  limits: {requests_per_s: 0, request_burst: 3}\n  forwarded_from: [proxy]\n  public_credits: all\n",
    ).replace("    - bind: 127.0.0.1:3333\n", "    - bind: 127.0.0.1:3333\n      public_url: tcp://pool.example\n")
    assert sorted(line.partition(": ")[2] for line in refused(text)) == [
        "http.forwarded_from.0: expected an IP address, such as 127.0.0.1 or ::1",
        "http.limits.request_burst: unknown key, did you mean requests_burst?",
        "http.limits.requests_per_s: expected a number over 0",
        "http.public_credits: expected address or pseudonym",
        "stratum.ports.0.public_url: expected stratum+tcp://HOST:PORT or stratum+ssl://HOST:PORT",
    ]
