"""The commands by name. A command is imported when it is called; `mixhub --help` imports all modules, but does not
let Typer build their options, which would be slow."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mixhub._version import __version__

COMMANDS = {
    "demo": "make.demo",
    "families": "make.families",
    "init": "make.init",
    "add": "make.add",
    "data": "data",
    "train": "make.train",
    "export": "make.export",
    "adopt": "make.adopt",
    "evaluate": "measure.evaluate",
    "results": "measure.results",
    "audit": "measure.audit",
    "plot": "measure.plot",
    "card": "release.card",
    "check": "release.check",
    "push": "release.push",
    "promote": "release.promote",
    "verify": "release.verify",
    "withdraw": "release.withdraw",
    "status": "release.status",
    "generate": "release.generate",
    "hub": "release.hub",
}
"""The module of each command, in the order of the help, with a function of that name or an `app`."""


class LazyCommands(Mapping[str, Any]):
    """The commands by name, imported and built on access."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        command = _function_or_app(name)
        if not isinstance(command, typer.Typer):
            single = typer.Typer(rich_markup_mode=None, add_completion=False)
            single.command(name)(command)
            return typer.main.get_command(single)
        group: Any = typer.main.get_command(command)
        for command in group.commands.values():  # click would cut the text off at the end of the line
            command.short_help = _first_paragraph(command.help)
        return group

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """All commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the first paragraph of each command's help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.commands])


def _function_or_app(name: str) -> Any:
    module = import_module(f"mixhub.cli.{COMMANDS[name]}")
    return module.app if hasattr(module, "app") else getattr(module, name)


def _summary(name: str) -> str:
    command = _function_or_app(name)
    return _first_paragraph(str(command.info.help if isinstance(command, typer.Typer) else inspect.getdoc(command)))


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


app = typer.Typer(
    name="mixhub",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"mixhub {__version__}")
        raise typer.Exit


@app.callback()
def mixhub(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From one data mixture to a published, evaluated and verifiable family of language models."""
