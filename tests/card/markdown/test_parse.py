from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.card.markdown.parse import Anchors, front_matter, read_card, split_lines
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
    assert card.metadata_lines == (1, 5)
    title = "A card of x"
    assert [(h.level, h.text, h.anchor, h.line, h.section) for h in card.headings] == [
        (1, title, "a-card-of-x", 7, ()),
        (2, "Results & more", "results--more", 12, (title,)),
        (3, "Over seeds", "over-seeds", 14, (title, "Results & more")),
        (2, "Quoted", "quoted", 24, (title, "Results & more", "Over seeds")),
        (2, "Notes", "notes", 38, (title,)),
    ]
    assert [heading.is_outermost for heading in card.headings] == [True, True, True, False, True]
    (table,) = card.tables
    assert (table.line, table.section) == (16, (title, "Results & more", "Over seeds"))
    assert (table.headers, table.rows) == (("Seed", "SciQ"), (("1", "80"), ("2", "a | b")))
    assert [(p.text, p.line) for p in card.paragraphs] == [
        ("See the paper and a plot or bold <text>.", 9),
        ("an item with two lines, two", 21),
        ("words", 25),
        ("End.", 41),
    ]
    assert card.paragraphs[1].markdown == "an item with *two* lines, [two](#links)"
    assert card.paragraphs[3].section == (title, "Notes")


def test_links_code_and_html_have_their_lines() -> None:
    card = read_card(CARD)
    assert [(link.text, link.address, link.line, link.is_image) for link in card.links] == [
        ("the paper", "https://example.org/p", 9, False),
        ("a plot", "plots/a.svg", 10, True),
        ("80", "https://example.org/s", 18, False),
        ("two", "#links", 22, False),
    ]
    assert [(f.language, f.content, f.line) for f in card.fences] == [
        ("python", "## no heading\n", 27),
        ("", "indented\n", 31),
    ]
    assert [(html.content.strip(), html.line) for html in card.html] == [
        ("<b>", 10),
        ("</b>", 10),
        ("<details>\n<summary>More</summary>", 33),
        ("</details>", 36),
    ]
    for part in card.parts:
        assert card.lines[part.line - 1].strip()


def test_an_image_in_a_link_is_both() -> None:
    card = read_card("[![alt *text*](a.png)](https://example.org/b)\n")
    assert [(link.text, link.address, link.is_image) for link in card.links] == [
        ("alt text", "https://example.org/b", False),
        ("alt text", "a.png", True),
    ]
    assert card.paragraphs[0].text == "alt text"


def test_anchors_are_those_of_the_page() -> None:
    anchors = Anchors()
    names = ["Data", "Data", "data-1", "Data", "95 % (n = 5)", "Größe_x", "C++", " ½ ", ""]
    assert [anchors.add(name) for name in names] == [
        *("data", "data-1", "data-1-1", "data-2", "95--n--5", "größe_x", "c", "--", ""),
    ]


def test_a_card_without_metadata() -> None:
    card = read_card("\n# T\n\nwords\n")
    assert (card.metadata, card.metadata_lines) == ({}, None)
    assert [part.line for part in card.parts] == [2, 4]
    assert read_card("").parts == ()
    assert read_card("---\n# nothing\n---\nx").metadata == {}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_a_byte_order_mark_change_nothing(end: str) -> None:
    strange = read_card("\ufeff" + CARD.replace("\n", end))
    plain = read_card(CARD)
    assert (strange.metadata, strange.metadata_lines, strange.lines) == (
        plain.metadata,
        plain.metadata_lines,
        plain.lines,
    )
    assert strange.parts == plain.parts


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
def test_metadata_that_is_no_mapping(text: str, place: str, code: str) -> None:
    with refused("spec-invalid", SpecError, file=place) as caught:
        read_card(text)
    assert codes(caught.value.problems) == [code]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["---", "--- ", "\n", "\r\n", "\r", " ", "a: 1", "b: x", "# t", "words"])).map("".join))
def test_metadata_is_found_where_the_hubs_client_finds_it(text: str) -> None:
    head = front_matter(text)
    try:
        card = ModelCard(text)
    except (ValueError, TypeError, yaml.YAMLError):
        with pytest.raises(SpecError):
            read_card(text)
        return
    assert card.text == (text[head.end :] if head else text)
    if head:
        lines = split_lines(text)
        assert [lines[line - 1].strip() for line in head.lines] == ["---", "---"]


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_shipped_cards_are_read_whole(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    card = read_card(text)
    assert card.metadata == yaml.safe_load(front_matter(text).yaml)  # type: ignore[union-attr]
    for part in (*card.headings, *card.tables, *card.fences):
        start = card.lines[part.line - 1]
        assert re.match(r"#|\||```", start), start
