from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.card.diff.cards import card_changes
from mixhub.card.diff.change import Change
from mixhub.card.markdown.parse import read_card
from mixhub.errors import SpecError
from tests.refusals import codes, refused

CARDS = {
    path.parent.name: path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[3] / "model_cards").glob("*/README.md"))
}
CARD = """\
---
license: mit
tags:
- a
- b
model-index:
- name: x
  results:
  - task: {type: text-generation}
    dataset: {name: SciQ, type: sciq}
    metrics:
    - {type: acc, value: 81.5, name: 'score, mean of 2 seeds', args: {sd: 0.5}}
    - {type: acc, value: 81.0, name: 'score, seed 1', args: {seed: 1}}
    - {type: acc, value: 82.0, name: 'score, seed 2', args: {seed: 2}}
---

# A family

Two models, alike but for the seed.

| | |
|:--|:--|
| Size | 1,000 parameters |

## Data mixture

```yaml
train:
  arxiv: 0.25
  books: 0.75
```

| Domain | Share | Tokens |
|:--|--:|--:|
| `arxiv` | 25% | 1M |
| `books` | 75% | 3M |

## Training

| Hyperparameter | Value | Origin |
|:--|:--|:--|
| Learning Rate | 4e-4 | published |
| Steps | 12 | chosen |

## Results

![scores](plots/scores.svg)

| Seed | PIQA | SciQ |
|:--|--:|--:|
| 1 | 60.00 | 81.00 |
| 2 | — | 82.00 |
| mean ± sd | — | 81.50 ± 0.50 |

```python
load("x")
load("y")
```

### By task

| Task | Documents | Chance |
|:--|--:|--:|
| SciQ | 1,000 | 25.00 |

## Limits

- They are good for nothing.
- A [link](https://example.org/a).

<!-- a note -->

---

Rendered by mixhub.
"""
EDITS = {
    ("| 81.00 |", "| 81.25 |"): ["SciQ seed 1: 81.00 → 81.25"],
    ("| — | 82.00 |", "| 65.10 | 82.00 |"): ["PIQA seed 2: new, 65.10"],
    ("81.50 ± 0.50", "81.50 ± 0.75"): ["SciQ mean ± sd: 81.50 ± 0.50 → 81.50 ± 0.75"],
    ("| 4e-4 |", "| 3e-4 |"): ["Learning Rate: 4e-4 → 3e-4"],
    ("12 | chosen", "12 | inferred"): ["Steps, Origin: chosen → inferred"],
    ("1,000 parameters", "1,001 parameters"): ["Size: 1,000 parameters → 1,001 parameters"],
    ("25% | 1M", "20% | 1M"): ["Data mixture: arxiv, Share: 25% → 20%"],
    ("arxiv: 0.25", "arxiv: 0.2"): ["train.arxiv: 0.25 → 0.2"],
    ("1,000 | 25.00", "1,000 | 20.00"): ["By task: SciQ, Chance: 25.00 → 20.00"],
    ("license: mit", "license: apache-2.0"): ["license: mit → apache-2.0"],
    ("- a\n- b\n", "- b\n- c\n- d\n"): ["tags: - a", "tags: + c", "tags: + d"],
    ("value: 82.0,", "value: 83.0,"): ["model-index, SciQ, score, seed 2: 82.0 → 83.0"],
    ("sd: 0.5}", "sd: 0.6}"): ["model-index, SciQ, score, mean of 2 seeds, args.sd: 0.5 → 0.6"],
    ("# A family", "# The family"): ["title: A family → The family"],
    ("Two models", "Three models"): [
        "first part: Two models, alike but for the seed. → Three models, alike but for the seed."
    ],
    ("example.org/a", "example.org/b"): ["Limits: A [link](https://example.org/a). → A [link](https://example.org/b)."],
    ("- They are good for nothing.\n", ""): ["Limits: gone, They are good for nothing."],
    ("a note", "the note"): ["Limits: <!-- a note --> → <!-- the note -->"],
    ('load("y")', 'load("z")'): ['Results: code changed\n  - load("y")\n  + load("z")'],
    ("plots/scores.svg", "plots/all.svg"): ["Results: plot: plots/scores.svg → plots/all.svg"],
    ("![scores]", "![all scores]"): ["Results: plot plots/scores.svg, alternative text: scores → all scores"],
    ("Rendered by", "Made by"): ["footer: Rendered by mixhub. → Made by mixhub."],
}


def lines(old: str, new: str) -> list[str]:
    return [str(change) for change in card_changes(old, new)]


def edited(*edits: tuple[str, str], card: str = CARD) -> str:
    for old, new in edits:
        assert card.count(old) == 1, old
        card = card.replace(old, new)
    return card


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit[0]} to {edit[1]}")
def test_one_edit_is_told_in_its_own_words(edit: tuple[str, str]) -> None:
    assert lines(CARD, edited(edit)) == EDITS[edit]


@settings(max_examples=60)
@given(st.sets(st.sampled_from(sorted(EDITS)), min_size=2))
def test_edits_do_not_hide_each_other(edits: set[tuple[str, str]]) -> None:
    # A changed address and a changed text of one image, or all of a short list, read differently together.
    if {("plots/scores.svg", "plots/all.svg"), ("![scores]", "![all scores]")} <= edits:
        return
    expected = sorted(line for edit in edits for line in EDITS[edit])
    assert sorted(lines(CARD, edited(*edits))) == expected


def test_kinds() -> None:
    kinds = {edit: {change.kind for change in card_changes(CARD, edited(edit))} for edit in EDITS}
    assert kinds[("| 81.00 |", "| 81.25 |")] == {"figure"}
    assert kinds[("| 4e-4 |", "| 3e-4 |")] == {"fact"}
    assert kinds[("25% | 1M", "20% | 1M")] == kinds[("arxiv: 0.25", "arxiv: 0.2")] == {"mixture"}
    assert kinds[("license: mit", "license: apache-2.0")] == {"metadata"}
    assert kinds[("plots/scores.svg", "plots/all.svg")] == {"plot"}
    assert kinds[('load("y")', 'load("z")')] == {"code"}
    assert kinds[("Two models", "Three models")] == {"text"}


def test_a_figure_of_the_model_index_that_a_table_tells_is_not_told_again() -> None:
    table = ("| — | 82.00 |", "| — | 83.00 |")
    mean = ("81.50 ± 0.50", "82.00 ± 1.00")
    index = [("value: 82.0,", "value: 83.0,"), ("value: 81.5,", "value: 82.0,"), ("sd: 0.5}", "sd: 1.0}")]
    told = ["SciQ seed 2: 82.00 → 83.00", "SciQ mean ± sd: 81.50 ± 0.50 → 82.00 ± 1.00"]
    assert lines(CARD, edited(table, mean, *index)) == told
    contradicting = edited(table, ("value: 82.0,", "value: 84.0,"))
    assert lines(CARD, contradicting) == ["model-index, SciQ, score, seed 2: 82.0 → 84.0", told[0]]


def test_rows_columns_and_tables_that_are_new_or_gone_take_a_line() -> None:
    row = edited(("| mean", "| 3 | 61.00 | 83.00 |\n| mean"))
    assert lines(CARD, row) == ["seed 3: new, 61.00, 83.00"]
    assert lines(row, CARD) == ["seed 3: gone"]
    assert lines(CARD, edited(("| Steps | 12 | chosen |\n", ""))) == ["Steps: gone"]
    assert lines(CARD, edited(("| `books` | 75% | 3M |\n", ""))) == ["Data mixture: books: gone"]
    without = CARD
    for old, new in [("PIQA | ", ""), (":--|--:|--:|\n| 1", ":--|--:|\n| 1"), ("60.00 | ", ""), ("2 | — | ", "2 | "),
                     ("sd | — | ", "sd | ")]:  # fmt: skip
        without = edited((old, new), card=without)
    assert lines(CARD, without) == ["column PIQA: gone"]
    assert lines(without, CARD) == ["column PIQA: new, 60.00, —, —"]
    table = CARD[CARD.index("| Task") : CARD.index("\n## Limits")]
    assert lines(CARD, edited((table, "x\n"))) == ["By task: table: gone", "By task: new, x"]


def test_orders() -> None:
    rows = "| `arxiv` | 25% | 1M |\n", "| `books` | 75% | 3M |\n"
    assert lines(CARD, edited(("".join(rows), "".join(reversed(rows))))) == [
        "Data mixture: order of the rows: arxiv, books → books, arxiv"
    ]
    limits = CARD[CARD.index("## Limits") : CARD.index("<!--")]
    moved = edited((limits, "")).replace("## Training", f"{limits}## Training")
    assert [line for line in lines(CARD, moved) if "order" in line] == [
        "order of the sections: Data mixture, Training, Results, By task, Limits, footer → "
        "Data mixture, Limits, Training, Results, By task, footer"
    ]
    assert lines(CARD, edited(("- a\n- b\n", "- b\n- a\n"))) == ["tags, order: a, b → b, a"]
    plot = "![scores](plots/scores.svg)\n\n"
    assert lines(CARD, edited((plot, "")).replace("### By", f"{plot}### By")) == [
        "Results: its parts stand in another order"
    ]


def test_sections() -> None:
    without = edited((CARD[CARD.index("## Limits") : CARD.index("\n---\n\nRendered")], ""))
    assert lines(CARD, without) == [
        "section Limits: gone, - They are good for nothing. - A [link](https://example.org/a). <!-- a note -->"
    ]
    assert lines(without, CARD)[0].startswith("section Limits: new, - They are")
    assert lines(CARD, edited(("## Limits", "## Known limits"))) == ["heading: Limits → Known limits"]


MARKUP = "the text differs in white space or markup only, first in line"


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (("## Limits", "## Limits ##"), "66: ## Limits → ## Limits ##"),
        (("| 81.00 |", "|  81.00 |"), "51"),
        (("|:--|--:|--:|\n| 1", "|:--|:--|--:|\n| 1"), "50: |:--|--:|--:| → |:--|:--|--:|"),
        (("license: mit", "license: 'mit'"), "2: license: mit → license: 'mit'"),
        (("\n## Limits", "\n\n## Limits"), "66"),
        (("- They are", "* They are"), "68: - They are good for nothing. → * They are good for nothing."),
    ],
)
def test_what_differs_in_markup_only_is_told(edit: tuple[str, str], line: str) -> None:
    assert lines(CARD, edited(edit)) == [f"{MARKUP} {line}"]


def test_markup_is_told_beside_other_changes() -> None:
    told = lines(CARD, edited(("## Limits", "## Limits ##"), ("| 4e-4 |", "| 3e-4 |")))
    assert told == ["Learning Rate: 4e-4 → 3e-4", f"{MARKUP} 66: ## Limits → ## Limits ##"]
    several = edited(("## Limits", "## Limits ##"), ("# A family", "# A family #"), ("They are", "They  are"))
    assert lines(CARD, several) == [
        f"{MARKUP.replace(', first', ', in 3 places, first')} 17: # A family → # A family #"
    ]
    assert lines(CARD, f"{CARD}\n") == [f"{MARKUP} 76"]
    assert lines(CARD, CARD.replace("\n", "\r\n")) == ["the text differs in line ends or a byte order mark only"]


def test_a_long_text_is_shortened_around_what_differs() -> None:
    words = [f"word{n}" for n in range(100)]
    change = Change("text", "Limits", " ".join(words), " ".join([*words[:50], "other", *words[51:]]))
    assert str(change) == (
        "Limits: … word47 word48 word49 word50 word51 word52 word53 … → "
        "… word47 word48 word49 other word51 word52 word53 …"
    )
    long = Change("text", "Limits", "a " * 200, "b " * 200)
    assert len(str(long)) < 260
    assert str(Change("figure", "seed 3", None, "1, " * 200)).endswith(" 1, 1, 1, … 1, 1, 1, 1, 1, 1, 1, 1,")


def test_cells_of_the_same_name_are_told_apart() -> None:
    table = "| Seed | SciQ |\n|:--|--:|\n| 1 | 70.00 |\n"
    card = edited(("## Limits\n", f"## Older\n\n{table}\n## Limits\n"))
    assert lines(card, card.replace("70.00", "71.00")) == ["Older, SciQ seed 1: 70.00 → 71.00"]
    assert lines(card, card.replace("| 60.00 |", "| 61.00 |")) == ["PIQA seed 1: 60.00 → 61.00"]


@pytest.mark.parametrize("headers", ["| a | a | a (2) |", "| a | a (2) | a |"])
def test_repeated_headers_rows_and_headings_hide_nothing(headers: str) -> None:
    card = f"# T\n\n## A\n\n{headers}\n|---|---|---|\n| x | 1 | 2 |\n| x | 3 | 4 |\n\n## A\n\nb\n\n## A (2)\n\nc\n"
    for old in "1234":
        (change,) = card_changes(card, card.replace(f" {old} ", " 9 "))
        assert (change.old, change.new) == (old, "9")
    assert len(lines(card, card.replace("\nb\n", "\nd\n").replace("\nc\n", "\ne\n"))) == 4


def test_one_change_of_many_entries_takes_a_line() -> None:
    card = CARDS["human-1b"]
    entries = card.count("    - type: accuracy\n")
    assert entries == 84
    (line,) = lines(card, card.replace("type: accuracy", "type: acc"))
    assert line == "model-index, type, 84 entries: accuracy → acc"
    gone = lines(card, re.sub(r"(?s)model-index:.*?\n---\n", "---\n", card, count=1))
    assert len(gone) == 6
    assert gone[1].startswith("model-index, score, seed 1, 14 entries: - PIQA 65.0, ")


def test_metadata_that_cannot_be_read_is_an_error() -> None:
    with refused("spec-invalid", SpecError, file="cards/x.md:1") as caught:
        card_changes("---\n- a\n---\n", CARD, sources=("cards/x.md", "the new card"))
    assert codes(caught.value.problems) == ["metadata-malformed"]


def test_odd_metadata_is_compared_key_by_key() -> None:
    old = "---\na: {b: [1, {c: 2}], d: }\nmodel-index: 3\ne: 1\n---\n"
    new = "---\na: {b: [1, {c: 4}]}\nmodel-index: 5\ne: '1'\n---\n"
    assert lines(old, new) == ["a.b.1.c: 2 → 4", "a.d: - null", "model-index: 3 → 5", 'e: 1 → "1"']


def test_a_card_of_human_1b_rendered_with_another_score() -> None:
    card = CARDS["human-1b"]
    new = card.replace("82.48", "82.51")
    assert lines(card, new)[0] == "SciQ seed 3: 82.48 → 82.51"
    start = time.perf_counter()
    card_changes(card, new)
    assert time.perf_counter() - start < 0.3 * 5  # five times what is aimed at: machines that run tests are busy


EDITED = st.sampled_from(["figure", "row", "word", "metadata", "insert", "swap", "cut"])


def _edit(text: str, kind: str, at: int, piece: str) -> str:
    lines = text.split("\n")
    last = (read_card(text).metadata_lines or (0, 0))[1]
    if kind == "figure":
        found = list(re.finditer(r"\d+\.\d+", text))
        number = found[at % len(found)]
        return f"{text[: number.start()]}{at % 100}.5{text[number.end() :]}"
    if kind == "word":
        found = list(re.finditer(r"[A-Za-z]{4,}", "\n".join(lines[last:])))
        offset = len("\n".join(lines[:last])) + 1
        word = found[at % len(found)]
        return f"{text[: offset + word.start()]}{piece}{text[offset + word.end() :]}"
    if kind == "metadata":
        return text.replace("license: mit", f"license: x{at}", 1)
    if kind == "insert":
        place = last + at % (len(lines) - last)
        return "\n".join([*lines[:place], piece, *lines[place:]])
    place = last + at % (len(lines) - last - 1)
    if kind == "swap":
        lines[place], lines[place + 1] = lines[place + 1], lines[place]
    else:
        del lines[place]
    return "\n".join(lines)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(CARDS)),
    st.lists(
        st.tuples(
            EDITED,
            st.integers(0, 5000),
            st.sampled_from(
                ["word", "**x**", "| a | b |", "```", "# x", "## Data", "- i", "<!--", "---", "", "[a]: b"]
            ),
        ),
        max_size=4,
    ),
)
def test_there_are_changes_if_and_only_if_the_cards_differ(name: str, edits: list[tuple[str, int, str]]) -> None:
    old = new = CARDS[name]
    for edit in edits:
        new = _edit(new, *edit)
    changes = card_changes(old, new)
    assert bool(changes) == (old != new)
    assert all(map(str, changes))
