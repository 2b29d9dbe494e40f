"""deploy/: what it mounts is there, its command lines are understood, its configurations are good for every role."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML
from support.ports import free_port

from pool.cli.commands import run
from pool.config.configuration import Config, load
from pool.config.roles import ROLE_NAMES
from stratum.proxy_header import parse_proxy_header

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SECRET = "redis://redis.example.org:6379/0\n"  # a good first line for each of them


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def loaded(file: Path, arguments: list[str], folder: Path, secrets: list[str]) -> Config:
    """The configuration that a command line gives, where only `secrets` can be read."""
    options: dict[str, Any] = {}

    def keep(config_file: str, overrides: tuple[str, ...], role: str | None) -> None:
        options.update(overrides=overrides, role=role)

    command = type(run)("run", callback=keep, params=run.params)
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    place = folder / "secrets"
    place.mkdir(exist_ok=True)
    for name in secrets:
        (place / name).write_text(SECRET)
        (place / name).chmod(0o600)
    text = file.read_text().replace("/run/secrets", str(place)).replace("/var/lib/parapool", str(folder))
    (folder / "pool.yaml").write_text(text)
    values = dict(pair.split("=", 1) for pair in options["overrides"])
    values = {key: value.replace("$(POD_NAME)", "stratum-0") for key, value in values.items()}
    values["pool.data_dir"] = str(folder)
    return load(folder / "pool.yaml", values | ({"pool.role": options["role"]} if options["role"] else {}))


@pytest.mark.parametrize("role", ["stratum", "accountant", "payout", "web"])
def test_deploy_compose_gives_each_role_what_it_needs_and_no_more(role: str, tmp_path: Path) -> None:
    [compose] = documents(DEPLOY / "container" / "compose.yaml")
    service = compose["services"][role]
    assert service["command"][0] == "run"
    config = loaded(DEPLOY / "container" / "pool.yaml", service["command"][1:], tmp_path, service["secrets"])
    assert config.pool.role == role
    assert ("wallet_password" in service["secrets"]) == config.pool.pays
    assert ("pgpass" in service["secrets"]) == (role != "stratum")
    assert ("books" in service["networks"]) == (role != "stratum")


def test_deploy_compose_mounts_what_is_there() -> None:
    folder = DEPLOY / "container"
    [compose] = documents(folder / "compose.yaml")
    for name, service in compose["services"].items():
        assert set(service.get("networks", ())) <= compose["networks"].keys(), name
        assert set(service.get("secrets", ())) <= compose["secrets"].keys(), name
        for volume in service.get("volumes", ()):
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("."):
                assert (folder / source).exists(), (name, source)
            else:
                assert source in compose["volumes"], (name, source)
    build = compose["services"]["web"]["build"]
    assert (folder / build["context"] / build["dockerfile"]).is_file()
    prometheus = documents(folder / "prometheus.yml")[0]
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert {target.partition(":")[0] for target in targets} == {"stratum", "accountant", "payout", "web"}
    mounted = {volume.split(":")[1] for volume in compose["services"]["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{file}" for file in prometheus["rule_files"]} <= mounted
    [ours] = documents(ROOT / "grafana" / "provisioning" / "datasources" / "parapool.yml")
    [theirs] = documents(folder / "grafana-datasource.yml")
    assert theirs["datasources"][0]["uid"] == ours["datasources"][0]["uid"], "the dashboards ask for it"


def test_deploy_containerfile_copies_what_is_there() -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text()
    copied = [word for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", text) for word in line.split()[:-1]]
    assert copied and all((ROOT / word).exists() for word in copied)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_deploy_systemd_units_start_their_role_confined(unit: Path, tmp_path: Path) -> None:
    lines = [line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines)
    words = shlex.split(settings["ExecStart"])
    assert words[:2] == ["/opt/parapool/.venv/bin/pool", "run"]
    role = unit.stem.removeprefix("parapool-")
    file = DEPLOY / "container" / "pool.yaml"
    secrets = ["redis_url", "node_password", *(["wallet_password"] if role in ("all", "payout") else [])]
    config = loaded(file, words[2:], tmp_path, secrets)
    assert config.pool.role == role
    assert f"pool.data_dir=/var/lib/{settings['StateDirectory']}" in words
    assert settings["ExecReload"] == "/bin/kill -HUP $MAINPID"
    for key, value in {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""}.items():
        assert settings[key] == value


def test_deploy_has_a_systemd_unit_for_each_role() -> None:
    assert {unit.stem for unit in UNITS} == {f"parapool-{role}" for role in ROLE_NAMES}


@pytest.mark.parametrize("role", ["stratum", "accountant", "payout", "web"])
def test_deploy_kubernetes_gives_each_role_what_it_needs_and_no_more(role: str, tmp_path: Path) -> None:
    folder = DEPLOY / "kubernetes"
    [kustomization] = documents(folder / "kustomization.yaml")
    assert f"{role}.yaml" in kustomization["resources"]
    assert all((folder / file).is_file() for file in kustomization["configMapGenerator"][0]["files"])
    found = {document["kind"]: document for document in documents(folder / f"{role}.yaml")}
    template = found["StatefulSet"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    secrets = [volume["name"] for volume in template["spec"]["volumes"] if "secret" in volume]
    config = loaded(folder / "pool.yaml", container["args"][1:], tmp_path, secrets)
    assert config.pool.role == role
    assert ("wallet_password" in secrets) == config.pool.pays
    ready = "/readyz" if role == "stratum" else "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == ready
    labels = template["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget"):
        selector = found[kind]["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    volumes = {volume["name"] for volume in template["spec"]["volumes"]} | {"data"}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_deploy_haproxy_understands_its_file() -> None:
    file = DEPLOY / "haproxy" / "haproxy.cfg"
    done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert file.read_text().count("send-proxy-v2") == 2


def test_deploy_haproxy_says_who_is_behind_it(tmp_path: Path) -> None:
    """A real HAProxy's header, as a front end reads it."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as front_end:
        file = tmp_path / "haproxy.cfg"
        file.write_text(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
            f"listen miners\n  bind 127.0.0.1:{port}\n"
            f"  server one 127.0.0.1:{front_end.getsockname()[1]} send-proxy-v2\n"
        )
        child = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
        try:
            front_end.settimeout(30)
            miner = _connected(port)
            connection, _ = front_end.accept()
            connection.settimeout(30)
            miner.sendall(b"hello")
            data = b""
            while not data.endswith(b"hello"):
                data += connection.recv(1000)
            header = parse_proxy_header(data)
            assert header is not None and header.client == "127.0.0.1" and data[header.length :] == b"hello"
            miner.close()
            connection.close()
        finally:
            child.kill()
            child.wait()


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_deploy_machines_are_one_file_for_the_maker_of_jobs_and_those_that_follow(tmp_path: Path) -> None:
    file = DEPLOY / "machines.yaml"
    lines = re.findall(r"pool run (-c machines\.yaml .*)", file.read_text())
    found = [loaded(_with_addresses(file, tmp_path), shlex.split(line), tmp_path, SECRETS) for line in lines]
    assert [(config.pool.role, config.transport.jobs, config.transport.machine) for config in found] == [
        ("accountant", "publish", None), ("stratum", "follow", 1), ("stratum", "follow", 2),
    ]  # fmt: skip
    assert len({config.pool.front_end for config in found}) == len(found)


SECRETS = ["redis_url", "jobs_key"]


def _with_addresses(file: Path, folder: Path) -> Path:
    text = file.read_text()
    for name in ("BITCOIN", "NAMECOIN"):
        address = {"BITCOIN": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "NAMECOIN": "N1KHAL5C1CRzy58NdJwp1tbLze3XrkFxx9"}
        text = text.replace(f"YOUR-{name}-ADDRESS", address[name])
    (folder / file.name).write_text(text)
    return folder / file.name
