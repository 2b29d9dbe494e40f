"""`pool init`: a few questions, and a commented configuration that `pool check-config` accepts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK
from pool.init_file import (
    CHAINS,
    NETWORKS,
    PARENTS,
    SCHEMES,
    Answers,
    aux_of,
    default_cookie,
    default_url,
    rendered,
)

NONE = "none"


@click.command("init", short_help="Write a configuration from a few answers.")
@click.argument("file", default="pool.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--parent", type=click.Choice(PARENTS), help="The chain whose blocks are mined.")
@click.option("--aux", "aux", multiple=True, help=f"A chain mined along with it; may be repeated; {NONE} for none.")
@click.option("--network", type=click.Choice(NETWORKS), help="Of all chains.")
@click.option("--address", "addresses", multiple=True, metavar="CHAIN=ADDRESS", help="Where a chain's rewards go.")
@click.option("--node", "urls", multiple=True, metavar="CHAIN=URL", help="A chain's node, http://HOST:PORT.")
@click.option("--cookie", "cookies", multiple=True, metavar="CHAIN=FILE", help="The node's cookie file.")
@click.option("--payouts/--no-payouts", default=None, help="Pay miners from the nodes' wallets.")
@click.option("--scheme", type=click.Choice(SCHEMES), help="Blocks are shared, or kept by who finds them.")
@click.option("--data-dir", help="Folder of share log and database.")
@click.option("--yes", is_flag=True, help="Ask nothing: defaults for all that is not given. Addresses have none.")
def init(
    file: Path, parent: str | None, aux: tuple[str, ...], network: str | None, addresses: tuple[str, ...],
    urls: tuple[str, ...], cookies: tuple[str, ...], payouts: bool | None, scheme: str | None, data_dir: str | None,
    yes: bool,
) -> NoReturn:  # fmt: skip
    """Write a commented configuration to FILE (pool.yaml), asking what is not given.

    Never writes over a file. Exit code 1 when the file is there already, or when `pool check-config` finds something in
    what was written, which it then names.

    \b
    Examples:
      pool init
      pool init regtest.yaml --network regtest
      pool init --yes --parent litecoin --aux dogecoin --address litecoin=ltc1qexample --address dogecoin=Dexample
    """
    if file.exists():
        raise click.ClickException(f"{file} is there already: name another file, or move it away")
    ask = _Questions(yes)
    parent = parent or ask.choice("Parent chain, whose blocks are mined", PARENTS, "bitcoin")
    aux = _aux(parent, aux, ask)
    chains = (parent, *aux)
    network = network or ask.choice("Network", NETWORKS, "main")
    given = {word: _pairs(word, pairs, chains) for word, pairs in
             (("--address", addresses), ("--node", urls), ("--cookie", cookies))}  # fmt: skip
    answers = Answers(
        parent=parent,
        aux=aux,
        network=network,
        addresses={chain: _address(chain, network, given["--address"], ask) for chain in chains},
        urls=ask.each("RPC address of the {} node", chains, given["--node"], lambda c: default_url(c, network)),
        cookies=ask.each("Cookie file of the {} node", chains, given["--cookie"], lambda c: default_cookie(c, network)),
        payouts=ask.yes_or_no("Pay miners from the nodes' own wallets?", payouts),
        scheme=scheme or ask.choice("Reward: shared by all (pplns) or kept by the finder (solo)", SCHEMES, "pplns"),
        data_dir=data_dir or ask.text("Folder for share log and database", "/var/lib/parapool"),
    )
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(rendered(answers, str(file)))
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from error
    sys.exit(_checked(file))


def _checked(file: Path) -> int:
    from pool.config.configuration import ConfigError, load

    try:
        load(file)
    except ConfigError as error:
        click.echo(f"{file}: written, but:", err=True)
        for line in error.lines:
            click.echo(line, err=True)
        return EXIT_NO
    click.echo(f"{file}: written and good. Next: start the nodes, then pool doctor -c {file}")
    return EXIT_OK


class _Questions:
    """Asked on stderr, or with --yes answered by their defaults."""

    def __init__(self, yes: bool) -> None:
        self._yes = yes

    def text(self, question: str, default: str) -> str:
        return default if self._yes else str(click.prompt(question, default=default, err=True))

    def choice(self, question: str, choices: tuple[str, ...], default: str) -> str:
        if self._yes:
            return default
        return str(click.prompt(question, type=click.Choice(choices), default=default, err=True))

    def yes_or_no(self, question: str, given: bool | None) -> bool:
        if given is not None or self._yes:
            return bool(given)
        return click.confirm(question, default=False, err=True)

    def each(
        self, question: str, chains: tuple[str, ...], given: Mapping[str, str], default: Callable[[str], str]
    ) -> dict[str, str]:
        return {chain: given.get(chain) or self.text(question.format(chain), default(chain)) for chain in chains}

    def good(self, question: str, problem: Callable[[str], str], instead: str) -> str:
        """Asked again until there is no problem with the answer. Without asking there is no answer."""
        if self._yes:
            raise click.UsageError(f"--yes needs {instead}")
        while True:
            answer = str(click.prompt(question, err=True)).strip()
            found = problem(answer)
            if not found:
                return answer
            click.echo(f"  {found}", err=True)


def _aux(parent: str, given: tuple[str, ...], ask: _Questions) -> tuple[str, ...]:
    """The auxiliary chains, each once. Raises click.UsageError for one that cannot be mined along."""
    possible = aux_of(parent)
    words = list(given)
    if not words and possible:
        answer = ask.text(f"Chains mined along with it, out of {', '.join(possible)}, or {NONE}", ",".join(possible))
        words = [word.strip() for word in answer.split(",")]
    wanted = tuple(dict.fromkeys(word for word in words if word and word != NONE))
    for name in wanted:
        if name not in possible:
            what = "has another proof of work" if name in CHAINS else "is not known here: write its section by hand"
            raise click.UsageError(f"--aux: {name} {what}; with {parent}: {', '.join(possible)} or {NONE}")
    return wanted


def _pairs(word: str, pairs: tuple[str, ...], chains: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        chain, equals, value = pair.partition("=")
        if not equals or not value or chain not in chains:
            raise click.UsageError(f"{word} wants CHAIN=…, CHAIN being {' or '.join(chains)}; got {pair!a}")
        found[chain] = value
    return found


def _address(chain: str, network: str, given: Mapping[str, str], ask: _Questions) -> str:
    def problem(text: str) -> str:
        from chains.families import network as network_of
        from chains.primitives.address import AddressError, address_to_script

        try:
            address_to_script(text, network_of(chain, network).addresses)
        except AddressError as error:
            return f"no address of {chain} {network}: {error}"
        return ""

    if chain in given:
        refused = problem(given[chain])
        if refused:
            raise click.UsageError(f"--address {chain}: {refused}")
        return given[chain]
    return ask.good(f"{chain} address that rewards go to ({network})", problem, f"--address {chain}=ADDRESS")
