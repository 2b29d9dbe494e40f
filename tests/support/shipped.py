"""What deploy/ ships, ready to be started by hand: the very command lines of compose, Kubernetes and systemd, where the
paths lead into a folder that stands for the machine's root, with the secrets in it that this one process gets."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pool.devnet.demo.children import pool_command

DEPLOY = Path(__file__).parents[2] / "deploy"
ROLES = ("stratum", "accountant", "payout", "web")
_OURS = re.compile(r"/(?:etc/parapool|run/secrets|var/lib/parapool)")
"""Where the shipped files keep configuration, secrets and data; what follows stays."""


@dataclass(frozen=True)
class Shipped:
    """One process. `words` follow `pool`, `first` is run before it (an init container), `http` is where it says it
    answers, unless it leaves that to the file."""

    role: str
    words: tuple[str, ...]
    secrets: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    http: str | None = None

    def command(self, root: Path, binds: Mapping[str, str]) -> list[str]:
        """To be run; `binds` are the addresses that take the place of theirs."""
        words = [below(root, word) for word in self.words]
        return pool_command(*(_replaced(word, binds) for word in words))

    def variables(self, root: Path) -> dict[str, str]:
        """Its environment beside what a process has anyway."""
        return {name: below(root, value) for name, value in self.environment.items()}


def compose(role: str) -> Shipped:
    """The service of deploy/container/compose.yaml; its image's entrypoint is `pool`."""
    service = documents("container/compose.yaml")[0]["services"][role]
    return Shipped(role, tuple(service["command"]), tuple(service["secrets"]), service.get("environment", {}))


def compose_health_check(port: int) -> list[str]:
    """What compose runs in each container of ours to see whether it is healthy."""
    kind, program, *words = documents("container/compose.yaml")[0]["x-pool"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    return [sys.executable, *(word.replace("127.0.0.1:8080", f"127.0.0.1:{port}") for word in words)]


def pod(role: str, name: str) -> Shipped:
    """The pod of that name of deploy/kubernetes."""
    template = _pod_template(role)
    [container] = template["containers"]
    values = {"POD_NAME": name}  # by the field that its env names
    words = [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], word) for word in container["args"]]
    environment = {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}
    first = [tuple(before["command"]) for before in template.get("initContainers", ())]
    secrets = tuple(volume["name"] for volume in template["volumes"] if "secret" in volume)
    return Shipped(role, tuple(words), secrets, environment, first[0] if first else ())


def probes(role: str) -> dict[str, dict[str, Any]]:
    """A pod's probes by their names, such as readinessProbe."""
    [container] = _pod_template(role)["containers"]
    return {name: probe for name, probe in container.items() if name.endswith("Probe")}


def _pod_template(role: str) -> dict[str, Any]:
    found = {document["kind"]: document for document in documents(f"kubernetes/{role}.yaml")}
    template: dict[str, Any] = found["StatefulSet"]["spec"]["template"]["spec"]
    return template


def unit(role: str, secrets: tuple[str, ...]) -> Shipped:
    """The unit of deploy/systemd; which secrets its user may read, installing.md says, and how the database's password
    gets to where the unit looks for it."""
    lines = (DEPLOY / "systemd" / f"parapool-{role}.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    program, *words = shlex.split(settings["ExecStart"])
    assert program.endswith("/bin/pool")
    binds = [word.removeprefix("http.bind=") for word in words if word.startswith("http.bind=")]
    environment = dict([settings["Environment"].split("=", 1)]) if "Environment" in settings else {}
    first = ("install", "-m", "0400", "/run/secrets/pgpass", environment["PGPASSFILE"]) if environment else ()
    return Shipped(role, tuple(words), secrets, environment, first, binds[0] if binds else None)


def documents(name: str) -> list[Any]:
    """A shipped YAML file's."""
    return list(YAML(typ="safe").load_all((DEPLOY / name).read_text()))


def below(root: Path, text: str) -> str:
    """The text with the shipped files' folders below `root`."""
    return _OURS.sub(lambda found: f"{root}{found[0]}", text)


def rooted(root: Path, values: Any) -> Any:
    """The same for every text in a configuration."""
    if isinstance(values, dict):
        return {key: rooted(root, value) for key, value in values.items()}
    if isinstance(values, list):
        return [rooted(root, value) for value in values]
    return below(root, values) if isinstance(values, str) else values


def lay_out(root: Path, shipped: Shipped, config: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
    """The process's files: its configuration, and of `secrets` those that it gets."""
    for folder in ("etc/parapool", "run/secrets", "var/lib/parapool"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    with (root / "etc/parapool/pool.yaml").open("w") as file:
        YAML(typ="safe").dump(rooted(root, config), file)
    for name in shipped.secrets:
        path = root / "run/secrets" / name
        path.write_text(secrets[name] + "\n")
        os.chmod(path, 0o600)


def _replaced(word: str, binds: Mapping[str, str]) -> str:
    for theirs, ours in binds.items():
        word = word.replace(theirs, ours)
    return word
