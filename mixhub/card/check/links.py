"""Whether the links and images of a card lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

from mixhub.card.check.subject import Subject
from mixhub.card.markdown.parse import Html, ReadLink
from mixhub.card.markdown.text import clipped
from mixhub.errors import nearest
from mixhub.findings import Finding

_Fault = tuple[str, str]
"""The code of what is wrong with an address, and the rule that it breaks."""

_WEB = ("http", "https")
_REFUSED = re.compile(r"(?:(?<!\\)\]\(\s*<?|(?<!\\)<)((?:file|javascript|vbscript):[^\s)>]*)", re.IGNORECASE)
"""Links that no reader of Markdown makes: a page shows them as they are written."""
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?|[0-9a-f:.]+", re.IGNORECASE)
_OWN = re.compile(r"(?:.*\.)?localhost\.?|127(?:\.\d+){3}|0\.0\.0\.0|::1?", re.IGNORECASE)
_MACHINE = re.compile(r"/(?:home|root|Users|Volumes|tmp|var|etc|mnt|opt|usr|srv|private)/")
_TOP = ("", "top")
"""What leads to the top of a page without any anchor."""

_WIDTH = 80
"""Characters of an address that are shown."""
_MEND = "mend the address, or remove the link"


def broken_links(subject: Subject) -> Iterator[Finding]:
    """Links and images, those in HTML too, whose address leads nowhere."""
    anchors = {heading.anchor for heading in subject.card.headings}
    html = [_Html.read(piece) for piece in subject.card.html]
    anchors.update(anchor for piece in html for anchor in piece.anchors)
    for link in (*subject.card.links, *(link for piece in html for link in piece.links)):
        if problem := _address_problem(link.address, anchors, subject.folder):
            code, rule = problem
            what = "image" if link.is_image else "link"
            message = f"{what} to {clipped(link.address, _WIDTH)}: {rule}"
            yield Finding(code, subject.source, message, _MEND, line=link.line, about=link.address)


def links_without_text(subject: Subject) -> Iterator[Finding]:
    """Links that nobody can see, and images without alternative text; a link around an image has the image's text."""
    links = subject.card.links
    for link, following in zip_longest(links, links[1:]):
        is_around_image = bool(following and following.is_image and following.line == link.line and not link.is_image)
        if link.text.strip() or is_around_image:
            continue
        if link.is_image:
            yield _no_alt(subject, link.line, link.address)
        else:
            message = f"the link to {clipped(link.address, _WIDTH)} has no text, so nobody can see it"
            hint = "write [text](address)"
            yield Finding("link-text-missing", subject.source, message, hint, line=link.line, about=link.address)
    for piece in map(_Html.read, subject.card.html):
        for line, address in piece.without_alt:
            yield _no_alt(subject, line, address)


def refused_links(subject: Subject) -> Iterator[Finding]:
    """Links that no page makes, for their scheme."""
    card = subject.card
    code = {line for fence in card.fences for line in range(fence.line, fence.line + fence.content.count("\n") + 2)}
    above = card.metadata_lines[1] if card.metadata_lines else 0
    for line, text in enumerate(card.lines[above:], start=above + 1):
        for match in _REFUSED.finditer(_CODE.sub("", text)) if line not in code else ():
            scheme = match[1].partition(":")[0].lower()
            message = f"link to {clipped(match[1], _WIDTH)}: a page makes no link of {scheme}:"
            yield Finding("link-refused", subject.source, message, _MEND, line=line, about=match[1])


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


def _no_alt(subject: Subject, line: int, address: str) -> Finding:
    message = f"the image {clipped(address, _WIDTH)} has no alternative text"
    hint = "write what it shows: ![text](address)"
    return Finding("image-text-missing", subject.source, message, hint, line=line, about=address)


def _address_problem(address: str, anchors: set[str], folder: Path | None) -> _Fault | None:
    """What is wrong with an address; None when nothing is."""
    if not address.strip():
        return "link-empty", "has no address"
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        return "link-malformed", f"is no address: {error}"
    if len(parts.scheme) == 1 or (_MACHINE.match(parts.path) and not parts.netloc):
        return "link-to-own-disk", "is a path of one machine, which no reader has"
    if parts.scheme in _WEB or (parts.netloc and not parts.scheme):
        return _host_problem(parts)
    if parts.scheme:
        return _scheme_problem(parts.scheme)
    if not parts.path:
        return _anchor_problem(unquote(parts.fragment), anchors)
    return None if parts.path.startswith("/") else _file_problem(unquote(parts.path), folder)


def _host_problem(parts: SplitResult) -> _Fault | None:
    host = parts.hostname
    if not host:
        return "link-malformed", "has no host"
    if not _HOST.fullmatch(host):
        return "link-malformed", f"has no host: {host!r} is none"
    return ("link-to-localhost", "leads to the machine of whoever reads it") if _OWN.fullmatch(host) else None


def _scheme_problem(scheme: str) -> _Fault | None:
    if scheme == "file":
        return "link-to-own-disk", "is a file of one machine, which no reader has"
    near = nearest(scheme, _WEB)
    return ("link-scheme-unknown", f"begins with {scheme}:; did you mean {near}:?") if near else None


def _anchor_problem(anchor: str, anchors: set[str]) -> _Fault | None:
    if anchor in anchors or anchor in _TOP:
        return None
    near = nearest(anchor, anchors)
    return "anchor-missing", "the card has no such heading" + (f"; did you mean #{near}?" if near else "")


def _file_problem(path: str, folder: Path | None) -> _Fault | None:
    if _leads_out(PurePosixPath(path)):
        return "link-outside-repo", "leads out of the repo, whose root the card lies in"
    if folder is None:
        return None
    try:
        return None if (folder / path).exists() else ("link-broken", f"there is no such file in {folder}")
    except (OSError, ValueError) as error:  # ValueError: a null byte
        return "link-malformed", f"is no path: {error}"


def _leads_out(path: PurePosixPath) -> bool:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
