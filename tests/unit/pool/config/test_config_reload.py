"""What a running pool takes over from a new configuration, and what it refuses."""

from __future__ import annotations

import pytest
from config_file import ADDRESS

from pool.config.configuration import load
from pool.config.reload import ReloadRefusedError, reload_between

OTHER = "bcrt1qkf2lsfway5fl6and066zhue7vx52wa26xk7dmx"
NODES = "nodes: [{{url: 'http://127.0.0.1:{}', user: u, password: p}}]"
BASE = {
    "pool": "{name: test, data_dir: data, fee_ppm: 10000}",
    "stratum": "{ports: [{bind: '127.0.0.1:3333'}, {bind: '127.0.0.1:3334', start_difficulty: 64}]}",
    "http": "{bind: '127.0.0.1:8080'}",
    "parent": "regbtc",
    "regbtc": f"{{kind: bitcoin, network: regtest, address: {ADDRESS}, {NODES.format(1)}}}",
    "regnmc": f"{{kind: auxpow, family: devnet, chain_id: 1, address: {ADDRESS}, {NODES.format(2)}}}",
}
ALPHA = f"{{kind: mm2, context_name: alpha, address: {ADDRESS}, {NODES.format(3)}}}"


@pytest.fixture
def config(tmp_path):
    def make(**changes):
        values = {key: value for key, value in (BASE | changes).items() if value is not None}
        top = [f"{key}: {values.pop(key)}" for key in ("pool", "stratum", "http", "parent")]
        chains = [f"  {name}: {text}" for name, text in values.items()]
        path = tmp_path / "pool.yaml"
        path.write_text("\n".join((*top, "chains:", *chains)) + "\n")
        return load(path)

    return make


def test_reload_of_the_same_changes_nothing(config):
    found = reload_between(config(), config())
    assert (found.added, found.removed, found.renewed, found.keys) == ((), (), (), ())
    assert str(found) == "nothing changed"


def test_reload_adds_removes_and_orders_chains(config):
    found = reload_between(config(), config(alpha=ALPHA))
    assert found.added == ("alpha",) and found.removed == () and found.renewed == ()
    found = reload_between(config(alpha=ALPHA), config(regnmc=None, alpha=ALPHA))
    assert found.removed == ("regnmc",) and str(found) == "removed=regnmc"
    before = config(alpha=ALPHA)
    after = before.model_copy(update={"chains": dict(reversed(before.chains.items()))})
    assert reload_between(before, after).keys == ("the order of the chains",)


@pytest.mark.parametrize(
    ("changes", "keys", "renewed"),
    [
        ({"pool": "{name: test, data_dir: data, fee_ppm: 20000}"}, ("pool.fee_ppm",), ()),
        ({"pool": "{name: test, data_dir: data, fee_ppm: 10000, tag: /x/}"}, ("pool.tag",), ()),
        (
            {"regnmc": BASE["regnmc"].replace(ADDRESS, f"{OTHER}, former_addresses: [{ADDRESS}]")},
            ("chains.regnmc.address", "chains.regnmc.former_addresses"),
            ("regnmc",),
        ),
        (
            {"stratum": "{ports: [{bind: '127.0.0.1:3334', start_difficulty: 8}, {bind: '127.0.0.1:3333'}]}"},
            ("stratum.ports.0.start_difficulty",),
            (),
        ),
        ({"regnmc": BASE["regnmc"].replace("kind", "fee_ppm: 5, kind")}, ("chains.regnmc.fee_ppm",), ()),
        ({"regnmc": BASE["regnmc"].replace("kind", "notify: clean, kind")}, ("chains.regnmc.notify",), ()),
        ({"regnmc": BASE["regnmc"].replace(":2'", ":4'")}, ("chains.regnmc.nodes",), ("regnmc",)),
        ({"regbtc": BASE["regbtc"].replace("kind", "longpoll: false, kind")}, ("chains.regbtc.longpoll",), ("regbtc",)),
    ],
)
def test_reload_tells_the_keys_and_asks_anew_where_nodes_are_concerned(config, changes, keys, renewed):
    found = reload_between(config(), config(**changes))
    assert (found.keys, found.renewed, found.added, found.removed) == (keys, renewed, (), ())


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"pool": "{name: other, data_dir: else}"}, ["pool.name", "pool.data_dir"]),
        ({"http": "{bind: '127.0.0.1:8081'}"}, ["http"]),
        (
            {"stratum": "{ports: [{bind: '127.0.0.1:3333', ack: memory}, {bind: '127.0.0.1:3335'}]}"},
            ["stratum.ports: 127.0.0.1:3334", "stratum.ports: 127.0.0.1:3335", "stratum.ports: 127.0.0.1:3333"],
        ),
        (
            {"stratum": "{ports: [{bind: '127.0.0.1:3333'}, {bind: '127.0.0.1:3334', start_difficulty: 64}], "
                        "limits: {ban_s: 5}}"},
            ["stratum.limits"],
        ),
        ({"regnmc": BASE["regnmc"].replace("chain_id: 1", "chain_id: 2")}, ["chains.regnmc.chain_id"]),
        ({"regnmc": ALPHA}, ["chains.regnmc.kind"]),
        ({"regnmc": BASE["regnmc"].replace(ADDRESS, OTHER)}, ["chains.regnmc.address"]),
    ],
)  # fmt: skip
def test_reload_refuses_what_needs_a_restart(config, changes, lines):
    with pytest.raises(ReloadRefusedError) as refused:
        reload_between(config(), config(**changes))
    for line in lines:
        assert any(found.startswith(f"{line}:") for found in refused.value.lines), (line, refused.value.lines)


def test_reload_tells_no_secret(config):
    found = reload_between(config(), config(regnmc=BASE["regnmc"].replace("password: p", "password: hunter2")))
    assert found.renewed == ("regnmc",) and "hunter2" not in str(found)
