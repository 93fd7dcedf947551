"""What a workflow says while it works."""

from __future__ import annotations

from mixhub.progress import SILENT


class Notices:
    """Progress that records its notices."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.start = SILENT.start

    def notice(self, text: str) -> None:
        self.lines.append(text)
