"""What a new render of a card changes, as facts: figures, hyperparameters, metadata, text."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import zip_longest
from typing import Any

from mixhub.card.diff.change import Change
from mixhub.card.diff.metadata import flatten, metadata_changes, value_changes
from mixhub.card.diff.tables import scores_by_run, table_changes, unique
from mixhub.card.markdown.parse import Block, Kind, ReadCard, read_card, split_lines
from mixhub.errors import SpecError
from mixhub.spec.base import parse_yaml


def card_changes(old: str, new: str, *, sources: tuple[str, str] = ("old card", "new card")) -> tuple[Change, ...]:
    """Return what differs between two cards: the metadata, then the sections in the order of the new card.

    Differences in layout and order, and in names of the model-index, are reported only if there is no other.

    Args:
        old: the whole text of a card.
        new: the whole text of another.
        sources: name them in errors.

    Raises:
        SpecError: the metadata of one is not a YAML mapping.
    """
    if old == new:
        return ()
    before, after = read_card(old, sources[0]), read_card(new, sources[1])
    was, now = _scores(before), _scores(after)
    changed = {name for name in {*was, *now} if was.get(name) != now.get(name)}
    repeated = {name for scores in (was, now) for name, texts in scores.items() if len(texts) > 1}
    changes = [*metadata_changes(before.metadata, after.metadata, changed)]
    changes += _section_changes(_sections(before), _sections(after), repeated)
    what = "white space, markup or order" if before.metadata == after.metadata else "a detail of the metadata"
    return tuple(changes) or (_first_change(old, new, what),)


def _scores(card: ReadCard) -> dict[str, list[str]]:
    """The cells of tables with a row per model, by name; a list, since several tables can have the same name."""
    scores: dict[str, list[str]] = {}
    for name, text in scores_by_run(card):
        scores.setdefault(name, []).append(text)
    return scores


def _sections(card: ReadCard) -> dict[str, list[Block]]:
    """The title, and the blocks below each heading, up to the next; repeated headings are numbered."""
    title = next((block for block in card.blocks if block.kind == "heading"), None)
    title = title if title and title.level == 1 else None
    sections: list[tuple[str, list[Block]]] = [("title", [title] if title else []), ("first part", [])]
    for block in card.blocks:
        if block is title:
            continue
        if block.kind in ("heading", "rule"):
            sections.append((block.text if block.kind == "heading" else "footer", []))
        else:
            sections[-1][1].append(block)
    return dict(zip(unique([name for name, _ in sections]), (blocks for _, blocks in sections), strict=True))


def _section_changes(
    old: Mapping[str, Sequence[Block]], new: Mapping[str, Sequence[Block]], repeated: Container[str]
) -> Iterator[Change]:
    for name in dict.fromkeys((*new, *old)):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            yield Change(f"section {name}", None if was is None else _text(was), None if now is None else _text(now))
            continue
        for before, after in _paired("table", was, now):
            yield from table_changes(name, before, after, repeated)
        for before, after in _paired("code", was, now):
            yield from _code_changes(name, before, after)
        yield from _text_changes(name, was, now)


def _paired(kind: Kind, old: Sequence[Block], new: Sequence[Block]) -> Iterator[tuple[Block | None, Block | None]]:
    """Pair tables by their first header, and code by its language."""
    was, now = (
        dict(zip(unique(["".join(one.headers[:1]) or one.language for one in blocks]), blocks, strict=True))
        for blocks in ([one for one in blocks if one.kind == kind] for blocks in (old, new))
    )
    return ((was.get(name), now.get(name)) for name in dict.fromkeys((*now, *was)))


def _code_changes(section: str, old: Block | None, new: Block | None) -> Iterator[Change]:
    """The values of YAML that differ, or else the code."""
    was, now = (_values(block) for block in (old, new))
    if was and now:
        yield from value_changes(*({f"{section}, {key}": value for key, value in one.items()} for one in (was, now)))
    elif old is None or new is None or old.text != new.text:
        yield Change(f"{section}, code", old.text if old else None, new.text if new else None)


def _values(block: Block | None) -> dict[str, Any]:
    try:
        data = parse_yaml(block.text, "code") if block and block.language == "yaml" else None
        return dict(flatten(data)) if isinstance(data, dict) else {}
    except (SpecError, RecursionError):
        return {}


def _text_changes(section: str, old: Sequence[Block], new: Sequence[Block]) -> Iterator[Change]:
    was, now = ([block.text for block in blocks if block.kind not in ("table", "code")] for blocks in (old, new))
    left = [text for text in was if text not in now]
    for text in now:
        if text not in was:
            match = next(iter(get_close_matches(text, left, n=1)), None)
            yield Change(section, match, text)
            left = [other for other in left if other != match]
    yield from (Change(section, text, None) for text in left)


def _text(blocks: Sequence[Block]) -> str:
    return " ".join(block.text or ", ".join(block.headers) for block in blocks)


def _first_change(old: str, new: str, what: str) -> Change:
    pairs = zip_longest(split_lines(old), split_lines(new))
    for line, (was, now) in enumerate(pairs, start=1):
        if was != now:
            return Change(f"only {what} differs, first on line {line}", was or "", now or "")
    return Change("only line ends differ", "", "")
