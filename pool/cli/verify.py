"""`pool verify KIND FILE`: one proof in a file, judged with no node and no pool."""

from __future__ import annotations

import sys

import click
from click.shell_completion import CompletionItem

from pool.cli.options import ANY_FILE, EXIT_USAGE


class ProofKind(click.ParamType):
    """A kind that has a verifier; the registry is loaded only when one is asked for."""

    name = "kind"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from chains.registry import VERIFIERS

        if value not in VERIFIERS:
            self.fail(f"expected one of {', '.join(VERIFIERS)}, not {value!a}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from chains.registry import VERIFIERS

        return [CompletionItem(kind) for kind in VERIFIERS if kind.startswith(incomplete)]


@click.command(short_help="Verify a proof in a file.")
@click.argument("kind", type=ProofKind())
@click.argument("file", type=ANY_FILE)
def verify(kind: str, file: str) -> None:
    """Verify one proof of work in a file, with no node and no pool.

    Prints ok (exit code 0) or the reason of the first check that fails (1); a file that is no question ends with 2 and
    a sentence.

    \b
    KIND and what FILE holds, a JSON object:
      mm2       {"context", "target", "proof"}, or
                {"context", "target", "wire", "aux_hash"}
      auxpow    {"chain_id", "block_hash", "target", "auxpow", "pow"}
      bk        what a node's getvoteproof, getblockproof or gettransferproof
                answered, with the "target" (and "k") that you know
      parallel  {"network", "bits", "proof"}; with what gettransferproof
                answered and "chain_id" besides: that it carries a transfer

    Targets, k and networks are yours to know: who takes them from a stranger is told what the stranger likes. Each
    field is explained in docs/protocol.

    \b
    Examples:
      pool verify mm2 proof.json
      pool verify bk vote.json
    """
    from pool.verify import verify_file

    exit_code, text = verify_file(kind, file)
    # The answer on stdout; a sentence about wrong use on stderr.
    click.echo(text, err=exit_code == EXIT_USAGE)
    sys.exit(exit_code)
