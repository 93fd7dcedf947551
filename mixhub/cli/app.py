"""All commands, assembled."""

from __future__ import annotations

from typing import Annotated

import typer

from mixhub._version import __version__
from mixhub.cli.make import adopt, data, demo, evaluate, families, train, workspace
from mixhub.cli.release import card, check, hub, push, verify, withdraw
from mixhub.cli.show import audit, generate, plot, results

app = typer.Typer(
    name="mixhub",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mixhub {__version__}")
        raise typer.Exit


@app.callback()
def mixhub(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From one data mixture to a published, evaluated and verifiable family of language models."""


app.command()(demo.demo)
app.command()(families.families)
app.command()(workspace.init)
app.command()(workspace.status)
app.add_typer(data.app, name="data")
app.command()(train.train)
app.command()(adopt.adopt)
app.command()(evaluate.evaluate)
app.command()(results.results)
app.command()(audit.audit)
app.add_typer(card.app, name="card")
app.add_typer(plot.app, name="plot")
app.command()(check.check)
app.command()(push.push)
app.command()(verify.verify)
app.command()(withdraw.withdraw)
app.command()(generate.generate)
app.add_typer(hub.app, name="hub")
