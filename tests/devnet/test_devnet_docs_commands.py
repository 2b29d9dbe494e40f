"""Every command that the documents show is typed here, in its order, below a folder that stands for the operator's
machine, against a devnet at work. What cannot be typed here stands in a table with the reason; a command that is in no
table runs. What a document shows below a command has to resemble what the command says.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import pytest_asyncio
from click.testing import CliRunner
from ruamel.yaml import YAML
from support.devnet import CHAINS, Devnet, devnet_in, steps
from support.doc_commands import ROOT, DocCommand, commands_of, documents
from support.ports import free_port

from pool.cli.commands import commands
from pool.devnet.demo.children import Child

LIMIT_S = 90.0

CANNOT_RUN: Mapping[str, str] = {
    r"make ": "installs, and runs for ever or all of this suite; the demo: tests/devnet/test_devnet_demo.py",
    r"(useradd|git clone|apt) ": "changes the machine, or needs a network",
    r"systemctl ": "there is no systemd; tests/unit/test_deploy.py holds the units against the program",
    r"(podman|kubectl) ": "there are no containers; tests/unit/test_deploy.py holds the files against the program",
    r"(sudo -u postgres|pg_dump) ": "a PostgreSQL of the machine's own; tests/storage make one",
    r"curl .*…": "abridged in print",
    r"curl .*operator\.token": "drains the pool that all of this is typed at; tests/unit/pool/operator",
    r"(\.venv/bin/python -m chains\.network_run|export BK_ADDRESS=|curl .*(127\.0\.0\.1:8083|BK_ADDRESS))":
        "a network of five nodes: tests/network/test_network_start_page.py types it",
    r"(litecoind|alias node-cli|node-cli|export LTC_|MINER=\$\(node-cli)": "a real daemon: tests/nodes have some",
}
"""By the beginning of a command. What it names of this repository has to be there all the same."""

ONLY_PARSED: Mapping[str, str] = {
    r"pool payouts (fund|resolve|bump|return) ": "wants a batch or a coin in that trouble: tests/storage",
    r"pool ledger write-off ": "wants a front end that is gone: tests/storage/test_storage_front_ends.py",
    r"pool operator ": "drains, bans and messages the pool that all of this is typed at: tests/unit/pool/operator",
    r"pool ledger import ": "wants money of the operator's in the books: tests/storage/test_storage_opening.py",
    r".*pool .* -c deploy/litecoin-regtest\.yaml": "wants a real daemon: tests/nodes/test_nodes_payouts.py",
    r".*pool devnet up ": "networks of five nodes: tests/network/test_network_up.py types it",
    r".*pool .*(-c deploy/bk-devnet\.yaml|127\.0\.0\.1:(3353|8083))":
        "a network of five nodes: tests/network/test_network_start_page.py types it",
    r"pool run -c machines\.yaml ": "three machines and a Redis: tests/devnet/test_devnet_machines.py",
    r".*pool mine \S+ -u \$MINER": "wants a real daemon: tests/nodes/test_nodes_payouts.py",
}
"""Commands of ours that change what is not there: their words are understood, with these very options."""

ENDLESS: Mapping[str, str] = {
    r".*pool devnet node regbtc": "READY pid=",
    r".*pool devnet node regnmc": "READY pid=",
    r".*pool run -c deploy/devnet.yaml": "pool started",
    r"prometheus ": "Server is ready to receive web requests",
    r".*pool mine \S+ -u \S+\+gamma=same$": "the pool says:",
    r".*pool mine \S+ -u \S+\.rig1$": "connected to",
}
"""What runs until Ctrl-C, and what it says once it works. It is stopped at the end of its document."""

EXIT_CODES: Mapping[str, int] = {
    r".*pool mine \S+ -u nonsense": 1,
    r".*pool verify mm2 .*wrong-side": 1,
    r".*pool check-config -c deploy/bitcoin-namecoin.yaml": 1,
}

TYPED: Mapping[str, str] = {
    r".*pool init$": "\n".join(
        ["", "namecoin", "", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "nc1qw508d6qejxtdg4y5r3zarvary0c5xw7kttkktk"]
        + [""] * 8
    ),
}
"""Answers to what a command asks."""

SECOND = "deploy/second.yaml"
MINER = "bcrt1qwxup4klqyjprc95xf3fj3jqjs94tcxtkku9up6"
OTHER = "bcrt1q4mj0h9468q2sjnj55ga98agdhy9u8y4jw6h6xu"
LOGIN = f"{MINER}+alpha={OTHER}+regnmc=same.rig1"  # as the tutorial has it
BITS = dict.fromkeys(CHAINS, "1e3fffff")  # 262,144 hashes, a quarter of a second of the bundled miner


def _as_shipped(config: dict[str, Any]) -> None:
    """What the tests' devnet changes in deploy/devnet.yaml: the port is for the bundled miner, and chains pay."""
    shipped = YAML(typ="safe").load(ROOT / "deploy/devnet.yaml")
    bind = config["stratum"]["ports"][0]["bind"]
    config["stratum"]["ports"][0] = shipped["stratum"]["ports"][0] | {"bind": bind}
    for name, chain in config["chains"].items():
        chain["payouts"] = shipped["chains"][name]["payouts"]


class Machine:
    """A devnet with a miner at work, and what stands in the documents for something of the operator's own."""

    def __init__(self, devnet: Devnet) -> None:
        self.devnet = devnet
        self.miner = devnet.child("miner", _pool("mine", self._stratum(devnet), "-u", LOGIN, "-p", "d=0.0001"))
        self.blocks: dict[str, str] = {}
        self.txid = ""
        self.prometheus_port = free_port()
        self._said: dict[str, tuple[int, str]] = {}

    @staticmethod
    def _stratum(devnet: Devnet) -> str:
        return devnet.config.stratum.ports[0].bind

    async def has_earned(self) -> None:
        """Until the miner has credits on every chain, and the splits that the documents ask for are there."""

        async def earned() -> bool:
            status, _ = await self.devnet.http(f"/api/v1/miners/{OTHER}")
            if status != 200:
                return False
            balances = (await self.devnet.api(f"/miners/{MINER}"))["balances"]
            return all(any(balances.get(name, {}).values()) for name in CHAINS if name != "alpha")

        await self.devnet.until(earned, "credits on every chain")
        for chain in ("regnmc", "alpha"):
            blocks = await self.devnet.blocks(chain)
            self.blocks[chain] = next(block["hash"] for block in blocks if block["state"] in ("immature", "mature"))
        self.txid = (await self.devnet.rpc("alpha", "getblock", self.blocks["alpha"]))["tx"][0]
        self.miner.process.terminate()
        export = _pool("ledger", "export", "-c", str(self.devnet.config_path), "--chain", "regnmc", "--block")
        code, self.split = await _run(shlex.join([*export, self.blocks["regnmc"]]), self.devnet.directory)
        assert code == 0, self.split

    async def type(self, text: str, folder: Path, answers: str) -> tuple[int, str]:
        """Exit code, and what it said. What only looks, by one of the copies of the file, is not asked twice."""
        copies = r"(pool\.yaml|deploy/devnet\.yaml|\S+/machine/etc/parapool/pool\.yaml)"
        looks = re.fullmatch(rf"(?:\.venv/bin/)?(pool (?:doctor|check-config|ledger audit)) -c {copies}", text)
        asked = text if looks is None else looks[1]
        if looks is None or asked not in self._said:
            self._said[asked] = await _run(text, folder, answers)
        return self._said[asked]

    def filled(self, file: str, text: str, folder: Path) -> str:
        """The text with this machine's own in place of the document's."""
        assert self.devnet.pool is not None
        places = [
            (r"/var/lib/parapool(?![\w-])", str(self.devnet.data_dir)),
            (r"(?<![\w.~-])/backup\b", str(folder / "backup")),
            (r"(?<![\w.~/-])/(etc|var/lib)/", str(folder / "machine") + r"/\1/"),
            (r"127\.0\.0\.1:8080", f"127.0.0.1:{self.devnet.http_port}"),
            (r"127\.0\.0\.1:3333", self._stratum(self.devnet)),
            (r"127\.0\.0\.1:19501", f"127.0.0.1:{self.devnet.ports['regbtc']}"),
            (r"127\.0\.0\.1:19504", f"127.0.0.1:{self.devnet.ports['alpha']}"),
            (r"127\.0\.0\.1:9090", f"127.0.0.1:{self.prometheus_port}"),
            (r"\bbcrt1qexample\b", OTHER),
            (r"\bREGTEST-ADDRESS\b", MINER),
            (r"\bTXID\b", self.txid),
            (r"--block 0{10,}\w+", f"--block {self.blocks['regnmc']}"),
            (r"(?<=/blocks/alpha/)[0-9a-f]{64}", self.blocks["alpha"]),
            (r"\bPID\b", str(self.devnet.pool.pid)),
            (r"--seconds 30\b", "--seconds 3"),
            (r" -[go] parapool\S*", ""),
            (r"pool simulate ", "pool simulate --runs 5 --share-count 500 "),
        ]
        if file != "docs/start.md":
            places += [(r"(?<![\w./-])bitcoin(?![\w./-])", "regbtc"), (r"(?<![\w./-])namecoin(?![\w./-])", "regnmc")]
        for pattern, value in places:
            text = re.sub(pattern, value, text)
        return text


def _pool(*words: str) -> list[str]:
    return [sys.executable, "-m", "pool", *words]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    folder = tmp_path_factory.mktemp("docs") / "devnet"
    async with devnet_in(folder, bits=BITS, edit=_as_shipped) as devnet:
        machine = Machine(devnet)
        await machine.has_earned()
        yield machine


def _prepared(folder: Path, machine: Machine, file: str) -> Path:
    """The folder a reader is in: a clone with a configuration and secrets, and beside it the rest of the machine."""
    devnet = machine.devnet
    for name in ("docs", "grafana", "Makefile"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("etc/parapool", "etc/prometheus", "etc/systemd/system", "etc/grafana/provisioning/datasources",
                 "etc/grafana/provisioning/dashboards", "var/lib"):  # fmt: skip
        (folder / "machine" / name).mkdir(parents=True)
    for name in ("backup", "home"):
        (folder / name).mkdir()
    for name in ("wallet.password", "pgpass"):
        (folder / name).write_text("secret\n")
        (folder / name).chmod(0o600)
    for name in ("pool.yaml", "regtest.yaml", "deploy/devnet.yaml", "machine/etc/parapool/pool.yaml"):
        shutil.copyfile(devnet.config_path, folder / name)
    if file == "docs/start.md":
        (folder / "pool.yaml").unlink()  # it has one written
    (folder / "balances.csv").touch()
    (folder / "split.json").write_text(machine.split)
    scrape = folder / "deploy/prometheus/prometheus.yml"
    scrape.write_text(scrape.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{devnet.http_port}"))
    another = YAML(typ="safe").load(ROOT / "deploy/devnet.yaml")
    another["stratum"]["ports"][0]["bind"] = f"127.0.0.1:{free_port()}"
    another["http"]["bind"] = f"127.0.0.1:{free_port()}"
    ports: dict[str, int] = {}  # by node: some chains share one
    for chain in another["chains"].values():
        node = chain["nodes"][0]
        node["url"] = f"http://127.0.0.1:{ports.setdefault(node['url'], free_port())}"
    YAML(typ="safe").dump(another, folder / SECOND)
    if file == "docs/operating/scale-out.md":
        split = YAML(typ="safe").load(folder / "pool.yaml")
        split["pool"]["database_url"] = "postgresql+psycopg://parapool@127.0.0.1/parapool"
        split["transport"] = {"kind": "redis", "redis_url_env": "REDIS_URL"}
        YAML(typ="safe").dump(split, folder / "pool.yaml")
    return folder


def _found(table: Mapping[str, Any], text: str) -> Any:
    """What a table has for a command; None when nothing."""
    return next((value for pattern, value in table.items() if re.match(pattern, text)), None)


def _names_what_is_there(command: DocCommand) -> None:
    for word in shlex.split(command.text, comments=True):
        if re.match(r"(deploy|grafana|docs|migrations|tests)/", word):
            assert list(ROOT.glob(word)), f"{command.place}: there is no {word}"
    for unit in re.findall(r"\bparapool-(?:all|stratum|accountant|payout|web)\b", command.text):
        assert (ROOT / f"deploy/systemd/{unit}.service").exists() or "useradd" in command.text


def _parses(command: DocCommand) -> None:
    """click takes these very words; nothing is done."""
    words = shlex.split(command.text.partition(" > ")[0], comments=True)[1:]
    context = click.Context(commands)
    found: click.Command = commands
    while isinstance(found, click.Group):
        name, found, words = found.resolve_command(context, words)  # type: ignore[assignment]
        if not isinstance(found, click.Group):
            found.make_context(name, list(words), parent=context)


def _beside(words: list[str]) -> list[str]:
    """Nodes and pools that run for ever do so beside the devnet, by a file with other ports and another folder."""
    if "deploy/devnet.yaml" in words:
        words[words.index("deploy/devnet.yaml")] = SECOND
    elif "devnet" in words:
        words += ["-c", SECOND]
    return words


def _would_start(text: str) -> tuple[int, str]:
    """The configuration that `pool run` would take, with its role and what else it says, is good."""
    words = shlex.split(re.sub(r"--role (\w+)", r"--set pool.role=\1", text), comments=True)
    result = CliRunner(env={"REDIS_URL": "redis://127.0.0.1"}).invoke(commands, ["check-config", *words[2:]])
    return result.exit_code, result.output


def _environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(folder / "home")}


async def _run(text: str, folder: Path, answers: str = "") -> tuple[int, str]:
    with tempfile.TemporaryFile() as typed:
        typed.write(answers.encode())
        typed.seek(0)
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", text, cwd=folder, env=_environment(folder), stdin=typed,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    try:
        async with asyncio.timeout(LIMIT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise AssertionError(f"still running after {LIMIT_S:g} s: {text}") from None
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


async def _ended(child: Child, devnet: Devnet) -> None:
    """Ctrl-C, after which everything ends well."""
    child.process.send_signal(signal.SIGINT)
    assert await devnet.exit_code_of(child) == 0, child.log_text()[-3000:]


def _unlike(shown: list[str], said: str) -> list[str]:
    """What a document shows and the command did not say: the keys of JSON, or the plain words of the first line."""
    if not shown:
        return []
    if shown[0].startswith("{"):
        words = re.findall(r'"([a-z_]\w*)":', "".join(shown))
    else:
        plain = [word for word in re.split(r"[\s=]+", shown[0]) if not re.search(r"[\d…/]", word)]
        words = [word for text in plain for word in re.findall(r"[A-Za-z_-]{3,}", text)]
    return [word for word in words if word not in said]


@pytest.mark.parametrize("file", documents())
async def test_docs_every_command_can_be_typed(
    file: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _prepared(tmp_path, machine, file)
    monkeypatch.chdir(folder)
    endless: list[Child] = []
    for number, command in enumerate(commands_of(file)):
        if _found(CANNOT_RUN, command.text) is not None:
            _names_what_is_there(command)
            continue
        if _found(ONLY_PARSED, command.text) is not None:
            _parses(command)
            continue
        text = machine.filled(file, command.before + command.text, folder)
        shown = [machine.filled(file, line, folder) for line in command.shown]
        ready = _found(ENDLESS, command.text)
        if ready is not None:
            words = _beside(shlex.split(text, comments=True))
            child = machine.devnet.child(f"typed-{number}", ["env", "-C", str(folder), *words])
            endless.append(child)
            await machine.devnet.until(lambda: ready in child.log_text(), f"{command.place}: {ready}")  # noqa: B023
            said = child.log_text()
            if " mine " in text:  # has shown that it would go on, and would leave the others no processor
                await _ended(endless.pop(), machine.devnet)
        else:
            if " run " in text:  # one of them runs, above; the others would start
                code, said = _would_start(text)
            else:
                code, said = await machine.type(text, folder, _found(TYPED, command.text) or "")
            steps.info("%s: %s", command.place, command.text)
            assert code == (_found(EXIT_CODES, command.text) or 0), f"{command.place}: {command.text}\n{said}"
        assert _unlike(shown, said) == [], f"{command.place}: {command.text}\n{said}"
    for child in reversed(endless):
        await _ended(child, machine.devnet)


def test_docs_the_tables_hold_nothing_that_no_document_shows() -> None:
    shown = [command.text for file in documents() for command in commands_of(file)]
    for table in (CANNOT_RUN, ONLY_PARSED, ENDLESS, EXIT_CODES, TYPED):
        unused = [pattern for pattern in table if not any(re.match(pattern, text) for text in shown)]
        assert unused == []
    assert len(shown) > 80
