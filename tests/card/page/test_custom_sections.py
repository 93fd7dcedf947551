from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.card.markdown.parse import front_matter, read_card
from mixhub.card.page.custom import Page, parse_custom_sections, read_custom_sections
from mixhub.errors import SpecError
from tests.refusals import codes, refused

CARDS = sorted((Path(__file__).parents[3] / "model_cards").glob("*/README.md"))
BODY = """\
# A family

A summary.

| a |
|---|
| b |

## Data

Text.

### Sources

More.

```bash
## no heading
```

## Limits

- One.

## Citation

Cite.

---

Rendered by mixhub from facts.
"""


def applied(text: str, body: str = BODY) -> str:
    return parse_custom_sections(text, "card.md").apply(body)


def headings(markdown: str) -> list[str]:
    return [heading.text for heading in read_card(markdown).of_kind("heading") if heading.level < 3]


def test_no_words_leave_the_body_as_it_is() -> None:
    assert applied("") == BODY
    assert applied(" \n\n") == BODY


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_no_words_leave_the_shipped_cards_as_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = front_matter(text)
    assert head is not None
    assert applied("", text[head.end :]) == text[head.end :].lstrip()
    own = applied("## Limits\n\nOnly ours.\n", text[head.end :])
    assert own.endswith(text[text.rindex("\n---\n") :])
    assert "Only ours." in own


def test_text_before_the_first_heading_goes_behind_the_first_part() -> None:
    made = applied("Our own *words*.\n\n### A small heading\n\nMore of ours.\n")
    assert "| b |\n\nOur own *words*.\n\n### A small heading\n\nMore of ours.\n\n## Data\n" in made


def test_a_title_replaces_the_title() -> None:
    assert applied("# Our *title*\n") == BODY.replace("# A family", "# Our *title*")
    assert applied("Our\ntitle\n===\n\nwords\n").startswith("# Our title\n\nA summary.\n")
    assert applied("# T\n", "## Data\n\nx\n") == "# T\n\n## Data\n\nx\n"


def test_a_heading_that_the_card_has_replaces_its_section() -> None:
    made = applied("##   dAta  \n\nOurs.\n\n### Part\n\nx\n")
    assert made == BODY.replace(
        BODY[BODY.index("## Data") : BODY.index("## Limits")], "##   dAta  \n\nOurs.\n\n### Part\n\nx\n\n"
    )
    assert "no heading" not in made


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("## New\n\nx", ["Data", "New", "Limits", "Citation"]),
        ("## New\n\nx\n## Newer\n\ny", ["Data", "New", "Newer", "Limits", "Citation"]),
        ("## Data\n\nx\n## New\n\ny\n## Newer\n\nz", ["Data", "New", "Newer", "Limits", "Citation"]),
        ("## Citation\n\nx\n## New\n\ny", ["Data", "Limits", "Citation", "New"]),
        ("## New\n\nx\n## Data\n\ny\n## Newer\n\nz", ["Data", "Newer", "New", "Limits", "Citation"]),
        ("New\n---\n\nx", ["Data", "New", "Limits", "Citation"]),
    ],
)
def test_new_sections_have_their_places(text: str, order: list[str]) -> None:
    made = applied(text)
    assert headings(made) == ["A family", *order]
    assert made.endswith("\n\n---\n\nRendered by mixhub from facts.\n")


def test_new_sections_where_a_card_has_neither_limits_nor_citation() -> None:
    body = "# T\n\n## Data\n\nx\n\n---\n\nRendered by mixhub.\n"
    assert applied("## New\n\ny", body) == body.replace("x\n", "x\n\n## New\n\ny\n")
    assert headings(applied("## New\n\ny", body.replace("Data", "Citation"))) == ["T", "New", "Citation"]
    assert applied("## New\n\ny", "words\n\n---\n\nand more\n") == "words\n\n---\n\nand more\n\n## New\n\ny\n"


def test_a_heading_in_code_a_comment_or_a_quotation_is_none() -> None:
    text = "## New\n\n```\n## Data\n```\n\n<!--\n\n## Limits\n\n-->\n\n> ## Citation\n\n~~~~\n~~~\n## Data\n~~~~\n"
    made = applied(text)
    assert made == BODY.replace("## Limits\n\n- One.", text + "\n## Limits\n\n- One.")


def test_blank_lines_and_line_ends_of_the_file_do_not_matter() -> None:
    text = "Opening.\n\n## New\n\n    code\n\n\n    more\n\n## Newer\n\ny\n"
    spread = "\ufeff\r\n\r\n" + text.replace("\n", "\r\n").replace("## ", "\r\n\r\n## ") + "\r\n \r\n"
    assert applied(spread) == applied(text)
    assert "    code\n\n\n    more\n\n## Newer\n\ny\n\n## Limits" in applied(text)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("## New\n\n## Newer\n\nx\n", [(1, "custom-section-empty")]),
        ("## New\n\n<!-- later -->\n", [(1, "custom-section-empty")]),
        ("words\n---\n", [(1, "custom-section-empty")]),
        ("##\n\nx\n", [(1, "custom-heading-empty")]),
        ("## A\n\nx\n\n## B\n\n## a \n\ny\n", [(5, "custom-section-empty"), (7, "custom-heading-repeated")]),
        ("x\n\n# T\n", [(3, "custom-title-misplaced")]),
        ("# T\n\n# U\n", [(3, "custom-title-misplaced")]),
        ("# \n\nx\n", [(1, "custom-heading-empty")]),
        ("## A\n\n```python\nx\n\n## B\n", [(3, "custom-unclosed")]),
        ("## A\n\n~~~~\nx\n~~~\n", [(3, "custom-unclosed")]),
        ("```", [(1, "custom-unclosed")]),
        ("## A\n\nx\n<!-- a -->\n\n<!-- b\n\n## B\n", [(6, "custom-unclosed")]),
        ("<div>\n<!-- a\n\nb\n</div>\n", [(1, "custom-unclosed")]),
        ("x\n\n<pre>\n\n## B\n", [(3, "custom-unclosed")]),
    ],
)
def test_every_problem_is_named_with_its_line(text: str, problems: list[tuple[int, str]]) -> None:
    with refused("spec-invalid", SpecError, file="card.md") as caught:
        parse_custom_sections(text, "card.md")
    found = [(problem.key, problem.code) for problem in caught.value.problems]
    assert found == [(f"line {line}", code) for line, code in problems]


@pytest.mark.parametrize(
    ("text", "opened"),
    [("~~~~\nx\n", "~~~~"), ("<!-- b", "<!--"), ("<pre>\n\n## B", "<pre>")],
)
def test_what_is_not_closed_is_named(text: str, opened: str) -> None:
    with refused("spec-invalid") as caught:
        parse_custom_sections(text, "card.md")
    assert caught.value.problems[0].rule.startswith(f"{opened} is not closed")


@pytest.mark.parametrize(
    "text",
    ["```\nx\n```", "> ```\n> x\n> ```", "- ```\n  x\n  ```\n", "`<!--` is code", "\\<!-- is text",
     "<!-- a\n\nb -->", "a <!-- b\nc --> d",
     "<!-- a --> b <!-- c -->", "<pre>\n\nx\n</pre>", "````\n```\n````", "<!--> x", "    ```"],
)  # fmt: skip
def test_what_is_closed_passes(text: str) -> None:
    assert applied(text) == BODY.replace("## Data", f"{text.strip(chr(10))}\n\n## Data")


def test_a_section_may_have_only_a_subheading() -> None:
    (section,) = parse_custom_sections("## A\n\n### B\n", "card.md").sections
    assert section.markdown == "## A\n\n### B"


def test_metadata_has_another_place() -> None:
    with refused("spec-invalid", SpecError) as caught:
        parse_custom_sections("---\nlicense: mit\n---\n\n## A\n\nx\n", "card.md")
    assert [(problem.key, problem.code) for problem in caught.value.problems] == [("line 1", "custom-metadata")]
    assert "mixhub.yaml" in str(caught.value.hint)


def test_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    assert read_custom_sections(path) is None
    path.write_bytes("\ufeffGrüße.\r\n".encode())
    assert read_custom_sections(path) == Page("", "Grüße.", ())
    path.write_bytes(b"a\nb\nGr\xfc\xdfe\n")
    with refused("spec-invalid", SpecError, file=str(path)) as caught:
        read_custom_sections(path)
    assert [(problem.key, problem.code) for problem in caught.value.problems] == [("line 3", "file-malformed")]
    with refused("spec-invalid", SpecError, file=str(tmp_path)) as caught:
        read_custom_sections(tmp_path)
    assert codes(caught.value.problems) == ["file-unreadable"]


PIECES = st.sampled_from(
    ["# T", "## A", "## B", "## Data", "## Limits", "### c", "words", "- item", "> quote", "```", "~~~", "<!--", "-->",
     "<div>", "---", "===", "    code", "| a |\n|---|\n| b |", "", "", "\n"]
)  # fmt: skip
WORDS = st.lists(PIECES, max_size=12).map("\n".join)


@settings(max_examples=300)
@given(WORDS)
def test_whatever_is_accepted_leaves_the_rest_of_the_card_whole(text: str) -> None:
    try:
        words = parse_custom_sections(text, "card.md")
    except SpecError:
        return
    made = words.apply(BODY)
    assert words.apply(BODY) == made
    own = {section.key for section in words.sections}
    kept = [name for name in ("data", "limits", "citation") if name not in own]
    assert sorted(name.casefold() for name in headings_of_parts(made)) == sorted([*own, *kept])
    assert made.endswith("\n\n---\n\nRendered by mixhub from facts.\n")
    for section in words.sections:
        assert f"\n\n{section.markdown}\n\n" in made


def headings_of_parts(markdown: str) -> list[str]:
    return [heading.text for heading in read_card(markdown).of_kind("heading") if heading.level == 2]
