"""What several commands share: the options that name a configuration, the loading of it, and the exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from pool.config.configuration import Config

Command = TypeVar("Command", bound=Callable[..., object])

EXIT_OK, EXIT_NO, EXIT_USAGE = 0, 1, 2
ANY_FILE = click.Path(readable=False)
"""A file that the command itself looks at, and says what is wrong with it; the shell completes it."""


def config_option(*, required: bool = True, default: str | None = None) -> Callable[[Command], Command]:
    text = "The configuration, YAML; every key is explained in docs/reference/configuration.md."
    words = ("-c", "--config", "config_file")
    if default is not None:
        return click.option(*words, metavar="FILE", type=ANY_FILE, default=default, show_default=True, help=text)
    return click.option(*words, metavar="FILE", type=ANY_FILE, required=required, help=text)


def set_option(command: Command) -> Command:
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Replace a value of the file, by dotted key: --set stratum.ports.0.bind=0.0.0.0:3334. May be repeated.",
    )(command)


def load_config(config_file: str, overrides: tuple[str, ...]) -> Config:
    return load_mapping(config_file, parse_overrides(overrides))


def parse_overrides(overrides: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not key or not equals:
            raise click.UsageError("--set wants KEY=VALUE, such as --set http.bind=127.0.0.1:8081")
        pairs[key] = value
    return pairs


def load_mapping(config_file: str, overrides: dict[str, str]) -> Config:
    from pool.config.configuration import ConfigError, load

    try:
        return load(config_file, overrides)
    except ConfigError as error:
        for line in error.lines:
            click.echo(line, err=True)
        sys.exit(EXIT_NO)
