"""Commands with subcommands, such as `mixhub card`."""

from __future__ import annotations

import typer


def group(text: str) -> typer.Typer:
    """Return an app for subcommands, with `text` as its help."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=text)

    @app.callback()
    def _callback() -> None:  # without a callback, Typer would replace the group by a single subcommand
        return

    return app
