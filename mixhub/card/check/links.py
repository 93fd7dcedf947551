"""Whether the links and images of a card lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

from mixhub.card.check.finding import Finding
from mixhub.card.markdown.parse import Html, ReadCard, ReadLink
from mixhub.errors import nearest

_WEB = ("http", "https")
_REFUSED = re.compile(r"(?:(?<!\\)\]\(\s*<?|(?<!\\)<)((?:file|javascript|vbscript):[^\s)>]*)", re.IGNORECASE)
"""Links that no reader of Markdown makes: a page shows them as they are written."""
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?|[0-9a-f:.]+", re.IGNORECASE)
_OWN = re.compile(r"(?:.*\.)?localhost\.?|127(?:\.\d+){3}|0\.0\.0\.0|::1?", re.IGNORECASE)
_MACHINE = re.compile(r"/(?:home|root|Users|Volumes|tmp|var|etc|mnt|opt|usr|srv|private)/")
_TOP = ("", "top")
"""What leads to the top of a page without any anchor."""

_MEND = "mend the address, or remove the link"


def link_findings(card: ReadCard, folder: Path | None, source: str) -> Iterator[Finding]:
    """What is wrong with the links and images of a card, those in HTML too.

    Args:
        card: the card.
        folder: where it lies; relative addresses are looked up there. None: they are not looked up.
        source: names the card in findings.
    """
    anchors = {heading.anchor for heading in card.headings}
    html = [_Html.read(piece) for piece in card.html]
    anchors.update(anchor for piece in html for anchor in piece.anchors)
    for link in (*card.links, *(link for piece in html for link in piece.links)):
        if problem := _address_problem(link.address, anchors, folder):
            what = "image" if link.is_image else "link"
            message = f"{what} to {_shown(link.address)}: {problem}"
            yield Finding("link", source, link.line, link.address, message, _MEND)
    yield from _without_text(card, source)
    for piece in html:
        for line, address in piece.without_alt:
            yield _no_alt(source, line, address)
    yield from _refused(card, source)


class _Html(HTMLParser):
    """Links, images and anchors in a piece of HTML."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.links: list[ReadLink] = []
        self.anchors: list[str] = []
        self.without_alt: list[tuple[int, str]] = []

    @classmethod
    def read(cls, piece: Html) -> _Html:
        reader = cls(piece.line)
        with suppress(AssertionError):  # the standard library's way to refuse a malformed declaration
            reader.feed(piece.content)
            reader.close()
        return reader

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        line = self.first + self.getpos()[0] - 1
        self.anchors += [value for key in ("id", "name") if (value := values.get(key))]
        if tag == "a" and "href" in values:
            self.links.append(ReadLink("", values["href"] or "", line, is_image=False))
        elif tag == "img":
            address = values.get("src") or ""
            self.links.append(ReadLink(values.get("alt") or "", address, line, is_image=True))
            if "alt" not in values:
                self.without_alt.append((line, address))


def _without_text(card: ReadCard, source: str) -> Iterator[Finding]:
    """Links and images without text; a link around an image has the text of the image."""
    for link, following in zip_longest(card.links, card.links[1:]):
        is_around_image = bool(following and following.is_image and following.line == link.line and not link.is_image)
        if link.text.strip() or is_around_image:
            continue
        if link.is_image:
            yield _no_alt(source, link.line, link.address)
        else:
            message = f"the link to {_shown(link.address)} has no text, so nobody can see it"
            yield Finding("link", source, link.line, link.address, message, "write [text](address)")


def _no_alt(source: str, line: int, address: str) -> Finding:
    message = f"the image {_shown(address)} has no alternative text"
    return Finding("link", source, line, address, message, "write what it shows: ![text](address)")


def _refused(card: ReadCard, source: str) -> Iterator[Finding]:
    code = {line for fence in card.fences for line in range(fence.line, fence.line + fence.content.count("\n") + 2)}
    above = card.metadata_lines[1] if card.metadata_lines else 0
    for line, text in enumerate(card.lines[above:], start=above + 1):
        for match in _REFUSED.finditer(_CODE.sub("", text)) if line not in code else ():
            scheme = match[1].partition(":")[0].lower()
            message = f"link to {_shown(match[1])}: a page makes no link of {scheme}:"
            yield Finding("link", source, line, match[1], message, _MEND)


def _address_problem(address: str, anchors: set[str], folder: Path | None) -> str | None:
    """What is wrong with an address; None when nothing is."""
    if not address.strip():
        return "has no address"
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        return f"is no address: {error}"
    if len(parts.scheme) == 1 or (_MACHINE.match(parts.path) and not parts.netloc):
        return "is a path of one machine, which no reader has"
    if parts.scheme in _WEB or (parts.netloc and not parts.scheme):
        return _host_problem(parts)
    if parts.scheme:
        return _scheme_problem(parts.scheme)
    if not parts.path:
        return _anchor_problem(unquote(parts.fragment), anchors)
    return None if parts.path.startswith("/") else _file_problem(unquote(parts.path), folder)


def _host_problem(parts: SplitResult) -> str | None:
    host = parts.hostname
    if not host:
        return "has no host"
    if not _HOST.fullmatch(host):
        return f"has no host: {host!r} is none"
    return "leads to the machine of whoever reads it" if _OWN.fullmatch(host) else None


def _scheme_problem(scheme: str) -> str | None:
    if scheme == "file":
        return "is a file of one machine, which no reader has"
    near = nearest(scheme, _WEB)
    return f"begins with {scheme}:; did you mean {near}:?" if near else None


def _anchor_problem(anchor: str, anchors: set[str]) -> str | None:
    if anchor in anchors or anchor in _TOP:
        return None
    near = nearest(anchor, anchors)
    return f"the card has no such heading; did you mean #{near}?" if near else "the card has no such heading"


def _file_problem(path: str, folder: Path | None) -> str | None:
    if _leaves(PurePosixPath(path)):
        return "leads out of the repo, whose root the card lies in"
    if folder is None:
        return None
    try:
        return None if (folder / path).exists() else f"there is no such file in {folder}"
    except (OSError, ValueError) as error:  # ValueError: a null byte
        return f"is no path: {error}"


def _leaves(path: PurePosixPath) -> bool:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _shown(address: str, most: int = 80) -> str:
    return address if len(address) <= most else f"{address[: most - 2]} …"
