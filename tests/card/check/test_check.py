"""What `check` finds in cards: all that is broken, by line, and nothing in a card that is whole."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixhub.card.check.check import Finding, check_card, figure_findings, hub_findings, missing_card
from mixhub.card.check.tables import Figure
from mixhub.card.diff.cards import card_changes
from mixhub.card.diff.change import Change
from mixhub.card.page.render import render_catalog
from mixhub.spec import catalog

HAND_WRITTEN = """---
license: mit
language: [en]
datasets: [squad, acme/words]
tags: ['1.0', demo]
---

<!-- by hand -->

# Two models

See [below](#scores-one-table), the [words](https://huggingface.co/datasets/acme/words "all"), [all](/acme) and
[the other](other.md#part), or [write](mailto:a@example.org). `[x](file:///etc/passwd)` is no link.

<img src="plot.png" alt="a plot" width="300"> <a name="here"></a>[here](#here), [top](#top)

> | Seed | SciQ | Average |
> |------|------|---------|
> | 1 | **80.12** | 80.12 |
> | 2 | 81 | 81.0 |

## Scores: one table

Seed | `a|b` \\| c | D | Average
-----|:---:|--:|---
seed 1 | 10.00 | 20.01 | 15.01
2 | 10.0 | — (1 of 6 shots) | 15
3 | 10.00 | 20 | 14.8
mean | 10 | 20 | 99
stderr | 400 | 2 | 3

```python
[y](file:///x)
| a | b |
```
"""


@pytest.fixture(scope="module")
def card() -> str:
    return render_catalog("human-1b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plots").mkdir()
    for name in ("mixture", "losses", "scores", "shots"):
        for suffix in ("png", "svg"):
            (tmp_path / "plots" / f"{name}.{suffix}").touch()
    return tmp_path


def line_of(text: str, part: str) -> int:
    """The line of the first occurrence of a part."""
    return text[: text.index(part)].count("\n") + 1


def replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is in the card"
    return text.replace(old, new, 1)


def only(text: str) -> Finding:
    """The one thing that is found."""
    found = check_card(text)
    assert len(found) == 1, [str(finding) for finding in found]
    return found[0]


@pytest.mark.parametrize("name", catalog.names())
def test_nothing_is_found_in_the_cards_of_the_catalog(name: str, folder: Path) -> None:
    assert check_card(render_catalog(name), folder=folder) == ()


def test_nothing_is_found_in_a_card_that_a_person_wrote(tmp_path: Path) -> None:
    for name in ("other.md", "plot.png"):
        (tmp_path / name).touch()
    text = HAND_WRITTEN.replace("`a|b` \\| c", "a \\| c")
    assert [str(finding) for finding in check_card(text, folder=tmp_path)] == []
    assert check_card("\ufeff" + text.replace("\n", "\r\n"), folder=tmp_path) == ()


METADATA = [
    ("license: mit", "license: apache2", "license = 'apache2'", "did you mean apache-2.0?"),
    ("license: mit", "license: [mit, nope-9]", "license.1 = 'nope-9'", "licence"),
    ("license: mit", "license: no", "license = false", "must be text"),
    ("- en\n", "- english\n", "language.0 = 'english'", "language code"),
    ("- en\n", "- no\n", "language.0 = false", "must be text"),
    ("- sail/regmix-data\n", "- sail/regmix data\n", "datasets.0 = 'sail/regmix data'", "<namespace>/<name>"),
    ("license: mit", "license: mit\nbase_model: a/b/c", "base_model = 'a/b/c'", "<namespace>/<name>"),
    ("license: mit", "license: mit\nbase_model_relation: finetuned", "base_model_relation", "did you mean finetune?"),
    ("pipeline_tag: text-generation", "pipeline_tag: text-gen", "pipeline_tag = 'text-gen'", "text-generation"),
    ("pipeline_tag: text-generation", "pipeline_tag: [text-generation]", "pipeline_tag", "must be text"),
    ("library_name: transformers", "library_name: transformer", "library_name", "did you mean transformers?"),
    ("- data-mixture\n", "- yes\n", "tags.1 = true", "must be text"),
    ("- data-mixture\n", "- 1.0\n", "tags.1 = 1.0", "must be text"),
    ("- data-mixture\n", "- regmix\n", "tags.1 = 'regmix'", "twice"),
    ("- data-mixture\n", "- ''\n", "tags.1 = ''", "must be text on one line"),
    ("arxiv:2407.01492", "arxiv:240701492", "tags.3 = 'arxiv:240701492'", "arXiv identifier"),
    ("license: mit", "license: mit\nlicense_name: A B", "license_name = 'A B'", "lower-case"),
    ("license: mit", "license: mit\nlicense_link: some words", "license_link = 'some words'", "https://"),
    ("      type: piqa\n", "", "model-index.0.results.0.dataset.type", "is required"),
    ("      type: piqa\n", "      type: 7\n", "model-index.0.results.0.dataset.type", "must be text, not 7"),
    ("  - task:\n      type: text-generation\n", "  - task: text-generation\n", "results.0.task", "mapping"),
    ("      value: 65.0\n", "", "metrics.1.value", "is required"),
    ("      value: 65.0\n", "      value: .nan\n", "metrics.1.value", "finite number"),
    ("      value: 65.0\n", "      value: true\n", "metrics.1.value", "finite number or text, not true"),
    ("        seed: 1\n", "        seed: one\n", "metrics.1.args.seed", "whole number"),
    ("        num_fewshot: 0-5\n", "        num_fewshot: few\n", "metrics.0.args.num_fewshot", "range as 0-5"),
    ("    metrics:\n", "    metrics: []\n    more:\n", "results.0.metrics", "list with an entry per figure"),
    ("  results:\n", "  outcome:\n", "model-index.0.results", "must be a list"),
    ("- name: human-1b\n", "- name: 1\n", "model-index.0.name", "must be text"),
    ("model-index:\n- name", "model-index:\n  name", "model-index", "must be a list"),
    ("      url: https", "      uri: https", "results.0.source.url", "is required"),
]


@pytest.mark.parametrize(("old", "new", "where", "rule"), METADATA, ids=[new.strip()[:40] for _, new, *_ in METADATA])
def test_each_fault_of_the_metadata_is_found_at_its_line(card: str, old: str, new: str, where: str, rule: str) -> None:
    if old == "model-index:\n- name":  # the whole list becomes a mapping
        head, _, rest = card.partition("model-index:\n")
        card, old, new = (
            head + "model-index:\n" + rest,
            f"model-index:\n{rest[: rest.index('---')]}",
            "model-index: x\n",
        )
    broken = replaced(card, old, new)
    found = only(broken)
    assert found.kind == "metadata"
    assert where in found.message
    assert rule in found.message
    at = line_of(card, old)
    is_gone = found.where.rpartition(".")[2] not in new and not found.where[-1].isdigit()
    if is_gone:
        assert found.line < at or card.split("\n")[found.line - 1].lstrip().startswith("- "), "it names what holds it"
    else:
        assert at <= found.line <= at + new.strip().count("\n"), "it names the line"


def test_a_licence_that_is_other_needs_a_name_and_a_link(card: str) -> None:
    found = check_card(replaced(card, "license: mit", "license: other"))
    assert [finding.where for finding in found] == ["license_name", "license_link"]
    whole = "license: other\nlicense_name: my-own-1.0\nlicense_link: LICENSE.md"
    assert check_card(replaced(card, "license: mit", whole)) == ()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("# A title\n", 1, "has no metadata"),
        ("---\nlicense: mit\n\n# Never closed\n", 1, "has no metadata"),
        ("---\n\n---\n# A title\n", 1, "the metadata is empty"),
        ("---\nlicense: mit\nlicense: mit\n---\n", 3, "stands twice"),
        ("---\ntags: [a\n---\n", 3, "not valid YAML"),
        ("---\n- a\n---\n", 1, "mapping"),
        ("---\n? [a, b]\n: c\n---\n", 2, "a key must be text or a number"),
    ],
)
def test_metadata_that_cannot_be_read(text: str, line: int, said: str) -> None:
    found = only(text)
    assert (found.kind, found.line) == ("metadata", line)
    assert said in found.message


def test_links_and_tables_are_checked_below_metadata_that_cannot_be_read() -> None:
    found = check_card("---\na: b\na: c\n---\n\n[x](#nowhere)\n\n| a | b |\n|---|---|\n| 1 |\n")
    assert [(finding.kind, finding.line) for finding in found] == [("metadata", 3), ("link", 6), ("table", 10)]


def test_what_the_client_of_the_hub_refuses_is_found() -> None:
    found = only("---\nlicense: mit\nself: me\n---\n")
    assert found.message.startswith("huggingface_hub cannot read it: ")
    assert "self" in found.message
    (results,) = check_card("---\nlicense: mit\neval_results: [1]\n---\n")
    assert "eval_results" in results.message
    assert only("---\ntags: 5\n---\n").where == "tags", "what has been said is not said again"


def test_two_figures_of_one_thing_must_be_one(card: str) -> None:
    entry = card[
        card.index("    - type: accuracy\n      value: 65.03") : card.index("    - type: accuracy\n      value: 65.57")
    ]
    assert check_card(replaced(card, entry, entry + entry)) == (), "the same twice contradicts nothing"
    broken = replaced(card, entry, entry + entry.replace("65.03", "65.031"))
    found = only(broken)
    assert (
        found.message == f"PIQA seed 2: the model-index says 65.031, and 65.03 in line {line_of(card, 'value: 65.03')}"
    )
    assert found.line == line_of(broken, "65.031")


RESULT = {"task": {"type": "a"}, "dataset": {"type": "b", "name": "c"}, "metrics": [{"type": "d", "value": 1}]}


@pytest.mark.parametrize(
    ("index", "where"),
    [
        ([], "model-index"),
        ([1], "model-index.0"),
        ([{"name": "m", "results": [1]}], "model-index.0.results.0"),
        ([{"name": "m", "results": [RESULT | {"dataset": "c"}]}], "model-index.0.results.0.dataset"),
        ([{"name": "m", "results": [RESULT | {"source": "x"}]}], "model-index.0.results.0.source"),
        ([{"name": "m", "results": [RESULT | {"metrics": [1]}]}], "model-index.0.results.0.metrics.0"),
    ],
)
def test_parts_of_the_model_index_that_have_no_shape(index: object, where: str) -> None:
    assert only(f"---\n{yaml.safe_dump({'model-index': index})}---\n").where == where


@pytest.mark.parametrize(
    "metric",
    [
        {"type": "acc", "value": "0.5 or so"},
        {"type": "acc", "value": 0.5, "args": [1, 2]},
        {"type": "acc", "value": 1, "args": {"num_fewshot": [0, 2, 5], "seed": 3}},
        {"type": "acc", "value": 1, "args": {"num_fewshot": "0-2, 5"}, "verified": True},
    ],
)
def test_metrics_as_others_write_them(metric: dict[str, object]) -> None:
    index = [{"name": "m", "results": [RESULT | {"metrics": [metric]}]}]
    assert check_card(f"---\n{yaml.safe_dump({'model-index': index})}---\n") == ()


def test_keys_of_arguments_may_be_anything(card: str) -> None:
    arguments = "        seed: 2\n        num_fewshot: 0-5\n"
    assert check_card(replaced(card, arguments, arguments + "        1: a\n        2.5: [b, {3: c, d: e}]\n")) == ()


def test_html_that_no_parser_takes() -> None:
    assert check_card("---\nlicense: mit\n---\n\n<div>\n<![foo bar]>\n</div>\n") == ()


LINKS = [
    ("https:///nowhere", "has no host"),
    ("https://exa mple.org".replace(" ", "%20"), "has no host"),
    ("http://[::1", "is no address"),
    ("https://example.org:99999/", "is no address"),
    ("htps://example.org", "did you mean https:?"),
    ("http://localhost:8000/x", "machine of whoever reads it"),
    ("http://127.0.0.1/x", "machine of whoever reads it"),
    ("http://[::1]/x", "machine of whoever reads it"),
    ("/home/me/plot.png", "path of one machine"),
    ("C:/plot.png", "path of one machine"),
    ("file:///plot.png", "no link of file:"),
    ("javascript:alert(1)", "no link of javascript:"),
    ("#limit", "did you mean #limits?"),
    ("#Limits", "did you mean #limits?"),
    ("#qqqq", "no such heading"),
    ("../elsewhere.md", "leads out of the repo"),
    ("notes/../../elsewhere.md", "leads out of the repo"),
    ("<>", "has no address"),
    ("notes/missing.md", "no such file"),
    ("not%20here.md", "no such file"),
    ("a" * 300, "is no path"),
]


@pytest.mark.parametrize(("address", "said"), LINKS, ids=[address[:40] for address, _ in LINKS])
def test_each_link_that_leads_nowhere_is_found_at_its_line(card: str, folder: Path, address: str, said: str) -> None:
    broken = replaced(card, "## Limits\n", f"## Limits\n\nSee\n[this]({address}).\n")
    (found,) = check_card(broken, folder=folder)
    assert found.kind == "link"
    assert said in found.message
    assert found.line == line_of(broken, "[this](")


@pytest.mark.parametrize(
    "address",
    ["#limits", "#", "#seeds", "/sail", "/papers/2407.01492", "/docs/hub/model-cards#x", "//example.org/x", "a%20b.md",
     "there.md#part", "./there.md", "sub/../there.md", "mailto:a@example.org", "https://example.org/a%20b?c=d&e#f",
     "http://sub.example.org:8080", "https://münchen.example/", "tel:123"],
)  # fmt: skip
def test_links_that_lead_somewhere(card: str, folder: Path, address: str) -> None:
    (folder / "there.md").touch()
    (folder / "a b.md").touch()
    (folder / "sub").mkdir()
    assert check_card(replaced(card, "## Limits\n", f"## Limits\n\n[this]({address})\n"), folder=folder) == ()


def test_files_are_looked_up_only_below_a_folder(card: str, tmp_path: Path) -> None:
    assert check_card(card) == ()
    found = check_card(card, folder=tmp_path)
    assert [finding.where for finding in found] == [
        f"plots/{name}.{suffix}" for name in ("mixture", "scores") for suffix in ("svg", "png")
    ]


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("![](plots/scores.png)", "no alternative text"),
        ("[![](plots/scores.png)](plots/scores.svg)", "no alternative text"),
        ('<img src="plots/scores.png">', "no alternative text"),
        ('<p>\n<img src="plots/none.png" alt="x">\n</p>', "no such file"),
        ('<a href="#nowhere">x</a>', "no such heading"),
        ('<a href="file:///x">x</a>', "file of one machine"),
        ("[](https://example.org)", "has no text"),
        ("| a |\n|---|\n| [x](#nowhere) |", "no such heading"),
    ],
)
def test_images_and_links_in_any_place(card: str, folder: Path, markdown: str, said: str) -> None:
    (found,) = check_card(replaced(card, "## Limits\n", f"## Limits\n\n{markdown}\n"), folder=folder)
    assert (found.kind, said in found.message) == ("link", True), str(found)


ROWS = [
    ("| `seed-3` |      3 |\n", "| `seed-3` |      3 | 4 |\n", "a row of 3 cells in a table of 2 columns"),
    ("| `seed-3` |      3 |\n", "| `seed-3` |\n", "a row of 1 cell in a table of 2 columns"),
    ("| `seed-3` |      3 |\n", "| `seed|3` |      3 |\n", "a row of 3 cells in a table of 2 columns"),
    ("| 10.74% |", "| 11.74% |", "the shares sum to 101%"),
]


@pytest.mark.parametrize(("old", "new", "said"), ROWS, ids=[said for *_, said in ROWS])
def test_rows_and_shares(card: str, old: str, new: str, said: str) -> None:
    card = replaced(card, "|  10.74% |", "| 10.74% |")
    (found,) = (one for one in check_card(replaced(card, old, new)) if one.kind == "table")
    assert found.message.startswith(said)
    at = line_of(card, "| Domain") if "shares" in said else line_of(card, old)
    assert found.line == at


def test_text_that_clings_to_a_table_is_a_row_of_it(card: str) -> None:
    broken = replaced(card, "| `seed-5` |      5 |\n", "| `seed-5` |      5 |\nAnd so on.\n")
    assert only(broken).line == line_of(broken, "And so on.")


def test_figures_agree_with_the_model_index(card: str) -> None:
    broken = replaced(card, "      value: 82.48\n", "      value: 82.51\n")
    found = only(broken)
    row = line_of(card, "| 3         |")
    assert str(found) == (
        f"README.md:{line_of(broken, '82.51')}: "
        f"SciQ seed 3: the model-index says 82.51, the table in line {row} says 82.48"
    )
    assert found.kind == "figures"
    assert check_card(replaced(card, "      value: 82.48\n", "      value: 82.4849\n")) == (), "to the printed digits"
    sd = only(replaced(card, "        sd: 1.09\n", "        sd: 1.19\n"))
    assert sd.message.startswith("SciQ score, mean of 5 seeds, sd: the model-index says 1.19")
    average = replaced(card, "      value: 46.97\n", "      value: 47.97\n")
    assert only(average).message.startswith("Average of 13 tasks seed 3: the model-index says 47.97")


def test_a_figure_that_is_changed_by_hand_contradicts_what_was_made_of_it(card: str) -> None:
    broken = replaced(card, "        82.48 |", "        28.48 |")
    assert [(finding.kind, finding.where) for finding in check_card(broken)] == [
        ("figures", "SciQ seed 3"),
        ("table", "SciQ mean"),
        ("table", "SciQ sd"),
    ]
    measured = broken.replace("### Published, not re-measured", "### Measured")
    assert ("table", "Average seed 3") in [(finding.kind, finding.where) for finding in check_card(measured)]
    wrong = replaced(card, "| 65.54\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.68 |", "| 65.54 ± 0.66 |")
    (index, table) = check_card(wrong)
    assert index.kind == "figures"
    assert table.message == "PIQA sd: the card says 0.66, that of the 5 rows is 0.68"
    assert table.line == line_of(card, "| mean ± sd")


def test_copied_averages_are_the_affair_of_those_who_printed_them(card: str) -> None:
    row = card[card.index("| 3         |") :].split("\n")[0]
    both = replaced(card, row, row.replace("46.97", "45.97")).replace("value: 46.97", "value: 45.97")
    assert {finding.where for finding in check_card(both)} == {"Average mean"}
    measured = check_card(both.replace("### Published, not re-measured", "### Measured"))
    assert str(measured[0]) == (
        f"README.md:{line_of(both, '| 3         |')}: Average seed 3: the card says 45.97, the mean of the row is 46.97"
    )


def test_means_are_checked_where_all_rows_are_whole() -> None:
    table = "---\nlicense: mit\n---\n\n| Seed | A | Average |\n|--|--|--|\n| 1 | — | 1 |\n| 2 | 4.0 | 4.0 |\n"
    assert check_card(table + "| mean ± sd | 99 ± 1 | 2.5 ± 2.1 |\n") == ()
    assert only(table + "| mean ± sd | 99 ± 1 | 2.5 ± 4.1 |\n").where == "Average sd"


def test_scores_are_percentages() -> None:
    table = "---\nlicense: mit\n---\n\n| Index | A | Average |\n|--|--|--|\n| 3 | 101.0 | 101.0 |\n| 4 | -1 | -1 |\n"
    assert [(finding.line, finding.where) for finding in check_card(table)] == [
        (7, "A index 3"),
        (7, "Average index 3"),
        (8, "A index 4"),
        (8, "Average index 4"),
    ]


SCORES = st.integers(1, 14).flatmap(
    lambda width: st.lists(st.lists(st.floats(0, 100), min_size=width, max_size=width), min_size=2, max_size=8)
)


def score_table(rows: list[list[float]], decimals: int) -> list[list[str]]:
    """Rows of a table as it is made: averages, means and sds of figures that are not rounded yet."""
    whole = [[*row, statistics.fmean(row)] for row in rows]
    printed = [[str(seed), *(f"{value:.{decimals}f}" for value in row)] for seed, row in enumerate(whole, start=1)]
    columns = list(zip(*whole, strict=True))
    spread = [f"{statistics.fmean(c):.{decimals}f} ± {statistics.stdev(c):.{decimals}f}" for c in columns]
    return [*printed, ["mean ± sd", *spread], ["chance", *["50.00"] * len(columns)]]


def page_of(rows: list[list[str]]) -> str:
    headers = ["Seed", *(f"T{i}" for i in range(len(rows[0]) - 2)), "Average"]
    lines = [headers, ["---"] * len(headers), *rows]
    return "---\nlicense: mit\n---\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


@settings(max_examples=150)
@given(SCORES, st.integers(0, 4))
def test_a_right_table_is_never_refused(rows: list[list[float]], decimals: int) -> None:
    found = check_card(page_of(score_table(rows, decimals)))
    assert [str(finding) for finding in found] == []


@settings(max_examples=150)
@given(SCORES, st.data())
def test_a_figure_that_rounding_cannot_explain_is_found(rows: list[list[float]], data: st.DataObject) -> None:
    table = score_table(rows, 2)
    row, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(1, len(rows[0])))
    # Rounding may move the mean of a row by half a unit, and its printed average by as much.
    least = 0.011 * (len(rows[0]) + 1)
    old = float(table[row][column])
    new = data.draw(st.floats(0, 100).filter(lambda value: abs(value - old) > least + 0.01))
    table[row][column] = f"{new:.2f}"
    assume(abs(float(table[row][column]) - old) > least)
    found = [(finding.kind, finding.where) for finding in check_card(page_of(table))]
    assert ("table", f"Average seed {row + 1}") in found


@given(st.floats(0, 1000), st.integers(0, 6))
def test_a_figure_may_be_what_it_was_rounded_from(value: float, decimals: int) -> None:
    figure = Figure.read(f"{value:.{decimals}f}")
    assert figure is not None
    assert figure.may_be(value, value)
    far = value + 1.2 * 10.0**-decimals
    assert not figure.may_be(far, far)


@pytest.mark.parametrize(
    "text", ["", "—", "— (5 of 6)", "1.0 ± 0.5", "1,838", "1 to 2", "0x1", "nan", "1e999", "0e999"]
)
def test_what_is_no_figure(text: str) -> None:
    assert Figure.read(text) is None


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30), st.integers(0, 4))
def test_shares_that_were_rounded_are_never_refused(weights: list[float], decimals: int) -> None:
    rows = "".join(f"| d{i} | {100 * w / sum(weights):.{decimals}f}% |\n" for i, w in enumerate(weights))
    assert check_card(f"---\nlicense: mit\n---\n\n| Domain | Share |\n|---|---|\n{rows}") == ()


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_lines_are_counted_whatever_ends_them(card: str, separator: str) -> None:
    text = replaced(card, "## Limits\n", "## Limits\n\n[this](#nowhere)\n").replace("\n", separator)
    assert only(text).line == card[: card.index("## Limits")].count("\n") + 3


@settings(max_examples=60)
@given(st.text(max_size=80) | st.lists(st.sampled_from("|-\n :`[](#)!<>\\a1%±.\r\t"), max_size=80).map("".join))
def test_any_text_can_be_checked(text: str) -> None:
    for page in (text, f"---\na: b\n---\n{text}", f"---\n{text}\n---\n\n# A"):
        for finding in check_card(page, folder=Path()):
            assert 0 <= finding.line <= page.count("\n") + page.count("\r") + 1
            assert finding.message
            assert finding.hint


def test_figures_of_results_and_the_rest_of_a_new_render(card: str) -> None:
    new = card.replace("82.48", "82.51").replace("4e-4", "5e-4").replace("Limits", "Bounds")
    found = figure_findings(card_changes(card, new), "README.md", ["mixture.svg", "mixture.png"])
    figure = "README.md: SciQ seed 3: the card says 82.48, the results give 82.51"
    assert figure in map(str, found)
    *figures, fresh = found
    assert {finding.kind for finding in figures} == {"figures"}
    assert fresh.kind == "freshness"
    assert fresh.hint == "mixhub card render"
    assert fresh.message.startswith("is not fresh, ")
    assert figure_findings(card_changes(card, card), "README.md", []) == []
    assert len(fresh.message.split("; ")) <= 4


def test_what_the_freshness_of_a_card_says() -> None:
    changes = [Change("fact", f"Fact {i}", "1", "2") for i in range(4)]
    (fresh,) = figure_findings(changes, "a.md", ["mixture.svg"])
    assert str(fresh) == (
        "a.md: is not fresh, 5 differences from a new render: Fact 0: 1 → 2; Fact 1: 1 → 2; Fact 2: 1 → 2; and 2 more"
    )
    (one,) = figure_findings([], "a.md", ["mixture.svg"])
    assert (
        str(one) == "a.md: is not fresh, 1 difference from a new render: "
        "the plot mixture.svg is missing, or not as it would be drawn"
    )
    new, gone = figure_findings(
        [Change("figure", "SciQ seed 1", None, "1"), Change("figure", "SciQ seed 2", "2", None)], "a.md", []
    )
    assert new.message == "SciQ seed 1: the card has none, the results give 1"
    assert gone.message == "SciQ seed 2: the card says 2, the results have none"


def test_a_card_that_is_missing() -> None:
    finding = missing_card("a/README.md")
    assert str(finding) == "a/README.md: is not rendered yet"
    assert (finding.kind, finding.hint) == ("freshness", "mixhub card render")


def test_what_a_hub_says() -> None:
    refused, warned = hub_findings(["no license"], ["empty"], "README.md", "local")
    assert str(refused) == "README.md: local refuses it: no license"
    assert str(warned) == "README.md: local warns: empty"


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("model_name: tinyllama_1_1b\n```\n", "model_name: tinyllama_1_1b\n", "code", "does not end before the next"),
        ("\n</details>\n", "\n", "details", "never ends"),
        (
            "train_the_pile_arxiv: 0.1052",
            "train_the_pile_arxiv: 0.9052",
            "arxiv",
            "the mixture gives 57.05%; and 16 more",
        ),
        ("train_the_pile_arxiv: 0.1052", "train_the_pile_arxiv 0.1052", "train", "the mixture is no YAML"),
        ("train_the_pile_arxiv: 0.1052", "train_the_pile_xiv: 0.1052", "train_the_pile_xiv", "no such domain"),
        (
            "64.70\u00a0to\u00a066.39",
            "66.39\u00a0to\u00a064.70",
            "PIQA 95 % for the mean over seeds",
            "lower end of an interval",
        ),
        (
            "64.70\u00a0to\u00a066.39",
            "10.00 to 12.00",
            "PIQA 95 % for the mean over seeds",
            "does not hold its mean, 65.54",
        ),
        ("AutoModelForCausalLM.from", "AutoModel.from", "AutoModel", "without the head"),
        ('1b", revision="seed-1")\ntok', '1b", revision="seed-9")\ntok', "seed-9", "the card's branches are seed-1"),
        ("value: 82.48", "value: '92.48'", "SciQ seed 3", "the model-index says 92.48, the table in line"),
        ("name: SciQ\n", "name: SciQQ\n", "SciQQ", "did you mean SciQ?"),
    ],
)
def test_blocks_and_figures_that_were_changed_by_hand(card: str, old: str, new: str, where: str, said: str) -> None:
    assert old in card
    found = check_card(card.replace(old, new, 1))
    assert [f for f in found if f.where == where and said in f.message], [str(f) for f in found]


def test_a_figure_that_is_only_in_the_table_is_told(card: str) -> None:
    entry = "    - type: accuracy\n      value: 82.48\n      name: score, seed 3\n      args:\n        seed: 3\n"
    assert entry in card
    found = check_card(card.replace(f"{entry}        num_fewshot: 0-5\n", "", 1))
    assert [(f.where, f.kind) for f in found] == [("SciQ seed 3", "figures")]


def test_cells_and_errors_by_task() -> None:
    table = (
        "---\nlicense: mit\n---\n\n| Task | Cells | Standard error over documents |\n|---|---|---|\n| A | {} | {} |\n"
    )
    assert not check_card(table.format("3 of 4", "at most 0.10"))
    assert [f.where for f in check_card(table.format("5 of 4", "-0.10"))] == [
        "A Cells",
        "A Standard error over documents",
    ]


def test_code_of_others_is_no_matter_of_a_check() -> None:
    text = """---
pipeline_tag: text-generation
---

| Branch | Seed |
|---|---|
| `seed-1` | 1 |

```python
a = AutoModelForCausalLM.from_pretrained("a/b", revision="v1")
b = AutoModelForCausalLM.from_pretrained("a/b", revision="seed-1-step-5")
```

> ```yaml
> train:
>   a: 1
> ```

    train:

<details><summary>More</summary>

x

</details>
"""
    assert not check_card(text)
