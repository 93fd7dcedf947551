"""Checks of a card: every fault is found, with its line, and nothing in a correct card."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixhub.card.check.lint import lint_card
from mixhub.card.check.metadata import hub_findings
from mixhub.card.check.score_tables import Figure
from mixhub.card.page.render import render_catalog
from mixhub.findings import Finding
from mixhub.spec import catalog
from tests.refusals import codes

HAND_WRITTEN = """---
license: mit
language: [en]
datasets: [squad, acme/words]
tags: ['1.0', demo]
---

<!-- by hand -->

# Two models

See [below](#nowhere), the [words](https://huggingface.co/datasets/acme/words "all"), [all](/acme) and
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
    return render_catalog("human-1b").text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plots").mkdir()
    for name in ("mixture", "losses", "scores", "shots"):
        for suffix in ("png", "svg"):
            (tmp_path / "plots" / f"{name}.{suffix}").touch()
    return tmp_path


def line_of(text: str, part: str) -> int:
    """Return the line of the first occurrence of a part."""
    return text[: text.index(part)].count("\n") + 1


def replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is in the card"
    return text.replace(old, new, 1)


def only(text: str) -> Finding:
    """Return the only finding."""
    found = lint_card(text)
    assert len(found) == 1, [str(finding) for finding in found]
    return found[0]


@pytest.mark.parametrize("name", catalog.names())
def test_nothing_is_found_in_the_cards_of_the_catalog(name: str, folder: Path) -> None:
    assert lint_card(render_catalog(name).text, folder=folder) == ()


def test_nothing_is_found_in_a_handwritten_card(tmp_path: Path) -> None:
    for name in ("other.md", "plot.png"):
        (tmp_path / name).touch()
    text = HAND_WRITTEN.replace("`a|b` \\| c", "a \\| c")
    assert [str(finding) for finding in lint_card(text, folder=tmp_path)] == []
    assert lint_card("\ufeff" + text.replace("\n", "\r\n"), folder=tmp_path) == ()


@pytest.mark.parametrize(("license", "near"), [("apache2", "apache-2.0"), ("mitt", "mit"), ("quartz-9", None)])
def test_an_unfamiliar_licence_is_a_warning(card: str, license: str, near: str | None) -> None:
    finding = only(replaced(card, "license: mit", f"license: {license}"))
    assert (finding.code, finding.level, finding.about) == ("license-unfamiliar", "warning", "license")
    assert ("did you mean" in finding.message) == (near is not None)
    assert near is None or f"did you mean {near}?" in finding.message


INDEX = "model-index.0.results.0"
METADATA = [
    ("license: mit", "license: agpl-3.0-or-later", "metadata-invalid", "license", 0),
    ("license: mit", "license: [mit, Apache 2]", "metadata-invalid", "license.1", 0),
    ("- sail/regmix-data\n", "- null\n", "metadata-no-text", "datasets.0", 0),
    ("license: mit", "license: mit\nbase_model: /home/me/model", "metadata-invalid", "base_model", 1),
    ("license: mit", "license: no", "metadata-no-text", "license", 0),
    ("- en\n", "- english\n", "metadata-invalid", "language.0", 0),
    ("- en\n", "- no\n", "metadata-no-text", "language.0", 0),
    ("- sail/regmix-data\n", "- sail/regmix data\n", "metadata-invalid", "datasets.0", 0),
    ("license: mit", "license: mit\nbase_model: a/b/c", "metadata-invalid", "base_model", 1),
    ("license: mit", "license: mit\nbase_model_relation: tuned", "metadata-invalid", "base_model_relation", 1),
    ("pipeline_tag: text-generation", "pipeline_tag: [text-generation]", "metadata-no-text", "pipeline_tag", 0),
    ("- data-mixture\n", "- yes\n", "metadata-no-text", "tags.1", 0),
    ("- data-mixture\n", "- 1.0\n", "metadata-no-text", "tags.1", 0),
    ("- data-mixture\n", "- ''\n", "metadata-invalid", "tags.1", 0),
    ("license: mit", "license: mit\nlicense_name: A B", "metadata-invalid", "license_name", 1),
    ("license: mit", "license: mit\nlicense_link: some words", "metadata-invalid", "license_link", 1),
    ("      type: piqa\n", "", "model-index-key-missing", f"{INDEX}.dataset.type", -2),
    ("      type: piqa\n", "      type: 7\n", "model-index-malformed", f"{INDEX}.dataset.type", 0),
    ("  - task:\n      type: text-generation\n", "  - task: x\n", "model-index-malformed", f"{INDEX}.task", 0),
    ("      value: 65.0\n", "", "model-index-key-missing", f"{INDEX}.metrics.1.value", -1),
    ("      value: 65.0\n", "      value: .nan\n", "model-index-malformed", f"{INDEX}.metrics.1.value", 0),
    ("      value: 65.0\n", "      value: true\n", "model-index-malformed", f"{INDEX}.metrics.1.value", 0),
    ("    metrics:\n", "    metrics: []\n    more:\n", "model-index-malformed", f"{INDEX}.metrics", 0),
    ("  results:\n", "  outcome:\n", "model-index-key-missing", "model-index.0.results", -1),
    ("- name: human-1b\n", "- name: 1\n", "model-index-malformed", "model-index.0.name", 0),
    ("      url: https", "      uri: https", "model-index-key-missing", f"{INDEX}.source.url", -1),
]
"""An edit, the finding, and its line relative to the edit: a missing key is found where it should be."""


@pytest.mark.parametrize(
    ("old", "new", "code", "about", "below"), METADATA, ids=[new.strip()[:40] for _, new, *_ in METADATA]
)
def test_each_fault_of_the_metadata_is_found_at_its_line(
    card: str, old: str, new: str, code: str, about: str, below: int
) -> None:
    finding = only(replaced(card, old, new))
    assert (finding.code, finding.about) == (code, about)
    assert finding.line == line_of(card, old) + below


def test_a_value_that_yaml_does_not_read_as_text_should_be_quoted(card: str) -> None:
    assert "quotes" in only(replaced(card, "license: mit", "license: no")).hint
    assert "quotes" in only(replaced(card, "license: mit", "license: 2024-01-01")).hint
    assert "quotes" not in only(replaced(card, "license: mit", "license: No Way")).hint
    assert "quotes" not in only(replaced(card, "license: mit", "license: [null]")).hint


def test_a_licence_that_is_other_needs_a_name_and_a_link(card: str) -> None:
    found = lint_card(replaced(card, "license: mit", "license: other"))
    assert [(finding.code, finding.about) for finding in found] == [
        ("metadata-invalid", "license_name"),
        ("metadata-invalid", "license_link"),
    ]
    whole = "license: other\nlicense_name: my-own-1.0\nlicense_link: LICENSE.md"
    assert lint_card(replaced(card, "license: mit", whole)) == ()


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("# A title\n", 1, "metadata-missing"),
        ("---\nlicense: mit\n\n# Never closed\n", 1, "metadata-missing"),
        ("---\n\n---\n# A title\n", 1, "metadata-missing"),
        ("---\nlicense: mit\nlicense: mit\n---\n", 3, "key-repeated"),
        ("---\ntags: [a\n---\n", 3, "yaml-malformed"),
        ("---\n- a\n---\n", 1, "metadata-malformed"),
        ("---\na: &x [*x]\n---\n", 1, "metadata-too-deep"),
        ("---\n? [a, b]\n: c\n---\n", 2, "yaml-malformed"),
    ],
)
def test_metadata_that_cannot_be_read(text: str, line: int, code: str) -> None:
    finding = only(text)
    assert (finding.code, finding.line) == (code, line)


def test_the_body_is_checked_below_metadata_that_cannot_be_read(tmp_path: Path) -> None:
    text = "---\na: b\na: c\n---\n\n![x](no.png)\n\n| Domain | Share |\n|---|---|\n| a | 1% |\n"
    text += '\n| Branch |\n|---|\n| seed-1 |\n\n```python\nload("x", revision="seed-2")\n```\n'
    found = lint_card(text, folder=tmp_path)
    assert [(finding.code, finding.line) for finding in found] == [
        ("key-repeated", 3),
        ("link-broken", 6),
        ("shares-sum-differs", 8),
        ("revision-unlisted", 17),
    ]


def test_metadata_that_the_client_of_the_hub_refuses_is_found() -> None:
    found = only("---\nlicense: mit\nself: me\n---\n")
    assert found.code == "metadata-refused"
    assert "self" in found.message
    (results,) = lint_card("---\nlicense: mit\neval_results: [1]\n---\n")
    assert results.code == "metadata-refused"
    assert only("---\ntags: 5\n---\n").about == "tags", "what has been said is not said again"


RESULT = {"task": {"type": "a"}, "dataset": {"type": "b", "name": "c"}, "metrics": [{"type": "d", "value": 1}]}


@pytest.mark.parametrize(
    ("index", "where"),
    [
        ("x", "model-index"),
        ({"name": "m", "results": [RESULT]}, "model-index"),
        ([], "model-index"),
        ([1], "model-index.0"),
        ([{"name": "m", "results": [1]}], "model-index.0.results.0"),
        ([{"name": "m", "results": [RESULT | {"dataset": "c"}]}], "model-index.0.results.0.dataset"),
        ([{"name": "m", "results": [RESULT | {"source": "x"}]}], "model-index.0.results.0.source"),
        ([{"name": "m", "results": [RESULT | {"metrics": [1]}]}], "model-index.0.results.0.metrics.0"),
    ],
)
def test_malformed_parts_of_the_model_index(index: object, where: str) -> None:
    finding = only(f"---\n{yaml.safe_dump({'model-index': index})}---\n")
    assert (finding.code, finding.about) == ("model-index-malformed", where)


@pytest.mark.parametrize(
    "metric",
    [
        {"type": "acc", "value": "0.5 or so"},
        {"type": "acc", "value": 0.5, "args": [1, 2]},
        {"type": "acc", "value": 1, "args": {"num_fewshot": [0, 2, 5], "seed": 3}},
        {"type": "acc", "value": 1, "args": {"num_fewshot": "0-2, 5"}, "verified": True},
    ],
)
def test_metrics_of_other_authors(metric: dict[str, object]) -> None:
    index = [{"name": "m", "results": [RESULT | {"metrics": [metric]}]}]
    assert lint_card(f"---\n{yaml.safe_dump({'model-index': index})}---\n") == ()


def test_keys_of_arguments_may_be_anything(card: str) -> None:
    arguments = "        seed: 2\n        num_fewshot: 0-5\n"
    assert lint_card(replaced(card, arguments, arguments + "        1: a\n        2.5: [b, {3: c, d: e}]\n")) == ()


@pytest.mark.parametrize("address", ["notes/missing.md", "not%20here.md#x", "a" * 300])
def test_each_missing_file_is_found_at_its_line(card: str, folder: Path, address: str) -> None:
    broken = replaced(card, "## Limits\n", f"## Limits\n\nSee this\n\n[file]({address}).\n")
    (found,) = lint_card(broken, folder=folder)
    assert (found.code, found.line, found.about) == ("link-broken", line_of(broken, "[file]("), address)


@pytest.mark.parametrize(
    "address",
    ["#nowhere", "#", "/sail", "/docs/hub/model-cards#x", "//example.org/x", "a%20b.md", "there.md#part", "./there.md",
     "mailto:a@example.org", "https://example.org/a%20b?c=d&e#f", "http://[::1", "javascript:x"],
)  # fmt: skip
def test_addresses_that_are_not_files_are_not_looked_up(card: str, folder: Path, address: str) -> None:
    (folder / "there.md").touch()
    (folder / "a b.md").touch()
    assert lint_card(replaced(card, "## Limits\n", f"## Limits\n\n[this]({address})\n"), folder=folder) == ()


def test_files_are_looked_up_only_below_a_folder(card: str, tmp_path: Path) -> None:
    assert lint_card(card) == ()
    found = lint_card(card, folder=tmp_path)
    assert [(finding.code, finding.about) for finding in found] == [
        ("link-broken", f"plots/{name}.{suffix}") for name in ("mixture", "scores") for suffix in ("svg", "png")
    ]


@pytest.mark.parametrize(
    "markdown",
    [
        '<p>\n<img src="plots/none.png" alt="x">\n</p>',
        "Inline <img width=3 src='plots/none.png'>.",
        "| a |\n|---|\n| [![x](plots/none.png)](https://example.org) |",
    ],
)
def test_images_are_found_anywhere(card: str, folder: Path, markdown: str) -> None:
    (found,) = lint_card(replaced(card, "## Limits\n", f"## Limits\n\n{markdown}\n"), folder=folder)
    assert (found.code, found.about) == ("link-broken", "plots/none.png")


def test_shares_sum_to_one(card: str) -> None:
    broken = replaced(card, "|  10.74% |", "|  11.74% |")
    found = {finding.code: finding for finding in lint_card(broken)}
    assert set(found) == {"shares-sum-differs", "mixture-differs"}
    assert found["shares-sum-differs"].line == line_of(card, "| Domain")
    assert found["shares-sum-differs"].message.startswith("the shares sum to 101%")


def test_figures_agree_with_the_model_index(card: str) -> None:
    broken = replaced(card, "      value: 82.48\n", "      value: 82.51\n")
    found = only(broken)
    row = line_of(card, "| 3         |")
    assert (found.code, found.line) == ("model-index-differs", line_of(broken, "82.51"))
    assert found.message == f"SciQ seed 3: the model-index says 82.51, the table on line {row} says 82.48"
    assert lint_card(replaced(card, "      value: 82.48\n", "      value: 82.4849\n")) == (), "to the printed digits"
    sd = only(replaced(card, "        sd: 1.09\n", "        sd: 1.19\n"))
    assert (sd.code, sd.about) == ("model-index-differs", "SciQ score, mean of 5 seeds, sd")
    average = replaced(card, "      value: 46.97\n", "      value: 47.97\n")
    assert only(average).about == "Average of 13 tasks seed 3"


def test_an_edited_figure_contradicts_those_computed_from_it(card: str) -> None:
    broken = replaced(card, "        82.48 |", "        28.48 |")
    assert [(finding.code, finding.about) for finding in lint_card(broken)] == [
        ("model-index-differs", "SciQ seed 3"),
        ("mean-differs", "SciQ mean"),
        ("sd-differs", "SciQ sd"),
    ]
    measured = broken.replace("### Published, not re-measured", "### Measured")
    assert ("average-differs", "Average seed 3") in [(finding.code, finding.about) for finding in lint_card(measured)]
    wrong = replaced(card, "| 65.54\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.68 |", "| 65.54 ± 0.66 |")
    (index, table) = lint_card(wrong)
    assert codes((index, table)) == ["model-index-differs", "sd-differs"]
    assert table.message == "PIQA sd: the card says 0.66, the 5 rows give 0.678"
    assert table.line == line_of(card, "| mean ± sd")


def test_copied_averages_are_not_checked(card: str) -> None:
    row = card[card.index("| 3         |") :].split("\n")[0]
    both = replaced(card, row, row.replace("46.97", "45.97")).replace("value: 46.97", "value: 45.97")
    assert {finding.about for finding in lint_card(both)} == {"Average mean"}
    measured = lint_card(both.replace("### Published, not re-measured", "### Measured"))
    assert (measured[0].code, measured[0].line) == ("average-differs", line_of(both, "| 3         |"))
    assert measured[0].message == "Average seed 3: the card says 45.97, the mean of the row is 46.971"


def test_means_are_checked_if_all_rows_are_complete() -> None:
    table = "---\nlicense: mit\n---\n\n| Seed | A | Average |\n|--|--|--|\n| 1 | — | 1 |\n| 2 | 4.0 | 4.0 |\n"
    assert lint_card(table + "| mean ± sd | 99 ± 1 | 2.5 ± 2.1 |\n") == ()
    assert only(table + "| mean ± sd | 99 ± 1 | 2.5 ± 4.1 |\n").about == "Average sd"


def test_scores_are_percentages() -> None:
    table = "---\nlicense: mit\n---\n\n| Index | A | Average |\n|--|--|--|\n| 3 | 101.0 | 101.0 |\n| 4 | -1 | -1 |\n"
    findings = lint_card(table)
    assert set(codes(findings)) == {"score-out-of-range"}
    assert [(finding.line, finding.about) for finding in findings] == [
        (7, "A index 3"),
        (7, "Average index 3"),
        (8, "A index 4"),
        (8, "Average index 4"),
    ]


SCORES = st.integers(1, 14).flatmap(
    lambda width: st.lists(st.lists(st.floats(0, 100), min_size=width, max_size=width), min_size=2, max_size=8)
)


def score_table(rows: list[list[float]], decimals: int) -> list[list[str]]:
    """Return the rows of a table whose averages, means and sds come from unrounded scores."""
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
def test_a_correct_table_has_no_findings(rows: list[list[float]], decimals: int) -> None:
    found = lint_card(page_of(score_table(rows, decimals)))
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
    found = [(finding.code, finding.about) for finding in lint_card(page_of(table))]
    assert ("average-differs", f"Average seed {row + 1}") in found


@given(st.floats(0, 1000), st.integers(0, 6))
def test_a_figure_may_be_what_it_was_rounded_from(value: float, decimals: int) -> None:
    figure = Figure.read(f"{value:.{decimals}f}")
    assert figure is not None
    assert figure.rounds(value)
    far = value + 1.2 * 10.0**-decimals
    assert not figure.rounds(far)


@pytest.mark.parametrize(
    "text", ["", "—", "— (5 of 6)", "1.0 ± 0.5", "1,838", "1 to 2", "0x1", "nan", "1e999", "0e999"]
)
def test_text_that_is_not_a_figure(text: str) -> None:
    assert Figure.read(text) is None


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30), st.integers(0, 4))
def test_rounded_shares_have_no_findings(weights: list[float], decimals: int) -> None:
    rows = "".join(f"| d{i} | {100 * w / sum(weights):.{decimals}f}% |\n" for i, w in enumerate(weights))
    assert lint_card(f"---\nlicense: mit\n---\n\n| Domain | Share |\n|---|---|\n{rows}") == ()


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_lines_are_counted_with_any_line_end(card: str, folder: Path, separator: str) -> None:
    text = replaced(card, "## Limits\n", "## Limits\n\n[this](nowhere)\n").replace("\n", separator)
    (found,) = lint_card(text, folder=folder)
    assert found.line == card[: card.index("## Limits")].count("\n") + 3


@settings(max_examples=60)
@given(st.text(max_size=80) | st.lists(st.sampled_from("|-\n :`[](#)!<>\\a1%±.\r\t"), max_size=80).map("".join))
def test_any_text_can_be_checked(text: str) -> None:
    for page in (text, f"---\na: b\n---\n{text}", f"---\n{text}\n---\n\n# A"):
        for finding in lint_card(page, folder=Path()):
            assert 0 <= finding.line <= page.count("\n") + page.count("\r") + 1
            assert finding.message
            assert finding.hint


def test_findings_of_a_hub() -> None:
    refused, warned = hub_findings(["no license"], ["empty"], "README.md", "local")
    assert codes((refused, warned)) == ["card-refused", "card-doubted"]
    assert str(refused) == "README.md: local refuses the metadata: no license"
    assert str(warned) == "README.md: local warns: empty"


@pytest.mark.parametrize(
    ("old", "new", "code", "about"),
    [
        ("train_the_pile_arxiv: 0.1052", "train_the_pile_arxiv: 0.9052", "mixture-differs", "arxiv"),
        ("train_the_pile_arxiv: 0.1052", "train_the_pile_arxiv 0.1052", "mixture-malformed", "train"),
        ("_arxiv: 0.1052", "_xiv: 0.1052", "mixture-differs", "train_the_pile_xiv"),
        ("64.70\u00a0to\u00a066.39", "66.39 to 64.70", "interval-differs", "PIQA 95 % interval over seeds"),
        ("64.70\u00a0to\u00a066.39", "10.00 to 12.00", "interval-differs", "PIQA 95 % interval over seeds"),
        ("AutoModelForCausalLM.from", "AutoModel.from", "model-headless", "AutoModel"),
        ('1b", revision="seed-1")\ntok', '1b", revision="seed-9")\ntok', "revision-unlisted", "seed-9"),
        ("value: 82.48", "value: '92.48'", "model-index-differs", "SciQ seed 3"),
    ],
)
def test_edited_blocks_and_figures(card: str, old: str, new: str, code: str, about: str) -> None:
    found = lint_card(replaced(card, old, new))
    assert (code, about) in [(finding.code, finding.about) for finding in found]


def test_a_changed_weight_is_one_finding(card: str) -> None:
    found = lint_card(replaced(card, "train_the_pile_arxiv: 0.1052", "train_the_pile_arxiv: 0.9052"))
    (differs,) = (finding for finding in found if finding.code == "mixture-differs")
    assert differs.message.endswith("the mixture gives 57.05%; and 16 more")


MIXTURE = "---\nlicense: mit\n---\n\n```yaml\ntrain:\n  train_a: 1\n  train_b: 3\n```\n\n"


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("| Domain | Share |\n|-|-|\n| a | 25% |\n| b | 75% |\n", []),
        ("|  domain | SHARE |\n|-|-|\n| a | 20% |\n| b | 80% |\n", ["a"]),
        ("| Domain | Share |\n|-|-|\n| a | — |\n| b | 75% |\n", []),
        ("| Domain | Share |\n|-|-|\n| a | — |\n| b | 70% |\n", ["b"]),
        ("| Domain | Share |\n|-|-|\n| a | 25% |\n| c | 75% |\n", ["train_b"]),
        ("| Domain | Share |\n|-|-|\n| a | 25% |\n| | 75% |\n", ["train_b"]),
        ("| Share | Domain |\n|-|-|\n| 20% | a |\n| 80% | b |\n", []),
    ],
)
def test_a_mixture_is_compared_with_the_shares_that_can_be_read(table: str, found: list[str]) -> None:
    findings = lint_card(MIXTURE + table)
    assert [(finding.code, finding.about) for finding in findings] == [("mixture-differs", about) for about in found]


def test_yaml_that_only_looks_like_a_mixture_is_skipped() -> None:
    assert lint_card('---\nlicense: mit\n---\n\n```yaml\na: "x\ntrain: y"\n```\n') == ()


def test_a_figure_that_is_only_in_the_table_is_found(card: str) -> None:
    entry = "    - type: accuracy\n      value: 82.48\n      name: score, seed 3\n      args:\n        seed: 3\n"
    assert entry in card
    found = lint_card(card.replace(f"{entry}        num_fewshot: 0-5\n", "", 1))
    assert [(f.about, f.code) for f in found] == [("SciQ seed 3", "model-index-incomplete")]


@pytest.mark.parametrize(("tag", "found"), [("text-generation", ["model-headless"]), ("feature-extraction", [])])
def test_only_language_models_need_a_head(tag: str, found: list[str]) -> None:
    text = f'---\npipeline_tag: {tag}\n---\n\n```python\nAutoModel.from_pretrained("a/b")\n```\n'
    assert codes(lint_card(text)) == found


def test_code_of_others_has_no_findings() -> None:
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

```yaml
train: {batch_size: many}
```

    train:

```python
AutoModelForCausalLM
```

<details><summary>More</summary>

x

</details>
"""
    assert not lint_card(text)
