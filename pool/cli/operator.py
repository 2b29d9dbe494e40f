"""`pool operator`: what an operator does to a running process, over its own port (docs/operating/operator-api.md)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import click

from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option

Answer = dict[str, Any]
Call = tuple[str, str, Answer | None, Callable[[Answer], Sequence[str]]]
"""Method, path, body, and the lines that the answer becomes."""


@click.group(short_help="Drain, reload, ban, tell miners, see who is connected.")
def operator() -> None:
    """Drain, reload, ban, tell miners, see who is connected: calls at a running process's own port for its operator.

    Port and token come from the same file as the pool's (-c), or from --url and --token-file.

    \b
    Examples:
      pool operator drain -c pool.yaml --over-s 600
      pool operator bans add 203.0.113.0/24 --seconds 86400 --reason "login flood" -c pool.yaml
      pool operator connections -c pool.yaml
    """


def _calling(command: Callable[..., Call]) -> Callable[..., NoReturn]:
    """A command that makes one call."""

    @config_option(required=False)
    @set_option
    @click.option("--url", metavar="URL", help="The operator's port, http://HOST:PORT, instead of a file.")
    @click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="The token, with --url.")
    @click.option("--json", "as_json", is_flag=True, help="Print the answer as it came.")
    @wraps(command)
    def run(
        config_file: str | None, overrides: tuple[str, ...], url: str | None, token_file: Path | None, as_json: bool,
        **words: Any,
    ) -> NoReturn:  # fmt: skip
        from pool.operator_client import CallError, client_at, client_of

        method, path, body, lines = command(**words)
        if (config_file is None) == (url is None) or (url is None) != (token_file is None):
            raise click.UsageError("expected either -c FILE, or --url URL and --token-file FILE")
        try:
            if url is not None and token_file is not None:
                client = client_at(url, token_file)
            else:
                assert config_file is not None
                client = client_of(load_config(config_file, overrides))
            answer = client.call(method, path, body)
        except CallError as error:
            click.echo("\n".join(_plain(line) for line in error.lines), err=True)
            sys.exit(EXIT_NO)
        try:
            shown = [json.dumps(answer, indent=1)] if as_json else [_plain(line) for line in lines(answer)]
        except (KeyError, TypeError, ValueError):
            click.echo("done, but the answer is one of another version of the pool; --json shows it", err=True)
            sys.exit(EXIT_OK)
        click.echo("\n".join(shown))
        sys.exit(EXIT_OK)

    return run


@operator.command(short_help="Move the miners elsewhere, evenly.")
@click.option(
    "--over-s", type=click.IntRange(0, 86_400), default=1200, show_default=True,
    help="Seconds until the last of them is asked to go.",
)  # fmt: skip
@click.option("--show", is_flag=True, help="Only show how far it is.")
@_calling
def drain(over_s: int, show: bool) -> Call:
    """Move the miners of this process elsewhere: the ports close, the idle go at once, the others evenly, the biggest
    last. The process runs on until it is stopped.

    \b
    Examples:
      pool operator drain -c pool.yaml --over-s 600
      pool operator drain -c pool.yaml --show
    """
    return ("GET", "/drain", None, drain_lines) if show else ("POST", "/drain", {"over_s": over_s}, drain_lines)


@operator.command(short_help="End a drain.")
@_calling
def undrain() -> Call:
    """End a drain: the ports open again, and who was not asked to go stays.

    \b
    Example:
      pool operator undrain -c pool.yaml
    """
    return "DELETE", "/drain", None, drain_lines


@operator.command("reload", short_help="Take over the changed configuration.")
@_calling
def reload_configuration() -> Call:
    """Make the pool read its configuration again, as SIGHUP does: prints what changed, or why nothing did (exit 1).

    \b
    Example:
      pool operator reload -c pool.yaml
    """
    return "POST", "/reload", {}, reload_lines


@operator.group(short_help="Addresses that are turned away.")
def bans() -> None:
    """Addresses and networks that are turned away.

    \b
    Example:
      pool operator bans list -c pool.yaml
    """


@bans.command("list", short_help="Show them.")
@click.option("--after", type=click.IntRange(0), default=0, help="Where the last page ended.")
@click.option("--limit", type=click.IntRange(1, 1000), default=1000, show_default=True, help="How many at most.")
@_calling
def bans_list(after: int, limit: int) -> Call:
    """Show the operator's bans, and those that the pool imposed for invalid shares.

    \b
    Example:
      pool operator bans list -c pool.yaml
    """
    return "GET", "/bans?" + urlencode({"after": after, "limit": limit}), None, ban_lines


@bans.command("add", short_help="Turn an address or a network away.")
@click.argument("address")
@click.option("--seconds", type=click.IntRange(1, 366 * 86_400), default=86_400, show_default=True, help="For so long.")
@click.option("--reason", required=True, help="Why; it stands in the list.")
@_calling
def bans_add(address: str, seconds: int, reason: str) -> Call:
    """Turn ADDRESS, an IP address or a network, away; who is connected from there is hung up on.

    \b
    Example:
      pool operator bans add 203.0.113.0/24 --seconds 86400 --reason "login flood" -c pool.yaml
    """

    def lines(answer: Answer) -> list[str]:
        ended = answer["connections_ended"]
        return [f"{answer['network']} is banned until {_utc(answer['until_ms'])}, {ended} connections ended"]

    return "POST", "/bans", {"address": address, "seconds": seconds, "reason": reason}, lines


@bans.command("remove", short_help="End a ban.")
@click.argument("network")
@_calling
def bans_remove(network: str) -> Call:
    """End the ban of NETWORK, named as the list shows it.

    \b
    Example:
      pool operator bans remove 203.0.113.0/24 -c pool.yaml
    """
    return "DELETE", "/bans/" + quote(network, safe=":"), None, lambda answer: [f"{answer['removed']} is free to come"]


@operator.command(short_help="Tell miners something.")
@click.argument("text")
@click.option("--login", metavar="ADDRESS", help="Only miners who log in with this address.")
@click.option("--worker", metavar="NAME", help="Only this worker of theirs.")
@_calling
def message(text: str, login: str | None, worker: str | None) -> Call:
    """Show TEXT (300 letters at most) to all miners, those of an address, or one worker. Many miners show it nowhere.

    \b
    Examples:
      pool operator message "maintenance at 10:00 UTC" -c pool.yaml
      pool operator message "your rig7 is stale" --login ADDRESS --worker rig7 -c pool.yaml
    """
    words = {"text": text, "login": login, "worker": worker}
    body = {name: value for name, value in words.items() if value is not None}
    return "POST", "/message", body, lambda answer: [
        f"{answer['connections_told']} connections were told", *_missing(answer)
    ]


@operator.command(short_help="Show who is connected.")
@click.option("--login", metavar="ADDRESS", help="Only those who log in with this address.")
@click.option("--worker", metavar="NAME", help="Only workers of this name.")
@click.option("--after", type=click.IntRange(0), default=0, help="Where the last page ended.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@_calling
def connections(login: str | None, worker: str | None, after: int, limit: int) -> Call:
    """Show who is connected, page by page in the order in which they came.

    \b
    Examples:
      pool operator connections -c pool.yaml --limit 20
      pool operator connections -c pool.yaml --login ADDRESS --json
    """
    words = {"after": after, "limit": limit, "login": login, "worker": worker}
    query = urlencode({name: value for name, value in words.items() if value is not None})
    return "GET", f"/connections?{query}", None, connection_lines


# -- answers as lines -------------------------------------------------------------------------------------------------


def drain_lines(answer: Answer) -> list[str]:
    here, leaving = answer["here"], answer["leaving"]
    if not answer["draining"]:
        return [f"not draining: {here} connections{f', {leaving} of them leaving' if leaving else ''}"]
    if not here:
        return ["drained: nobody is connected, the process may be stopped"]
    ends = f"the last one is asked in {answer['ends_in_s']:.0f} s" if answer["ends_in_s"] else "all are asked"
    return [f"draining since {answer['since_s']:.0f} s: {here} connections here, {leaving} of them leaving; {ends}"]


def reload_lines(answer: Answer) -> list[str]:
    parts = [f"{word}: {', '.join(answer[word])}" for word in ("added", "removed", "changed") if answer[word]]
    return parts or ["nothing changed"]


def ban_lines(answer: Answer) -> list[str]:
    rows = [(ban["network"], _utc(ban["until_ms"]), ban["by"], ban["reason"]) for ban in answer["items"]]
    return [*_table(("NETWORK", "UNTIL", "BY", "REASON"), rows), *_more(answer)]


def connection_lines(answer: Answer) -> list[str]:
    now_ms = time.time_ns() // 1_000_000
    rows = []
    for item in answer["items"]:
        logins = [f"{login['login']}.{login['worker']}" for login in item["logins"]]
        others = item["logins_total"] - 1
        rows.append(
            (
                item["number"], item["address"], _hashrate(item["hashrate"]),
                "-" if item["difficulty"] is None else f"{item['difficulty']:g}", _ago(item["connected_ms"], now_ms),
                _ago(item["last_share_ms"], now_ms) + (" leaving" if item["leaving"] else ""),
                (logins[0] if logins else "-") + (f" and {others} more" if others > 0 else ""), item["agent"] or "-",
            )
        )  # fmt: skip
    head = ("NO", "ADDRESS", "HASHRATE", "DIFFICULTY", "SINCE", "SHARE", "LOGIN", "AGENT")
    return [*_table(head, rows), *_more(answer), *_missing(answer)]


def _missing(answer: Answer) -> list[str]:
    """Of several processes, those that are not in the answer."""
    slots = answer.get("missing", ())
    return [f"front end {slot} did not answer in time, its miners are not counted here" for slot in slots]


def _more(answer: Answer) -> list[str]:
    after = f", more with --after {answer['after']}" if answer["after"] is not None else ""
    return [f"{len(answer['items'])} of {answer['total']}{after}"]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [list(head), *([_plain(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _plain(text: str) -> str:
    """What miners chose themselves shall not steer the terminal."""
    from pool.log_setup import one_line

    return one_line(text)


def _utc(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))


def _ago(time_ms: int | None, now_ms: int) -> str:
    if time_ms is None:
        return "-"
    seconds = max(0, (now_ms - time_ms) // 1000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _hashrate(hashes_per_s: int | None) -> str:
    if hashes_per_s is None:
        return "-"
    value = float(hashes_per_s)
    for unit in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.3g} {unit}H/s"
        value /= 1000
    return f"{value:.3g} EH/s"
