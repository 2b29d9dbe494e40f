"""`pool completion`: what a shell reads to complete the commands and options of `pool` with the tab key."""

from __future__ import annotations

import sys
from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from pool.cli.options import EXIT_OK

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_POOL_COMPLETE"
"""Set by the script when the shell asks; click answers before any command begins."""


@click.command(short_help="Print the script that makes a shell complete `pool`.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> NoReturn:
    """Print the script that makes SHELL complete commands, options and files with the tab key.

    \b
    Examples:
      pool completion bash > ~/.local/share/bash-completion/completions/pool
      pool completion zsh > ~/.zfunc/_pool            with fpath+=(~/.zfunc) before compinit in ~/.zshrc
      pool completion fish > ~/.config/fish/completions/pool.fish
    """
    script = get_completion_class(shell)
    assert script is not None, "click knows every one of SHELLS"
    root = click.get_current_context().find_root().command
    click.echo(script(root, {}, "pool", VARIABLE).source(), nl=False)
    sys.exit(EXIT_OK)
