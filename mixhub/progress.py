"""How long work says how far it is, without knowing who listens."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self


class Bar(Protocol):
    """One piece of work under way."""

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Says that `amount` more units are done; `note` is a short figure to show beside, as `loss 3.21`."""


class Progress(Protocol):
    """Whoever shows progress."""

    def start(self, what: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        """Begins a piece of work, for the length of a `with` block.

        Args:
            what: a few words, as `train seed-1`.
            total: units in all; None when not known.
            unit: one unit, in the singular, as `step`.
        """

    def notice(self, text: str) -> None:
        """Reports what the caller should know of at once, one line, as `tokenizer: me/bpe from huggingface.co`."""


class _SilentBar:
    def advance(self, amount: int = 1, note: str | None = None) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class _Silent:
    def start(self, what: str, total: int | None, unit: str) -> _SilentBar:
        return _SilentBar()

    def notice(self, text: str) -> None:
        return


SILENT: Progress = _Silent()
"""Shows nothing."""
