"""Progress of long work."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Bar(Protocol):
    """A piece of work in progress."""

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Count `amount` more units as done; `note` is a short figure to show beside them, such as `loss 3.21`."""


class Progress(Protocol):
    """Shows progress."""

    def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        """Show a piece of work for the length of a `with` block.

        Args:
            what: a few words, such as `train seed-1`.
            total: units in all; None if unknown.
            unit: one unit, in the singular, such as `step`.
        """

    def notice(self, text: str) -> None:
        """Show one line at once, such as `tokenizer: me/bpe from huggingface.co`."""


class _Silent:
    def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        return nullcontext(self)

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        return

    def notice(self, text: str) -> None:
        return


SILENT: Progress = _Silent()
"""Shows nothing."""
