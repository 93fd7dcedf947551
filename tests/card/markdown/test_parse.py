from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.card.markdown.parse import front_matter, read_card, split_lines
from mixhub.errors import SpecError
from tests.refusals import codes, refused

CARDS = sorted((Path(__file__).parents[3] / "model_cards").glob("*/README.md"))
CARD = """\
---
license: mit
tags:
- a
---

# A *card* of `x`

See [the `paper`](https://example.org/p) and
![a plot](plots/a.svg) or <b>bold</b> &lt;text&gt;.

## Results & more

### Over seeds

| Seed | `SciQ` |
|:-----|-------:|
| 1 | [80](https://example.org/s) |
| 2 | a \\| b |

- an item
  with *two* lines, [two](#links)

> ## Quoted
> words

```python
## no heading
```

    indented

<details>
<summary>More</summary>

</details>

Notes
-----

End.
"""


def test_a_card_is_read_with_sections_and_lines() -> None:
    card = read_card(CARD)
    assert card.metadata == {"license": "mit", "tags": ["a"]}
    assert card.head is not None
    assert card.head.lines == (1, 5)
    title = "A card of x"
    assert [(h.level, h.text, h.line, h.section) for h in card.of_kind("heading")] == [
        (1, title, 7, ()),
        (2, "Results & more", 12, (title,)),
        (3, "Over seeds", 14, (title, "Results & more")),
        (2, "Notes", 38, (title,)),
    ]
    (table,) = card.tables
    assert (table.line, table.section) == (16, (title, "Results & more", "Over seeds"))
    assert (table.headers, table.rows) == (("Seed", "SciQ"), (("1", "80"), ("2", "a | b")))
    assert [(p.text, p.line) for p in card.of_kind("text")][1:] == [
        ("an item with *two* lines, [two](#links)", 21),
        ("Quoted", 24),
        ("words", 25),
        ("End.", 41),
    ]
    assert card.of_kind("text")[-1].section == (title, "Notes")


def test_links_code_and_html_have_their_lines() -> None:
    card = read_card(CARD + "\n<p>\n<img src='c.png'>\n</p>\n\nInline <img src=\"d.png\">\n")
    assert [(link.text, link.address, link.line, link.is_image) for link in card.links] == [
        ("the paper", "https://example.org/p", 9, False),
        ("a plot", "plots/a.svg", 9, True),
        ("80", "https://example.org/s", 18, False),
        ("two", "#links", 21, False),
        ("", "c.png", 43, True),
        ("", "d.png", 47, True),
    ]
    assert [(code.language, code.text, code.line) for code in card.of_kind("code")] == [
        ("python", "## no heading\n", 27),
        ("", "indented\n", 31),
    ]
    assert [(html.text.strip(), html.line) for html in card.of_kind("html")][:2] == [
        ("<details>\n<summary>More</summary>", 33),
        ("</details>", 36),
    ]


def test_an_image_in_a_link_is_both() -> None:
    card = read_card("[![alt *text*](a.png)](https://example.org/b)\n")
    assert [(link.text, link.address, link.is_image) for link in card.links] == [
        ("alt text", "https://example.org/b", False),
        ("alt text", "a.png", True),
    ]


@pytest.mark.parametrize(
    ("path", "line"),
    [((), 2), (("a",), 3), (("b", "c"), 5), (("b", "1"), 4), (("d", "1"), 8), (("d", "9"), 6), (("e",), 2)],
)
def test_values_of_the_metadata_have_lines(path: tuple[str, ...], line: int) -> None:
    card = read_card("\n---\na: 1\nb:\n  c: 2\nd:\n- x\n- y\n---\n")
    assert card.metadata_line(*path) == line


def test_a_card_without_metadata() -> None:
    card = read_card("\n# T\n\nwords\n")
    assert (card.metadata, card.head) == ({}, None)
    assert [block.line for block in card.blocks] == [2, 4]
    assert read_card("").blocks == ()
    assert read_card("---\n# nothing\n---\nx").metadata == {}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_a_byte_order_mark_change_nothing(end: str) -> None:
    strange = read_card("\ufeff" + CARD.replace("\n", end))
    plain = read_card(CARD)
    assert strange.metadata == plain.metadata
    assert strange.metadata_line("license") == plain.metadata_line("license") == 2
    assert [(block.line, block.links, block.rows) for block in strange.blocks] == [
        (block.line, block.links, block.rows) for block in plain.blocks
    ]


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("---\n- a\n---\n", "card:1", "metadata-malformed"),
        ("---\n1: a\n---\n", "card:1", "metadata-malformed"),
        ("\n---\na: 1\nb: [\n---\n", "card:5:1", "yaml-malformed"),
        ("---\na: 1\nb: 2\na: 3\n---\n", "card:4:1", "key-repeated"),
        ("---\na: &x [*x]\n---\n", "card:1", "metadata-too-deep"),
    ],
)
def test_metadata_that_is_not_a_mapping(text: str, place: str, code: str) -> None:
    with refused("spec-invalid", SpecError, file=place) as caught:
        _ = read_card(text).metadata
    assert codes(caught.value.problems) == [code]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["---", "--- ", "\n", "\r\n", "\r", " ", "a: 1", "b: x", "# t", "words"])).map("".join))
def test_metadata_is_found_where_the_hubs_client_finds_it(text: str) -> None:
    head = front_matter(text)
    try:
        card = ModelCard(text)
    except (ValueError, TypeError, yaml.YAMLError):
        with pytest.raises(SpecError):
            _ = read_card(text).metadata
        return
    assert card.text == (text[head.end :] if head else text)
    if head:
        lines = split_lines(text)
        assert [lines[line - 1].strip() for line in head.lines] == ["---", "---"]


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_shipped_cards_are_read_completely(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    card = read_card(text)
    assert card.metadata == yaml.safe_load(front_matter(text).yaml)  # type: ignore[union-attr]
    for block in card.blocks:
        if block.kind not in ("heading", "table", "code"):
            continue
        start = split_lines(text)[block.line - 1]
        assert re.match(r"#|\||```", start), start
