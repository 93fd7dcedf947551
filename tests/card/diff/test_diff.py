from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixhub.card.diff.cards import card_changes
from mixhub.card.diff.change import Change
from mixhub.card.diff.tables import unique
from mixhub.card.markdown.parse import front_matter
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
    ("| 60.00 |", "| — (1 of 6 shots) |"): ["PIQA seed 1: 60.00 → — (1 of 6 shots)"],
    ("81.50 ± 0.50", "81.50 ± 0.75"): ["SciQ mean ± sd: 81.50 ± 0.50 → 81.50 ± 0.75"],
    ("| 4e-4 |", "| 3e-4 |"): ["Learning Rate: 4e-4 → 3e-4"],
    ("12 | chosen", "12 | inferred"): ["Steps, Origin: chosen → inferred"],
    ("1,000 parameters", "1,001 parameters"): ["Size: 1,000 parameters → 1,001 parameters"],
    ("25% | 1M", "20% | 1M"): ["Data mixture: arxiv, Share: 25% → 20%"],
    ("arxiv: 0.25", "arxiv: 0.2"): ["Data mixture, train.arxiv: 0.25 → 0.2"],
    ("1,000 | 25.00", "1,000 | 20.00"): ["By task: SciQ, Chance: 25.00 → 20.00"],
    ("license: mit", "license: apache-2.0"): ["license: mit → apache-2.0"],
    ("- a\n- b\n", "- b\n- c\n- d\n"): ["tags: a, b → b, c, d"],
    ("value: 82.0,", "value: 83.0,"): ["model-index, SciQ seed 2: 82.0 → 83.0"],
    ("sd: 0.5}", "sd: 0.6}"): ["model-index, SciQ mean ± sd: 81.5 ± 0.5 → 81.5 ± 0.6"],
    ("# A family", "# The family"): ["title: A family → The family"],
    ("Two models", "Three models"): [
        "first part: Two models, alike but for the seed. → Three models, alike but for the seed."
    ],
    ("example.org/a", "example.org/b"): ["Limits: A [link](https://example.org/a). → A [link](https://example.org/b)."],
    ("- They are good for nothing.\n", ""): ["Limits: gone, They are good for nothing."],
    ("a note", "the note"): ["Limits: <!-- a note --> → <!-- the note -->"],
    ('load("y")', 'load("z")'): ['Results, code: load("x") load("y") → load("x") load("z")'],
    ("plots/scores.svg", "plots/all.svg"): ["Results: ![scores](plots/scores.svg) → ![scores](plots/all.svg)"],
    ("![scores]", "![all scores]"): ["Results: ![scores](plots/scores.svg) → ![all scores](plots/scores.svg)"],
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
def test_each_edit_is_one_fact(edit: tuple[str, str]) -> None:
    assert lines(CARD, edited(edit)) == EDITS[edit]


@settings(max_examples=60)
@given(st.sets(st.sampled_from(sorted(EDITS)), min_size=2))
def test_edits_do_not_hide_each_other(edits: set[tuple[str, str]]) -> None:
    same_line = {("plots/scores.svg", "plots/all.svg"), ("![scores]", "![all scores]")}
    same_score = {("81.50 ± 0.50", "81.50 ± 0.75"), ("sd: 0.5}", "sd: 0.6}")}
    assume(not (same_line <= edits or same_score <= edits))
    expected = sorted(line for edit in edits for line in EDITS[edit])
    assert sorted(lines(CARD, edited(*edits))) == expected


def test_figures_are_marked() -> None:
    figures = {edit for edit in EDITS if any(change.is_figure for change in card_changes(CARD, edited(edit)))}
    assert figures == {
        ("| 81.00 |", "| 81.25 |"),
        ("| — | 82.00 |", "| 65.10 | 82.00 |"),
        ("| 60.00 |", "| — (1 of 6 shots) |"),
        ("81.50 ± 0.50", "81.50 ± 0.75"),
        ("1,000 | 25.00", "1,000 | 20.00"),
    }


def test_a_score_that_a_table_shows_is_not_repeated_from_the_model_index() -> None:
    table = ("| — | 82.00 |", "| — | 83.00 |")
    mean = ("81.50 ± 0.50", "82.00 ± 1.00")
    index = [("value: 82.0,", "value: 83.0,"), ("value: 81.5,", "value: 82.0,"), ("sd: 0.5}", "sd: 1.0}")]
    told = ["SciQ seed 2: 82.00 → 83.00", "SciQ mean ± sd: 81.50 ± 0.50 → 82.00 ± 1.00"]
    assert lines(CARD, edited(table, mean, *index)) == told


def test_new_and_gone_rows_columns_and_tables() -> None:
    row = edited(("| mean", "| 3 | 61.00 | 83.00 |\n| mean"))
    assert lines(CARD, row) == ["seed 3: new, 61.00, 83.00"]
    assert lines(row, CARD) == ["seed 3: gone, 61.00, 83.00"]
    assert lines(CARD, edited(("| Steps | 12 | chosen |\n", ""))) == ["Steps: gone, 12, chosen"]
    assert lines(CARD, edited(("| `books` | 75% | 3M |\n", ""))) == ["Data mixture: books: gone, 75%, 3M"]
    without = CARD
    for old, new in [("PIQA | ", ""), (":--|--:|--:|\n| 1", ":--|--:|\n| 1"), ("60.00 | ", ""), ("2 | — | ", "2 | "),
                     ("sd | — | ", "sd | ")]:  # fmt: skip
        without = edited((old, new), card=without)
    assert lines(CARD, without) == ["PIQA seed 1: gone, 60.00"]
    assert lines(without, CARD) == ["PIQA seed 1: new, 60.00"]
    table = CARD[CARD.index("| Task") : CARD.index("\n## Limits")]
    assert lines(CARD, edited((table, "x\n"))) == [
        "By task, table: gone, 1 row of Task, Documents, Chance",
        "By task: new, x",
    ]


LAYOUT = "only white space, markup or order differs, first on line"


def test_orders() -> None:
    rows = "| `arxiv` | 25% | 1M |\n", "| `books` | 75% | 3M |\n"
    (line,) = lines(CARD, edited(("".join(rows), "".join(reversed(rows)))))
    assert line == f"{LAYOUT} 35: | `arxiv` | 25% | 1M | → | `books` | 75% | 3M |"
    limits = CARD[CARD.index("## Limits") : CARD.index("<!--")]
    moved = edited((limits, "")).replace("## Training", f"{limits}## Training")
    assert lines(CARD, moved)[0].startswith("Limits")
    assert lines(CARD, edited(("- a\n- b\n", "- b\n- a\n"))) == ["tags: a, b → b, a"]


def test_sections() -> None:
    without = edited((CARD[CARD.index("## Limits") : CARD.index("\n---\n\nRendered")], ""))
    text = "They are good for nothing. A [link](https://example.org/a). <!-- a note -->"
    assert lines(CARD, without) == [f"section Limits: gone, {text}"]
    assert lines(without, CARD) == [f"section Limits: new, {text}"]
    renamed = edited(("## Limits", "## Known limits"))
    assert lines(CARD, renamed) == [f"section Known limits: new, {text}", f"section Limits: gone, {text}"]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (("## Limits", "## Limits ##"), "66: ## Limits → ## Limits ##"),
        (("| 81.00 |", "|  81.00 |"), "51"),
        (("|:--|--:|--:|\n| 1", "|:--|:--|--:|\n| 1"), "50: |:--|--:|--:| → |:--|:--|--:|"),
        (("license: mit", "license: 'mit'"), "2: license: mit → license: 'mit'"),
        (("\n## Limits", "\n\n## Limits"), "66: ## Limits → (empty)"),
        (("- They are", "* They are"), "68: - They are good for nothing. → * They are good for nothing."),
    ],
)
def test_what_differs_in_layout_only_is_reported(edit: tuple[str, str], line: str) -> None:
    assert lines(CARD, edited(edit)) == [f"{LAYOUT} {line}"]


def test_layout_is_not_reported_beside_other_changes() -> None:
    assert lines(CARD, edited(("## Limits", "## Limits ##"), ("| 4e-4 |", "| 3e-4 |"))) == [
        "Learning Rate: 4e-4 → 3e-4"
    ]
    assert lines(CARD, f"{CARD}\n") == [f"{LAYOUT} 77"]
    assert lines(CARD, CARD.replace("\n", "\r\n")) == ["only line ends differ"]


def test_a_long_text_is_shortened_around_what_differs() -> None:
    words = [f"word{n}" for n in range(100)]
    line = str(Change("Limits", " ".join(words), " ".join([*words[:50], "other", *words[51:]])))
    assert line.startswith("Limits: … ")
    assert " word49 word50 word51" in line
    assert " → … " in line
    assert " word49 other word51" in line
    assert len(line) < 230
    assert len(str(Change("Limits", "a " * 200, "b " * 200))) < 220
    assert str(Change("seed 3", None, "1, " * 200)).endswith(" …")


def test_cells_of_the_same_name_have_their_section() -> None:
    table = "| Seed | SciQ |\n|:--|--:|\n| 1 | 70.00 |\n"
    card = edited(("## Limits\n", f"## Older\n\n{table}\n## Limits\n"))
    assert lines(card, card.replace("70.00", "71.00")) == ["Older, SciQ seed 1: 70.00 → 71.00"]
    assert lines(card, card.replace("| 60.00 |", "| 61.00 |")) == ["PIQA seed 1: 60.00 → 61.00"]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "b"]), max_size=12))
def test_repeated_names_get_the_next_number_that_is_free(names: list[str]) -> None:
    taken: list[str] = []
    for name in names:
        free = (name if number == 1 else f"{name} ({number})" for number in itertools.count(1))
        taken.append(next(one for one in free if one not in taken))
    assert unique(names) == taken


@pytest.mark.parametrize("headers", ["| a | a | a (2) |", "| a | a (2) | a |"])
def test_repeated_headers_rows_and_headings_hide_nothing(headers: str) -> None:
    card = f"# T\n\n## A\n\n{headers}\n|---|---|---|\n| x | 1 | 2 |\n| x | 3 | 4 |\n\n## A\n\nb\n\n## A (2)\n\nc\n"
    for old in "1234":
        (change,) = card_changes(card, card.replace(f" {old} ", " 9 "))
        assert (change.old, change.new) == (old, "9")
    assert len(lines(card, card.replace("\nb\n", "\nd\n").replace("\nc\n", "\ne\n"))) == 4


def test_one_change_of_many_entries_is_one_line() -> None:
    card = CARDS["human-1b"]
    assert card.count("    - type: accuracy\n") == 84
    assert lines(card, card.replace("type: accuracy", "type: acc")) == ["model-index, type: accuracy → acc"]
    first, *others = lines(card, re.sub(r"(?s)model-index:.*?\n---\n", "---\n", card, count=1))
    assert first == "model-index, task.type: gone, text-generation"
    assert others[-1].startswith("model-index, 84 scores: gone, PIQA mean ± sd 65.54 ± 0.68, PIQA seed 1 65.0, ")
    assert len(others) == 8


def test_metadata_that_cannot_be_read_is_an_error() -> None:
    with refused("spec-invalid", SpecError, file="cards/x.md:1") as caught:
        card_changes("---\n- a\n---\n", CARD, sources=("cards/x.md", "the new card"))
    assert codes(caught.value.problems) == ["metadata-malformed"]


def test_odd_metadata_is_compared_key_by_key() -> None:
    old = "---\na: {b: [1, {c: 2}], d: }\nmodel-index: 3\ne: 1\n---\n"
    new = "---\na: {b: [1, {c: 4}]}\nmodel-index: 5\ne: '1'\n---\n"
    assert lines(old, new) == ["a.b.1.c: 2 → 4", "a.d: gone, null", 'e: 1 → "1"', "model-index: 3 → 5"]


def with_metadata(text: str) -> str:
    return f"---\n{text}\n---\n"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("a: ['1.0']", "a: [1.0]", 'a: ["1.0"] → [1.0]'),
        ("a: ['b, c']", "a: [b, c]", 'a: ["b, c"] → ["b", "c"]'),
        ("a: true", "a: 'true'", 'a: true → "true"'),
        ("a: []", "a: ''", 'a: [] → ""'),
        ("a: {}", "a: '{}'", 'a: {} → "{}"'),
        ("a: 2026-11-30", "a: '2026-11-30'", 'a: "datetime.date(2026, 11, 30)" → "2026-11-30"'),
        ("a: 1", "a: 1.0", "a: 1 → 1.0"),
    ],
)
def test_values_that_differ_in_their_type_are_told_apart(old: str, new: str, line: str) -> None:
    assert lines(with_metadata(old), with_metadata(new)) == [line]
    yaml = "```yaml\n{}\n```\n"
    assert lines(yaml.format(old), yaml.format(new)) == [f"first part, {line}"]


def test_types_in_the_model_index_are_told_apart() -> None:
    assert lines(CARD, edited(("value: 82.0,", "value: '82.0',"))) == ['model-index, SciQ seed 2: 82.0 → "82.0"']
    few = CARD.replace("args: {", "args: {num_fewshot: 5, ")
    assert lines(few, few.replace("fewshot: 5", "fewshot: '5'")) == ['model-index, args.num_fewshot: [5] → ["5"]']


def test_a_name_in_the_model_index_is_not_layout() -> None:
    (line,) = lines(CARD, edited(("name: 'score, seed 1'", "name: 'score of seed 1'")))
    assert line.startswith("only a detail of the metadata differs, first on line 13: ")


def test_a_model_index_that_only_one_card_has_or_that_only_one_can_be_read_of() -> None:
    assert lines(with_metadata("a: 1"), with_metadata("a: 1\nmodel-index: 5")) == ["model-index: new, 5"]
    assert lines(with_metadata("a: 1\nmodel-index: 5"), with_metadata("a: 1")) == ["model-index: gone, 5"]
    assert lines(with_metadata("a: 1\nmodel-index:"), with_metadata("a: 1")) == ["model-index: gone, null"]
    (line,) = lines(CARD, re.sub(r"(?s)model-index:.*?\n---\n", "model-index: 5\n---\n", CARD, count=1))
    assert line.startswith('model-index: [{"name": "x", "results": [{"task": ')
    assert line.endswith(" → 5")


def test_a_source_of_one_result_is_the_only_change_that_it_makes() -> None:
    card = CARD.replace("metrics:", "source: {url: 'https://example.org'}\n    metrics:")
    assert lines(CARD, card) == ["model-index, source.url: new, https://example.org"]


def test_metadata_that_is_new() -> None:
    assert lines("# T\n", "---\nlicense: mit\n---\n# T\n") == ["license: new, mit"]


def test_yaml_that_contains_itself_is_compared_as_text() -> None:
    card = "# T\n\n```yaml\na: &x [*x]\n```\n"
    assert lines(card, card.replace("a:", "b:")) == ["first part, code: a: &x [*x] → b: &x [*x]"]


def test_a_card_of_human_1b_rendered_with_another_score() -> None:
    card = CARDS["human-1b"]
    assert lines(card, card.replace("82.48", "82.51"))[0] == "SciQ seed 3: 82.48 → 82.51"


EDITED = st.sampled_from(["figure", "row", "word", "metadata", "insert", "swap", "cut"])


def _edit(text: str, kind: str, at: int, piece: str) -> str:
    lines = text.split("\n")
    head = front_matter(text)
    last = head.lines[1] if head else 0
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
