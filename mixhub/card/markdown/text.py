"""Write any text as Markdown that stays one heading, one cell or one link."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mixhub import phrases


class Markdown(str):
    """Text that is already Markdown; cards escape all other text."""

    __slots__ = ()

    def __html__(self) -> str:
        """Mark the text as escaped for jinja2."""
        return str(self)


_ENTITIES = {"<": "&lt;", ">": "&gt;", "\\": "&#92;", "$": "&#36;"}
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#$]|&(?=[#A-Za-z])|_(?![^\W_])")
_BLOCK_START = re.compile(r"(?:[-+=:]|\d{1,9}(?=[.)](?:\s|$)))")
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_URL_SAFE = "!#$%&'*+,/:=?@-._~"


def plain(value: object) -> str:
    """Return text on one line, without control characters and those that change the direction of text."""
    visible = (
        c for c in str(value) if c.isspace() or (unicodedata.category(c) not in ("Cc", "Cs") and c not in _DIRECTIONS)
    )
    return " ".join("".join(visible).split())


def clipped(text: str, most: int) -> str:
    """Cut a text to `most` characters, with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 2]} …"


def escape(value: object) -> Markdown:
    """Return Markdown that shows a value unchanged in a paragraph, a heading, a list or a cell of a table."""
    if isinstance(value, Markdown):
        return value
    text = _SPECIAL.sub(_escaped, plain(value))
    if start := _BLOCK_START.match(text):
        text = f"\\{text}" if start.end() == 1 and not text[0].isdigit() else f"{start[0]}\\{text[start.end() :]}"
    return Markdown(text)


def code(value: object) -> Markdown:
    """Return a code span."""
    text = plain(value)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def link(text: object, address: str) -> Markdown:
    """Return a link to a web address; any other address is shown beside the text."""
    if not re.match(r"\s*https?://[^/?#\[\]\s]", address, re.IGNORECASE):
        return Markdown(f"{escape(text)} ({escape(address)})")
    shown = escape(text) if plain(text).strip() else escape(address)
    return Markdown(f"[{shown}]({quote(plain(address), safe=_URL_SAFE)})")


def image(alt: str, path: str, target: str) -> Markdown:
    """Return an image beside the card that links to another file."""
    return Markdown(f"[![{escape(alt)}]({quote(path)})]({quote(target)})")


def block(text: str, language: str = "") -> Markdown:
    """Return a fenced block of code."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip("\n")
    longest = max(map(len, re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{language}\n{lines}\n{fence}")


@dataclass(frozen=True)
class Table:
    """A table of text; cells that are not Markdown are escaped."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    """Columns to align to the right."""

    def markdown(self) -> Markdown:
        """Return the table in the Markdown of GitHub and the Hub."""
        from tabulate import tabulate

        return Markdown(
            tabulate(
                [[_cell(value) for value in row] for row in self.rows],
                headers=[_cell(header) for header in self.headers],
                tablefmt="pipe",
                disable_numparse=True,
                colalign=["right" if column in self.numeric else "left" for column in range(len(self.headers))],
            )
        )


def without_empty_columns(table: Table, empty: str) -> Table:
    """Remove the columns in which all cells are `empty`, except the first column."""
    columns = [c for c in range(len(table.headers)) if c == 0 or any(row[c] != empty for row in table.rows)]
    headers, *rows = (tuple(row[c] for c in columns) for row in (table.headers, *table.rows))
    return Table(headers, tuple(rows), frozenset(new for new, old in enumerate(columns) if old in table.numeric))


def listed(values: Sequence[str]) -> Markdown:
    """Return `a, b and c`."""
    return Markdown(phrases.listed([escape(value) for value in values], last="and"))


def branches(names: Sequence[str]) -> Markdown | None:
    """List branches as code; many only as their number. None if there are none."""
    if not names:
        return None
    return listed([code(name) for name in names]) if len(names) <= 12 else Markdown(f"{len(names)} branches")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character == "&":
        return "&amp;"
    return _ENTITIES.get(character, f"\\{character}")


def _cell(value: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", escape(value))
