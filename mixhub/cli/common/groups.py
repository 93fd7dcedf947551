"""A command of several commands, as `mixhub card`."""

from __future__ import annotations

import typer


def group(text: str) -> typer.Typer:
    """An app whose commands are called `mixhub <name of the module> <command>`.

    Args:
        text: its help.
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=text)

    @app.callback()
    def _callback() -> None:  # without one, a single command would stand for the whole
        return

    return app
