"""What differs between two blocks of code, two plots or two paragraphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from mixhub.card.diff.change import Change
from mixhub.card.diff.metadata import data_changes
from mixhub.card.diff.pairing import text_of
from mixhub.card.markdown.parse import Fence, Paragraph, Part
from mixhub.errors import SpecError
from mixhub.spec.base import parse_yaml

P = TypeVar("P", bound=Part)


def code_changes(section: str, old: Fence | None, new: Fence | None) -> Iterator[Change]:
    """What differs between two blocks of code; of YAML the values, where they say all."""
    was, now = (_mapping(fence) for fence in (old, new))
    if was is not None and now is not None:
        is_mixture = "train" in {*was, *now} or "mixture" in section.casefold()
        found = [
            Change("mixture" if is_mixture else "code", where if is_mixture else f"{section}: {where}", before, after)
            for where, before, after in data_changes(was, now)
        ]
        yield from found
        if found:
            return
    if old is None or new is None or old.content != new.content:
        yield Change("code", f"{section}: code", *(side(fence, lambda fence: fence.content) for fence in (old, new)))
    elif old.language != new.language:
        yield Change("code", f"{section}: language of the code", old.language, new.language)


def _mapping(fence: Fence | None) -> Mapping[str, Any] | None:
    if fence is None or fence.language not in ("yaml", "yml"):
        return None
    try:
        data = parse_yaml(fence.content, "code")
    except SpecError:
        return None
    return data if isinstance(data, dict) else None


def plot_changes(section: str, old: Paragraph | None, new: Paragraph | None) -> Iterator[Change]:
    """What differs between two paragraphs of images."""
    was, now = (side(part, _addresses) for part in (old, new))
    if was != now:
        yield Change("plot", f"{section}: plot", was, now)
    if old and new and old.text != new.text:
        yield Change("plot", f"{section}: plot {now}, alternative text", old.text, new.text)
    elif old and new and was == now:
        yield from link_changes(section, old, new)


def wording_changes(section: str, old: Part | None, new: Part | None) -> Iterator[Change]:
    """What differs between two parts that hold words or HTML."""
    was, now = (side(part, text_of) for part in (old, new))
    if was != now:
        yield Change("plot" if "<img" in f"{was}{now}" else "text", section, was, now)
    elif old and new:
        yield from link_changes(section, old, new)


def side(part: P | None, text: Callable[[P], str]) -> str | None:
    """Text of a part for one side of a change; None if the part is not there."""
    return None if part is None else text(part)


def _addresses(plot: Paragraph) -> str:
    return ", ".join(link.address for link in plot.links if link.is_image)


def link_changes(section: str, old: Part, new: Part) -> Iterator[Change]:
    """Addresses that differ below equal text."""
    was, now = ([(link.text, link.address, link.is_image) for link in part.links] for part in (old, new))
    gone, added = Counter(was) - Counter(now), Counter(now) - Counter(was)
    for text, is_image in dict.fromkeys((text, is_image) for text, _, is_image in (*gone, *added)):
        olds, news = (
            ", ".join(address for name, address, image in found.elements() if (name, image) == (text, is_image))
            for found in (gone, added)
        )
        yield Change("plot" if is_image else "fact", f"{section}: link {text}", olds or None, news or None)
