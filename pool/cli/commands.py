"""The command line: what each command does, in its own help, and which exit code it gives (0 good, 1 no, 2 wrong use).

Everything heavy is imported inside the commands, so that `pool --help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import click

from pool.cli.balances import import_balances, release
from pool.cli.closings import closings
from pool.cli.completion import completion
from pool.cli.doctor import doctor
from pool.cli.front_ends import front_ends, write_off
from pool.cli.init import init
from pool.cli.ledger import ledger
from pool.cli.losses import absorb, clawback, losses
from pool.cli.miner import miner
from pool.cli.network import up
from pool.cli.operator import operator
from pool.cli.options import (
    EXIT_NO,
    EXIT_OK,
    EXIT_USAGE,
    config_option,
    load_config,
    load_mapping,
    parse_overrides,
    set_option,
)
from pool.cli.payouts import payouts
from pool.cli.simulate import simulate
from pool.cli.status import status, top
from pool.cli.verify import verify
from pool.cli.withholding import withholding

DEVNET_FILE = "deploy/devnet.yaml"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="parapool", message="parapool %(version)s")
def commands() -> None:
    """parapool: a merged-mining Stratum pool. One proof of work, many chains, every miner paid on every chain.

    \b
    To see it work without anything else installed:
      pool devnet demo                       nodes, pool and miner on this machine
    To run it:
      pool init                              a configuration from a few answers
      pool check-config -c pool.yaml         every mistake at once, with file and line
      pool doctor -c pool.yaml               nodes, wallets and the job itself, before anybody mines
      pool run -c pool.yaml
      pool top -c pool.yaml                  what it is doing, live
    To mine:
      pool mine stratum+tcp://127.0.0.1:3333 -u ADDRESS.worker -p x
    To prove the books:
      pool ledger audit -c pool.yaml         every balance and credit, computed once more
    To pay:
      pool payouts show -c pool.yaml         what is on its way, and what waits for you

    Exit codes: 0 good, 1 no, 2 wrong use.
    """


def main() -> NoReturn:
    """The console script: every refusal is one line on stderr."""
    try:
        exit_code = commands.main(prog_name="pool", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "pool"
        click.echo(f"{path}: {' '.join(error.format_message().split())} (see {path} --help)", err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        click.echo(f"pool: {error.format_message()}", err=True)
        sys.exit(EXIT_NO)
    except click.Abort:
        sys.exit(EXIT_NO)
    except BrokenPipeError:  # whoever read our output has gone
        sys.stdout = None  # so that the interpreter does not flush it once more
        sys.exit(EXIT_NO)
    sys.exit(exit_code if isinstance(exit_code, int) else EXIT_OK)


@commands.command()
@config_option()
@set_option
@click.option(
    "--role", type=click.Choice(["all", "stratum", "accountant", "payout", "web"]),
    help="What this process does; the file's pool.role otherwise.",
)  # fmt: skip
def run(config_file: str, overrides: tuple[str, ...], role: str | None) -> NoReturn:
    """Run the pool until SIGINT or SIGTERM.

    A found block and every answered share are on disk before anything else happens to them; a pool that was killed
    goes on where it was. SIGHUP makes it read its configuration again: chains, fees, difficulties and addresses change
    without a miner leaving; what needs a restart is named, and then nothing changes.

    \b
    Example:
      pool run -c /etc/parapool/pool.yaml --set http.bind=127.0.0.1:8081
      pool run -c /etc/parapool/pool.yaml --role web
    """
    overrides = (*overrides, *([f"pool.role={role}"] if role else ()))
    config = load_config(config_file, overrides)
    from pool.config.configuration import load
    from pool.wiring.program import run as run_pool

    sys.exit(run_pool(config, lambda: load(config_file, parse_overrides(overrides))))


@commands.command("front-end", hidden=True)
@click.argument("socket", type=click.Path(path_type=Path))
@click.argument("slot", type=click.IntRange(1, 32))
def front_end(socket: Path, slot: int) -> NoReturn:
    """One of several front ends, as `pool run` starts them (stratum.processes)."""
    from pool.wiring.front_end import run_front_end

    sys.exit(run_front_end(socket, slot))


@commands.command("check-config", short_help="Check a configuration and name every mistake.")
@config_option(required=False)
@set_option
@click.option("--reference", is_flag=True, help="Print the reference of all keys (Markdown) instead.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a configuration, for editors, instead.")
def check_config(config_file: str | None, overrides: tuple[str, ...], reference: bool, schema: bool) -> None:
    """Check a configuration: no node is asked and nothing is started.

    All mistakes are named at once as FILE:LINE: key: what was expected; exit code 1. Of several files (include) it
    says what each one brings.

    \b
    Examples:
      pool check-config -c pool.yaml
      pool check-config --reference > docs/reference/configuration.md
      pool check-config --schema > docs/reference/configuration.schema.json
    """
    if schema:
        from pool.config.schema import schema_text

        click.echo(schema_text(), nl=False)
        return
    if reference:
        from pool.config.reference import reference_page

        click.echo(reference_page(), nl=False)
        return
    if config_file is None:
        raise click.UsageError("Missing option '-c' / '--config'.")
    config = load_config(config_file, overrides)
    aux = ", ".join(config.aux_chains) or "none"
    click.echo(f"{config_file}: good; parent {config.parent}, auxiliary chains: {aux}")
    if config.include:
        from pool.config.includes import parts_of

        for file, parts in parts_of(Path(config_file)).items():
            click.echo(f"  {file}: {', '.join(parts) or 'nothing'}")


@commands.command(short_help="Mine with the processor, for devnets and tests.")
@click.argument("url")
@click.option("-u", "--user", required=True, help="Login: the payout address, with .worker behind it if you like.")
@click.option("-p", "--password", default="x", show_default=True, help="Words such as d=0.5 (difficulty), else x.")
@click.option(
    "--algorithm", type=click.Choice(["sha256d", "scrypt"]), default="sha256d", show_default=True,
    help="The pool's proof of work.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Hashing processes.")
@click.option("--shares", type=click.IntRange(1), help="Stop after so many accepted shares.")
@click.option("--blocks", type=click.IntRange(1), help="Stop after so many accepted blocks of the parent chain.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True),
    help="Stop after so long; with --shares or --blocks not reached by then, exit code 1.",
)  # fmt: skip
def mine(
    url: str,
    user: str,
    password: str,
    algorithm: str,
    threads: int,
    shares: int | None,
    blocks: int | None,
    seconds: float | None,
) -> NoReturn:
    """Mine on a Stratum pool at URL with the processor: for devnets and tests, about 1 MH/s of sha256d per process.

    Comes back by itself when the pool goes away. Ends with 1 when the pool refuses the login.

    \b
    Examples:
      pool mine stratum+tcp://127.0.0.1:3333 -u bcrt1qexample.rig1 -p x
      pool mine 127.0.0.1:3333 -u bcrt1qexample -p d=0.001 --threads 2 --blocks 1 --seconds 60
    """
    host, port = _pool_address(url)
    from pool.mining_client.miner import MinerSettings, run_miner

    settings = MinerSettings(
        host, port, user, password, algorithm, threads, shares=shares, blocks=blocks, duration_s=seconds
    )
    sys.exit(run_miner(settings))


for command in (losses, absorb, clawback, release, import_balances, front_ends, write_off, withholding, closings):
    ledger.add_command(command)
commands.add_command(init)
commands.add_command(doctor)
commands.add_command(status)
commands.add_command(top)
commands.add_command(ledger)
commands.add_command(payouts)
commands.add_command(miner)
commands.add_command(operator)
commands.add_command(simulate)
commands.add_command(verify)
commands.add_command(completion)


@commands.group(short_help="A private network of reference nodes, to try and to test.")
def devnet() -> None:
    """A private network of reference nodes: the real rules with easy work, for trying and testing.

    \b
    Example:
      pool devnet demo                       everything at once
      pool devnet up --kind bk --nodes 5     a network of our own nodes
    """


devnet.add_command(up)


@devnet.command("node", short_help="Run one chain's node.")
@click.argument("name")
@config_option(default=DEVNET_FILE)
@set_option
@click.option(
    "--block-interval-s", type=click.IntRange(0, 86_400), default=6, show_default=True,
    help="Retarget towards a block every so many seconds; 0 keeps the first, easiest target.",
)  # fmt: skip
def devnet_node(name: str, config_file: str, overrides: tuple[str, ...], block_interval_s: int) -> NoReturn:
    """Run the reference node of the chain NAME, in the foreground.

    What it is comes from the chain's section of the configuration: kind, dialect, chain id or context, and the first
    node's address and login. It keeps its chain below data_dir/nodes. Of a kind whose networks are our own (bk,
    parallel) it is one node that is a network of its own, with an interval of its own.

    \b
    Example:
      pool devnet node regbtc -c deploy/devnet.yaml
    """
    config = load_config(config_file, overrides)
    from pool.devnet.node import DevnetError, run_node

    try:
        sys.exit(run_node(config, name, block_interval_s or None))
    except DevnetError as error:
        raise click.UsageError(str(error)) from error


@devnet.command("demo", short_help="Run nodes, pool and miner on this machine.")
@config_option(default=DEVNET_FILE)
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder of everything it keeps.")
@click.option("--stratum-port", type=click.IntRange(1, 65535), help="Port for miners on 127.0.0.1.")
@click.option("--http-port", type=click.IntRange(1, 65535), help="Port of the status page on 127.0.0.1.")
@click.option("--miner/--no-miner", default=True, envvar="MINER", show_envvar=True, help="Start the bundled miner too.")
@set_option
def devnet_demo(
    config_file: str,
    data_dir: Path | None,
    stratum_port: int | None,
    http_port: int | None,
    miner: bool,
    overrides: tuple[str, ...],
) -> NoReturn:
    """Run a reference node for each chain, the pool and a miner, and show what happens. Ctrl-C ends it cleanly.

    \b
    Example:
      pool devnet demo --data-dir /tmp/demo --stratum-port 3334 --http-port 8081 --no-miner
    """
    from pool.devnet.demo.demo import demo

    wanted = {
        "pool.data_dir": data_dir and str(data_dir),
        "stratum.ports.0.bind": stratum_port and f"127.0.0.1:{stratum_port}",
        "http.bind": http_port and f"127.0.0.1:{http_port}",
    }
    given = {**{key: value for key, value in wanted.items() if value}, **parse_overrides(overrides)}
    load_mapping(config_file, given)  # name every mistake before any child process starts
    sys.exit(demo(config_file, given, miner=miner))


def _pool_address(url: str) -> tuple[str, int]:
    """Host and port of a pool's URL. Raises click.UsageError."""
    expected = "URL: expected stratum+tcp://HOST:PORT or HOST:PORT"
    try:
        split = urlsplit(url if "://" in url else f"stratum+tcp://{url}")
        host, port = split.hostname, split.port
    except ValueError:
        raise click.UsageError(expected) from None
    if split.scheme not in ("stratum+tcp", "tcp") or not host or not port or split.path not in ("", "/"):
        raise click.UsageError(expected)
    return host, port
