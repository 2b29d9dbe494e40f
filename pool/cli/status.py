"""`pool status` and `pool top`: a running pool on the terminal, once or live, asked over its own HTTP port."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option

if TYPE_CHECKING:
    from pool.devnet.demo.snapshot import Snapshot

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Who listens on every address is asked on this machine's own."""

_url_option = click.option("--url", metavar="URL", help="The pool's HTTP port, http://HOST:PORT, instead of a file.")


@click.command(short_help="Show how a running pool is.")
@config_option(required=False)
@_url_option
@set_option
def status(config_file: str | None, url: str | None, overrides: tuple[str, ...]) -> NoReturn:
    """Show once how a running pool is: hashrate, shares, and what each chain has.

    Asks the pool's own HTTP port, so it needs neither database nor nodes. Exit code 0 when the pool is well, 1 with the
    reason when it is not or does not answer.

    \b
    Examples:
      pool status -c /etc/parapool/pool.yaml
      pool status --url http://10.0.0.5:8080
    """
    asked = _url(config_file, url, overrides)
    from pool.devnet.demo.display import plain_lines
    from pool.devnet.demo.snapshot import HashrateMeter, health, take_snapshot

    problem = health(asked)
    snapshot = take_snapshot(asked, HashrateMeter())
    if snapshot is not None:
        click.echo("\n".join(plain_lines(snapshot)))
    if problem is None and snapshot is None:
        problem = f"{asked} gives no figures"
    if problem is not None:
        click.echo(problem, err=True)
    sys.exit(EXIT_OK if problem is None else EXIT_NO)


@click.command(short_help="Watch a running pool.")
@config_option(required=False)
@_url_option
@set_option
@click.option(
    "--interval-s", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between two looks."
)
def top(config_file: str | None, url: str | None, overrides: tuple[str, ...], interval_s: float) -> NoReturn:
    """Watch a running pool until Ctrl-C: a table that renews itself on a terminal, lines on a pipe.

    \b
    Examples:
      pool top -c /etc/parapool/pool.yaml
      pool top --url http://127.0.0.1:8080 --interval-s 10
    """
    asked = _url(config_file, url, overrides)
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from pool.devnet.demo.display import LiveView, plain_lines

    try:
        if not sys.stdout.isatty():
            for snapshot in _snapshots(asked, interval_s):
                click.echo(_away(asked) if snapshot is None else "\n".join(plain_lines(snapshot)))
        with Live(console=Console(), screen=True, auto_refresh=False) as live:
            for snapshot in _snapshots(asked, interval_s):
                live.update(Text(_away(asked), style="red") if snapshot is None else LiveView(snapshot), refresh=True)
    except KeyboardInterrupt:
        pass
    sys.exit(EXIT_OK)


def _snapshots(url: str, interval_s: float) -> Iterator[Snapshot | None]:
    """For ever; None while the pool does not answer."""
    from pool.devnet.demo.snapshot import HashrateMeter, take_snapshot

    meter = HashrateMeter()
    while True:
        yield take_snapshot(url, meter)
        time.sleep(interval_s)


def _away(url: str) -> str:
    return f"no answer from {url}"


def _url(config_file: str | None, url: str | None, overrides: tuple[str, ...]) -> str:
    """The pool that is asked: as given, or by the file's http.bind."""
    if (url is None) == (config_file is None):
        raise click.UsageError("expected either -c FILE or --url http://HOST:PORT")
    if url is not None:
        return url.rstrip("/")
    assert config_file is not None, "one of the two"
    host, port = load_config(config_file, overrides).http.address
    host = ANYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
