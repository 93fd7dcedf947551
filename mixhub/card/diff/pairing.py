"""Which parts of two sections go together: the old one and what became of it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from mixhub.card.markdown.parse import Fence, Heading, Html, Paragraph, Part, ReadTable

P = TypeVar("P", bound=Part)
Pair = tuple[P | None, P | None]
"""A part of the old card and the same of the new one; None where it is new or gone."""
Parts = Sequence[Part]

_ALIKE = 0.4
"""Share of words that two paragraphs have in common where one is a new wording of the other."""
_NEAR = 20
"""So many paragraphs are looked at for the old wording of a new one."""


def table_pairs(old: Parts, new: Parts) -> Iterator[Pair[ReadTable]]:
    """Tables that go together, by cells, then by headers, then by their first header."""
    return _paired(
        _of(ReadTable, old),
        _of(ReadTable, new),
        lambda table: (table.headers, table.rows),
        lambda table: table.headers,
        lambda table: table.headers[0],
    )


def code_pairs(old: Parts, new: Parts) -> Iterator[Pair[Fence]]:
    """Blocks of code that go together, by content, then by language."""
    return _paired(_of(Fence, old), _of(Fence, new), lambda fence: fence.content, lambda fence: fence.language)


def plot_pairs(old: Parts, new: Parts) -> Iterator[Pair[Paragraph]]:
    """Paragraphs of images that go together, by addresses, then by what they say is seen."""
    return _paired(_plots(old), _plots(new), lambda plot: [link.address for link in plot.links], lambda plot: plot.text)


def _paired(old: Sequence[P], new: Sequence[P], *alike: Callable[[P], object]) -> Iterator[Pair[P]]:
    """Parts that go together: those that share the first of `alike`, of the others those that share the next."""
    left_old, left_new = list(old), list(new)
    for trait in alike:
        for part in list(left_new):
            match = next((other for other in left_old if trait(other) == trait(part)), None)
            if match is not None:
                left_old.remove(match)
                left_new.remove(part)
                yield match, part
    yield from ((part, None) for part in left_old)
    yield from ((None, part) for part in left_new)


def text_pairs(old: Parts, new: Parts) -> Iterator[Pair[Part]]:
    """Other parts that go together: equal ones, and between them those that share many words."""
    old, new = _texts(old), _texts(new)
    texts = [text_of(part) for part in old], [text_of(part) for part in new]
    for tag, a, a_end, b, b_end in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(old[a:a_end], new[b:b_end], strict=True)
            continue
        left = list(old[a:a_end])
        for part in new[b:b_end]:
            shares = [share(text_of(other), text_of(part)) for other in left[:_NEAR]]
            best = max(range(len(shares)), key=shares.__getitem__, default=None)
            yield (left.pop(best) if best is not None and shares[best] >= _ALIKE else None), part
        yield from ((part, None) for part in left)


def share(old: str, new: str) -> float:
    """Share of words and marks that two texts have in common, 0 to 1."""
    was, now = (Counter(re.findall(r"\w+|[^\w\s]", text)) for text in (old, new))
    return 2 * (was & now).total() / max(1, was.total() + now.total())


def text_of(part: Part) -> str:
    """A part as it is written, on one line."""
    if isinstance(part, Paragraph):
        return part.markdown
    if isinstance(part, Heading):
        return part.text
    return " ".join(part.content.split()) if isinstance(part, Html) else "---"


def _is_plot(part: Part) -> bool:
    """Whether it is a paragraph of nothing but images."""
    images = [link.text for link in part.links if link.is_image]
    return (
        isinstance(part, Paragraph) and bool(images) and "".join(part.text.split()) == "".join("".join(images).split())
    )


def _plots(parts: Iterable[Part]) -> list[Paragraph]:
    return [part for part in parts if isinstance(part, Paragraph) and _is_plot(part)]


def _texts(parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if not isinstance(part, (ReadTable, Fence)) and not _is_plot(part)]


def _of(kind: type[P], parts: Iterable[Part]) -> list[P]:
    return [part for part in parts if isinstance(part, kind)]
