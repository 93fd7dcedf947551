"""The commands by name. Each is imported when it is called, and for `mixhub --help` only the modules are, not Typer's
machinery for their options: so help is instant."""

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
    "data": "make.data",
    "train": "make.train",
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
"""The module of each command, in the order of the help. It holds a function of that name, or an `app` of several."""


class LazyCommands(Mapping[str, Any]):
    """The commands by name, each imported and built when it is taken out."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        found = _function_or_app(name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(rich_markup_mode=None, add_completion=False)
            single.command(name)(found)
            return typer.main.get_command(single)
        group: Any = typer.main.get_command(found)
        for command in group.commands.values():  # shown whole, not cut off at the end of the line
            command.short_help = _first_paragraph(command.help)
        return group

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """All commands, of which a call imports one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The first paragraph of what each command's own help says."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.commands])


def _function_or_app(name: str) -> Any:
    module = import_module(f"mixhub.cli.{COMMANDS[name]}")
    return module.app if hasattr(module, "app") else getattr(module, name)


def _summary(name: str) -> str:
    found = _function_or_app(name)
    return _first_paragraph(str(found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found)))


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
