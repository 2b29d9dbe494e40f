"""The sections of a pool of several processes: what goes together, and where Redis's password may come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pool.chain_setup import watched_chains
from pool.config.configuration import ConfigError, load
from pool.config.models import PoolSection, PortSection
from pool.config.ports import tls_mistakes
from pool.config.transport import TransportSection, transport_mistakes

DEVNET = Path(__file__).parents[4] / "deploy" / "devnet.yaml"
URL = "redis://:secret-word@127.0.0.1:6379/0"


def mistakes(role: str = "all", **transport: Any) -> list[str]:
    found = transport_mistakes({"pool": {"role": role}, "transport": transport})
    return [f"{'.'.join(str(part) for part in location)}: {text}" for location, text in found]


def test_config_transport_needs_nothing_for_one_process() -> None:
    assert list(transport_mistakes({})) == mistakes() == mistakes(kind="none") == []


@pytest.mark.parametrize("role", ["frontend", "stratum", "accountant"])
def test_config_transport_refuses_half_a_pool_without_a_way_to_the_other(role: str) -> None:
    [text] = mistakes(role)
    assert text.startswith("pool.role: expected transport.kind: redis beside it")
    assert mistakes(role, kind="redis", redis_url_env="REDIS_URL") == []


def test_config_transport_wants_one_address(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(URL)
    file.chmod(0o640)
    assert mistakes(kind="redis") == ["transport.kind: expected one of redis_url_file and redis_url_env"]
    assert mistakes(kind="redis", redis_url_file=str(file)) == []
    both = mistakes(kind="redis", redis_url_file=str(file), redis_url_env="X")
    assert both == ["transport.redis_url_env: expected one of redis_url_file and redis_url_env"]
    file.chmod(0o644)
    (line,) = mistakes(kind="redis", redis_url_file=str(file))
    expected = f"expected a file that not everybody on this machine can read: chmod o-r {file}"
    assert line == f"transport.redis_url_file: {expected}"
    missing = mistakes(kind="redis", redis_url_file=str(tmp_path / "none"))
    assert missing == ["transport.redis_url_file: expected a file that can be read"]


def test_config_transport_reads_the_url_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "url"
    file.write_text(URL + "\nanother line\n")
    monkeypatch.setenv("POOL_REDIS", URL)
    assert TransportSection(kind="redis", redis_url_file=str(file)).redis_url() == URL
    assert TransportSection(kind="redis", redis_url_env="POOL_REDIS").redis_url() == URL


def test_config_transport_names_what_holds_no_url_and_never_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "url"
    file.write_text("http://secret-word")
    monkeypatch.delenv("POOL_REDIS", raising=False)
    with pytest.raises(ValueError, match="redis_url_file holds no URL") as told:
        TransportSection(kind="redis", redis_url_file=str(file)).redis_url()
    assert "secret-word" not in str(told.value)
    with pytest.raises(ValueError, match="variable POOL_REDIS holds no URL"):
        TransportSection(kind="redis", redis_url_env="POOL_REDIS").redis_url()
    with pytest.raises(ValueError, match="cannot be read"):
        TransportSection(kind="redis", redis_url_file=str(tmp_path / "none")).redis_url()


@pytest.mark.parametrize("name", ["", "a/b", "a b", "é", "x" * 33])
def test_config_front_end_names_are_plain(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        PoolSection(data_dir=str(tmp_path), front_end=name)


def test_config_front_ends_have_share_logs_of_their_own(tmp_path: Path) -> None:
    assert PoolSection(name="p", data_dir=str(tmp_path)).log_name == "p"
    assert PoolSection(name="p", data_dir=str(tmp_path), front_end="eu-1").log_name == "p/eu-1"


def test_config_tls_wants_files_that_can_be_read_and_a_key_of_its_own(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("key")
    key.chmod(0o644)
    tls = {"certificate_file": str(tmp_path / "none.pem"), "key_file": str(key)}
    found = list(tls_mistakes({"stratum": {"ports": [{}, {"tls": tls}]}}))
    assert [location for location, _ in found] == [
        ("stratum", "ports", 1, "tls", "certificate_file"),
        ("stratum", "ports", 1, "tls", "key_file"),
    ]
    assert "No such file" in found[0][1] and "chmod o-r" in found[1][1]
    assert list(tls_mistakes({"pool": {"role": "web"}, "stratum": {"ports": [{"tls": tls}]}})) == []


@pytest.mark.parametrize(("text", "good"), [("10.0.0.5", True), ("2001:db8::/32", True), ("10.0.0.5/24", False)])
def test_config_proxies_are_networks(text: str, good: bool) -> None:
    if good:
        assert PortSection(bind="127.0.0.1:1", proxy_protocol_from=[text]).proxy_protocol_from
    else:
        with pytest.raises(ValidationError, match="expected an address or a network"):
            PortSection(bind="127.0.0.1:1", proxy_protocol_from=[text])


def test_config_transport_jobs_of_another_machine_need_a_way_a_key_and_a_number(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 64 + "\n")
    key.chmod(0o600)
    redis = {"kind": "redis", "redis_url_env": "REDIS_URL", "jobs_key_file": str(key)}
    assert mistakes("stratum", **redis, jobs="follow", machine=3) == []
    assert mistakes("accountant", **redis, jobs="publish") == mistakes("all", **redis, jobs="publish") == []
    assert mistakes("web", jobs="publish") == [], "a file for all roles"
    expected = {
        ("all", "follow", 3): "transport.jobs: expected pool.role: stratum beside it, all needs nodes of its own",
        ("stratum", "follow", None): "transport.jobs: expected transport.machine beside it, another number on each "
        "machine",
        ("all", "publish", 3): "transport.machine: expected it with jobs: follow only, the maker of jobs has a part of "
        "its own",
    }
    for (role, jobs, machine), text in expected.items():
        assert mistakes(role, **redis, jobs=jobs, machine=machine) == [text]
    del redis["jobs_key_file"]
    assert mistakes("all", **redis, jobs="publish") == ["transport.jobs: expected transport.jobs_key_file beside it"]
    assert mistakes("all", jobs="publish", jobs_key_file=str(key)) == [
        "transport.jobs: expected transport.kind: redis beside it: nothing carries jobs otherwise"
    ]
    key.chmod(0o644)
    (line,) = mistakes("all", **redis, jobs="publish", jobs_key_file=str(key))
    assert line.startswith("transport.jobs_key_file: expected a file that not everybody")
    assert TransportSection(jobs_key_file=str(key)).jobs_key() == b"k" * 64
    key.write_text("short")
    key.chmod(0o600)
    assert mistakes("all", **redis, jobs="publish", jobs_key_file=str(key)) == [
        "transport.jobs_key_file: expected 32 characters at least, the file holds 5"
    ]
    with pytest.raises(ValueError, match="expected 32 characters at least, the file holds 5"):
        TransportSection(jobs_key_file=str(key)).jobs_key()


@pytest.mark.parametrize("jobs", ["own", "follow"])
def test_config_transport_nodes_are_needed_where_jobs_are_made(tmp_path: Path, jobs: str) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    values = {
        "pool.data_dir": str(tmp_path), "pool.role": "stratum", "transport.kind": "redis", "transport.jobs": jobs,
        "transport.redis_url_env": "REDIS_URL", "transport.jobs_key_file": str(key), "transport.machine": "1",
        "chains.regbtc.nodes": "[]",
    }  # fmt: skip
    if jobs == "follow":
        config = load(DEVNET, values)
        assert config.chains["alpha"].nodes, "one file may serve all"
        assert [chain.nodes for chain in watched_chains(config).values()] == [[]] * len(config.chains)
        assert not config.leads
        return
    with pytest.raises(ConfigError) as told:
        load(DEVNET, values)
    assert told.value.lines == ["--set chains.regbtc.nodes: expected at least 1 of them"]
