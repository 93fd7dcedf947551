"""Tables that somebody printed: what is read of them, and what is refused, with its place."""

import pytest

import mixhub
from mixhub.analysis.published.figures import is_unclear, read_figure
from mixhub.analysis.published.reading import read_published, table_file
from mixhub.analysis.published.table import Figure, published_table
from mixhub.analysis.published.titles import WELL_KNOWN, find_task
from mixhub.card.page.render import render_catalog
from mixhub.errors import ResultsError
from mixhub.spec import Task, catalog
from tests.refusals import refused

TASKS = (
    Task(name="piqa", title="PIQA", documents=1838),
    Task(name="social_iqa", title="SocialIQA", documents=1954),
    Task(name="arc_easy", title="ARC Easy", documents=2376),
)
CARD = """\
---
license: mit
---

# A card

| Setting | Value |
|:--------|:------|
| Rate | 4e-4 |

| Seed | PIQA | SocialIQA | ARC Easy | Average |
|-----:|-----:|----------:|---------:|--------:|
| 1 | 65.00 | 33.61 | 49.40 | 49.34 |
| 2 | 65.03 | 33.69 | 51.36 | 50.03 |
"""
TABLE = CARD[CARD.index("| Seed") :]


@pytest.fixture
def read(tmp_path):
    def read(text, name="card.md", tasks=TASKS):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_published(path, tasks)

    return read


def plain(table):
    """Values by row and title, with the average last."""
    return {
        row.label: [*(figure.value for figure in row.figures.values()), row.average.value if row.average else None]
        for row in table.rows
    }


EXPECTED = {"1": [65.0, 33.61, 49.4, 49.34], "2": [65.03, 33.69, 51.36, 50.03]}


def test_a_card_is_read_with_its_place_and_digits(read, tmp_path):
    table = read(CARD)
    assert plain(table) == EXPECTED
    assert table.source == f"{tmp_path}/card.md:11"
    assert [column.task.name for column in table.columns] == ["piqa", "social_iqa", "arc_easy"]
    assert table.rows[0].figures["PIQA"] == Figure(65.0, 2)
    assert (table.scale, table.spreads) == ("percent", ())
    assert (table.row_name("1"), table.row_name("mixture 1")) == ("seed 1", "mixture 1")


def test_the_specification_and_the_rendered_card_hold_the_same_table(read):
    family = catalog.get("human-1b")
    printed = published_table(family)
    card = read(render_catalog("human-1b").text, tasks=family.evaluation.tasks)
    assert [row.figures for row in card.rows] == [row.figures for row in printed.rows]
    assert [row.average for row in card.rows] == [row.average for row in printed.rows]
    assert printed.rows[0].label == "seed-1"
    assert printed.rows[0].figures["PIQA"] == Figure(65.0, 2)
    assert [row.label for row in card.spreads] == ["mean ± sd"]
    assert card.spreads[0].figures["PIQA"] == Figure(65.54, 2, 0.68, 2)


def test_a_family_without_published_scores_has_no_table():
    assert published_table(catalog.get("doremi-1b")) is None


@pytest.mark.parametrize(
    "table",
    [
        "| Seed | PIQA | SocialIQA | ARC Easy | Avg. |\n|-|-|-|-|-|\n| 1 | 65.00 | 33.61 | 49.40 | 49.34 |\n"
        "| 2 | 65.03 | 33.69 | 51.36 | 50.03 |",
        "Seed | piqa | social-iqa | ARC_Easy (acc_norm) | Average\n:-: | --- | --- | ---: | ---\n"
        "1 | 65.00 | 33.61 | 49.40 | 49.34\n2 | 65.03 | 33.69 | 51.36 | 50.03",
        "> | | **PIQA** ↑ | [Social IQA](https://x/y_z) | `arc_easy`[^1] | _Average_ |\n> |-|-|-|-|-|\n"
        "> | **1** | **65.00** | 33.61<sup>2</sup> | 49.40\\* | $49.34$ |\n"
        "> | 2 | 65.03% | *33.69*† | &nbsp;51.36 | 50.03 |",
        "| Seed | Params | PIQA | Commit | SocialIQA | ARC Easy | Average |\n|-|-|-|-|-|-|-|\n"
        "| 1 | 1B | 65.00 | ab12 | 33.61 | 49.40 | 49.34 |\n| 2 | 1B | 65.03 | - | 33.69 | 51.36 | 50.03 |",
        "| Benchmark | Metric | Documents | 1 | 2 |\n|-|-|-|-|-|\n| PIQA | acc_norm | 1,838 | 65.00 | 65.03 |\n"
        "| SocialIQA | acc | 1,954 | 33.61 | 33.69 |\n| ARC Easy | acc_norm | 2,376 | 49.40 | 51.36 |\n"
        "| Average | | | 49.34 | 50.03 |",
    ],
    ids=["plain", "without outer pipes", "marked up", "with columns of words", "turned"],
)
def test_forms_of_a_table(read, table):
    assert plain(read(f"Some text.\n\n{table}\n\nMore | text.\n")) == EXPECTED


@pytest.mark.parametrize("break_", ["\u2028", "\x0c", "\x85", "\v"])
def test_characters_that_end_no_line_of_markdown_do_not_move_the_rows(read, break_):
    assert plain(read(f"Some{5 * break_}text.\n\n{TABLE}")) == EXPECTED


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("seed,PIQA,SocialIQA,ARC Easy,Average\n1,65.00,33.61,49.40,49.34\n\n2,65.03,33.69,51.36,50.03\n", "t.csv"),
        ("\ufeffseed,piqa,social_iqa,arc_easy,mean\n1,65.00,33.61,49.40,49.34\n2,65.03,33.69,51.36,50.03", "t.CSV"),
        (
            "task\t1\t2\nPIQA\t65.00\t65.03\nSocialIQA\t33.61\t33.69\nARC Easy\t49.40\t51.36\nmean\t49.34\t50.03",
            "t.tsv",
        ),
    ],
    ids=["csv", "with a mark of byte order", "tsv, turned"],
)
def test_delimited_files(read, text, name):
    assert plain(read(text, name)) == EXPECTED


def test_code_comments_and_metadata_are_no_tables(read, tmp_path):
    hidden = f"```\n{TABLE}\n```\n\n~~~text\n{TABLE}\n```\n~~~\n\n<!-- {TABLE} -->\n\n<!--\n{TABLE}\n-->\n\n"
    table = read(hidden + CARD.removeprefix("---\nlicense: mit\n---\n"))
    assert plain(table) == EXPECTED
    metadata = f"---\ntext: |\n  {TABLE.replace(chr(10), chr(10) + '  ')}\n---\n"
    with refused("table-missing", ResultsError, path=tmp_path / "card.md"):
        read(metadata)


def test_of_several_tables_the_one_of_seeds_is_read(read):
    means = "| Mixture | PIQA | ARC Easy |\n|-|-|-|\n| Human | 65.5 | 50.0 |\n| RegMix | 66.5 | 51.0 |\n\n"
    sizes = (
        "| Task | Name in lm-eval | Version | Metric | Documents | Cells |\n|-|-|-|-|-|-|\n"
        "| PIQA | `piqa` | 1.0 | acc_norm | 1,838 | 30 of 30 |\n"
        "| ARC Easy | `arc_easy` | 1.0 | acc_norm | 2,376 | 30 of 30 |\n"
    )
    assert plain(read(f"{means}{TABLE}\n{sizes}")) == EXPECTED
    assert plain(read(means))["Human"] == [65.5, 50.0, None]
    with refused("table-missing", ResultsError):
        read(sizes)


def test_one_of_several_tables_can_be_named_by_its_line(read, tmp_path):
    with refused("table-ambiguous", ResultsError, lines=(1, 6)) as caught:
        read(TABLE + "\n" + TABLE.replace("65.03", "66.03"))
    assert f"{tmp_path / 'card.md'}:1" in caught.value.hint
    assert table_file(f"{tmp_path / 'card.md'}:6") == (tmp_path / "card.md", 6)
    assert plain(read_published(tmp_path / "card.md", TASKS, 6))["2"][0] == 66.03
    with refused("table-missing", ResultsError):
        read_published(tmp_path / "card.md", TASKS, 7)
    assert table_file("results/") is None


@pytest.mark.parametrize(
    ("label", "is_spread"),
    [
        ("mean ± sd", True),
        ("Mean", True),
        ("Average", True),
        ("mean over 5 seeds", True),
        ("Std. dev.", True),
        ("seed 3", False),
        ("mean-pooled", False),
        ("3", False),
    ],
)
def test_rows_that_sum_up_are_kept_apart(read, label, is_spread):
    table = read(f"{TABLE}| {label} | 65.02 ± 0.02 | 33.65 | 50.38 | 49.69 |\n")
    assert [row.label for row in table.spreads] == ([label] if is_spread else [])
    assert len(table.rows) == 2 + (not is_spread)


def test_the_table_that_lm_eval_prints(read):
    table = read(
        "|Tasks |Version|Filter|n-shot| Metric |   |Value |   |Stderr|\n|---|---:|---|---:|---|---|---:|---|---:|\n"
        "|piqa  |      1|none  |     0|acc     |↑  |0.6500|±  |0.0111|\n"
        "|      |       |none  |     0|acc_norm|↑  |0.6600|±  |0.0111|\n"
        "|arc_easy|    1|none  |     0|acc     |↑  |0.4940|±  |0.0103|\n"
        "|      |       |none  |     0|acc_norm|↑  |0.4500|±  |0.0102|\n"
    )
    assert plain(table) == {"Value": [66.0, 45.0, None]}
    assert table.rows[0].figures["piqa"] == Figure(66.0, 2, 1.11, 2)
    assert (table.rows[0].limit, [column.num_fewshot for column in table.columns]) == (None, [0, 0])


PRINTED = """\
hf (pretrained=org/model,dtype=float32), gen_kwargs: (None), limit: {limit}, num_fewshot: None, batch_size: 8
|      Tasks      |Version|     Filter     |n-shot|    Metric     |   | Value |   |Stderr|
|-----------------|------:|----------------|-----:|---------------|---|------:|---|------|
|arc_easy         |      1|none            |     0|acc            |↑  | 0.7380|±  |0.0139|
|                 |       |none            |     0|acc_norm       |↑  | 0.6850|±  |0.0147|
|gsm8k            |      3|flexible-extract|     5|exact_match    |↑  | 0.0250|±  |0.0043|
|                 |       |strict-match    |     5|exact_match    |↑  | 0.0200|±  |0.0040|
|mmlu             |      2|none            |      |acc            |↑  | 0.2909|±  |0.0050|
| - humanities    |      2|none            |      |acc            |↑  | 0.3000|±  |0.0060|
|  - formal_logic |      1|none            |     0|acc            |↑  | 0.2500|±  |0.0300|
|wikitext         |      2|none            |     0|bits_per_byte  |↓  | 0.8700|±  |   N/A|
|                 |       |none            |     0|word_perplexity|↓  |30.5000|±  |   N/A|
|piqa             |      1|none            |     0|acc            |↑  | 0.6990|±  |0.0145|

|     Groups      |Version|Filter|n-shot|Metric|   |Value |   |Stderr|
|-----------------|------:|------|------|------|---|-----:|---|-----:|
|mmlu             |      2|none  |      |acc   |↑  |0.2909|±  |0.0050|
| - humanities    |      2|none  |      |acc   |↑  |0.3000|±  |0.0060|
"""


@pytest.mark.parametrize("fence", ["", "```\n", "~~~text\n"])
@pytest.mark.parametrize(("limit", "expected"), [("1000.0", 1000.0), ("None", None), ("0.5", 0.5)])
def test_all_that_lm_eval_prints(read, fence, limit, expected):
    closing = fence.strip().removesuffix("text")
    table = read(f"# A model\n\n{fence}{PRINTED.format(limit=limit)}{closing}\n")
    (row,) = table.rows
    assert (row.label, row.limit) == ("org/model", expected)
    assert {title: (figure.value, figure.stderr) for title, figure in row.figures.items()} == {
        "arc_easy": (68.5, 1.47),
        "gsm8k (exact_match,flexible-extract)": (2.5, 0.43),
        "mmlu": (29.09, 0.5),
        "wikitext (bits_per_byte)": (0.87, None),
        "piqa": (69.9, 1.45),
    }
    assert [column.num_fewshot for column in table.columns] == [0, 5, None, 0, 0]
    assert [column.task and column.task.documents for column in table.columns] == [2376, None, None, None, 1838]


def test_prints_of_several_models_are_rows(read):
    other = PRINTED.format(limit=10).replace("org/model", "org/other").replace("0.6850", "0.7000")
    table = read(f"{PRINTED.format(limit='None')}\n\n{other}")
    assert [(row.label, row.limit) for row in table.rows] == [("org/model", None), ("org/other", 10)]
    assert [row.figures["arc_easy"].value for row in table.rows] == [68.5, 70.0]


def test_prints_without_header_and_with_other_tasks_are_one_row(read):
    head = "|Task|Version|Metric|Value| |Stderr|\n|-|-|-|-|-|-|\n"
    one = f"### A\n```\n{head}|piqa|0|acc|0.5|±|0.1|\n| | |acc_norm|0.6|±|0.1|\n```\n"
    table = read(f"{one}### B\n```\n{head}|arc_easy|0|acc|0.7|±|0.1|\n```\n")
    assert plain(table) == {"Value": [60.0, 70.0, None]}


@pytest.mark.parametrize(
    ("title", "name"),
    [
        *((title, "openbookqa") for title in ("Obqa", "OBQA", "OpenBookQA", "openbookqa/acc_norm")),
        *((title, "arc_easy") for title in ("ARC_e", "ARC-e", "ARC-E", "arc_easy/acc", "ARC Easy✱", "ARC-e ↑")),
        *((title, "social_iqa") for title in ("SIQA", "Social IQA", "social-iqa 5 shot")),
        *((title, "winogrande") for title in ("WG", "WinoGrande", "Winogrande(5-shot)", "Winogrande [12]")),
        *((title, "piqa") for title in ("piqa/acc", "PIQA 0-shot", "PIQA✱", "PIQA (EM)", "PIQA, acc norm")),
        *((title, "lambada_openai") for title in ("LAMBADA OpenAI", "lambada_openai", "LAMBADA (OpenAI)")),
        *((title, "lambada_standard") for title in ("LAMBADA", "lambada_standard", "LAMBADA (acc)")),
        *((title, "hellaswag") for title in ("HellaSwag(10-shot)", "hellaswag zero-shot", "HS")),
        *((title, None) for title in ("", "acc", "LogiQA 2.0", "RACE-h", "LAMBADA (translated)", "piqa2", "Average")),
    ],
)  # fmt: skip
def test_titles_of_tasks(title, name):
    found = find_task(title, (*catalog.get("human-1b").evaluation.tasks, *WELL_KNOWN))
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("text", "value", "stderr"),
    [
        (r"$65.0_{\pm 1.1}$", 65.0, 1.1),
        (r"65.0_{\pm 1.1}", 65.0, 1.1),
        ("65.0 (±1.1)", 65.0, 1.1),
        *(
            (text, 65.0, None)
            for text in (
                *("65.0 (1.1)", "65.0 (+1.2)", "65.0 +1.2", "65.0 ↑", "65.0 ↑1.2", "65.0 (↓1.2)", "65,0", "(65.0)"),
                *("🥇 65.0", "65.0✱", "65.0 (?)", "65.0 (5-shot)", "65.0 [64.1, 65.9]", "1️⃣ 65.0", "65.0†", "65.0 ± x"),
                *(r"\textbf{65.0}", r"$\mathbf{\underline{65.0}}^{*}$", r"65.0$^\dagger$", "65.0_{1.1}", "65.0 %"),
            )
        ),
    ],
)  # fmt: skip
def test_cells_that_state_one_figure(text, value, stderr):
    found = read_figure(text)
    assert (float(found.value), found.stderr and float(found.stderr)) == (value, stderr)
    assert not is_unclear(text)


@pytest.mark.parametrize(
    "text", ["", "/", "TBD", "N.A.", "N/A", "OOM", "?", "-", "✗", "nan", "inf", "— (3 of 6 cells)"]
)
def test_cells_that_state_none(text):
    assert read_figure(text) is None
    assert not is_unclear(text)


@pytest.mark.parametrize(
    "text", ["65.0 / 70.0", "65-70", "65–70", "65.0 (70.0)", "1,838", "~65", "<1", "3_3", "7B", "65.0 70.0", "6.5.1"]
)
def test_cells_that_are_not_clear_are_left_out_with_a_note(read, text):
    assert read_figure(text) is None
    table = read(TABLE.replace("33.69", text))
    assert list(table.rows[1].figures) == ["PIQA", "ARC Easy"]
    (note,) = table.notes
    assert f"SocialIQA of 2 (line 4): {text!r}" in note


def test_tables_in_html(read):
    table = read(
        "# Model\n<!-- <table><tr><td>PIQA</td></tr></table> -->\n\n<table>\n  <tr>\n"
        "<td rowspan=2><b>Category</b></td><td><b>Benchmark</b></td><td>#&nbsp;Shots</td><td>ours</td><td>theirs<sup>2"
        "</sup></td>\n  </tr>\n\n<tr><td>PIQA</td><td>5</td><td>65.0</td><td>66.0</td></tr>\n"
        '<tr><td rowspan="2">Text</td><td>SIQA<br>(0-shot)</td><td>0</td><td>33.0</td><td>n/a</td></tr>\n'
        "<tr><td>ARC-E</td><td>0</td><td>49.0</td><td>50.0</td>\n<tr><td colspan=5>More</td></tr></table>\n"
    )
    assert plain(table) == {"ours": [65.0, 33.0, 49.0, None], "theirs": [66.0, 50.0, None]}
    assert table.source.endswith("card.md:5")


@pytest.mark.parametrize(
    "text",
    [
        "<table></table>",
        "<table><tr></tr><tr></tr></table>",
        "<table><td colspan=99999 rowspan=x>PIQA</table>",
        "<table><tr><td>PIQA<td>ARC-e",
        "<table>" * 50,
    ],
)
def test_html_without_a_table_of_scores(read, text):
    with refused("table-missing", ResultsError):
        read(text)


def test_tasks_in_the_second_column(read):
    table = read(
        "| | Benchmark (Metric) | # Shots | A | B |\n|---|---|---|---|---|\n| | Architecture | - | MoE | Dense |\n"
        "| | # Activated Params | - | 21B | 72B |\n| English | PIQA (EM) | 0-shot | 83.9 | **85.9** |\n"
        "| | HellaSwag (EM) | 10-shot | 87.1 | 84.8 |\n| | | | | |\n| | ARC-Easy (EM) | 25-shot | 97.6 | 98.4 |\n"
    )
    assert plain(table) == {"A": [83.9, 87.1, 97.6, None], "B": [85.9, 84.8, 98.4, None]}


def test_empty_columns_and_divider_rows(read):
    table = read(
        "| | Model | PIQA | SIQA |\n|-|-|-|-|\n| | A | 65.0 | 33.0 |\n| | *ours* | | |\n|||||\n| | B | 66.0 | / |\n"
    )
    assert plain(table) == {"A": [65.0, 33.0, None], "B": [66.0, None]}


def test_a_table_in_a_block_of_code_is_read_if_there_is_no_other(read):
    table = read(f"# Log\n\n```\n{TABLE}```\n")
    assert plain(table) == EXPECTED
    assert table.source.endswith("card.md:4")


def test_of_no_table_it_is_said_what_was_looked_at(read):
    text = (
        "| a | b |\n|-|-|\n| 1 | 2 |\n\n<table><tr><td>x</td></tr></table>\n\n```\n| c | d |\n|-|-|\n| 1 | 2 |\n```\n"
    )
    with refused("table-missing", ResultsError, lines=(1, 5, 8)) as caught:
        read(text)
    assert "line 1, line 5 (HTML), line 8 (block of code)" in caught.value.message


def test_rows_of_one_name_are_told_apart(read):
    table = read("| Model | PIQA | SIQA |\n|-|-|-|\n| A | 65.0 | 33.0 |\n| A | 66.0 | 34.0 |\n")
    assert plain(table) == {"A": [65.0, 33.0, None], "A (line 4)": [66.0, 34.0, None]}


def test_two_columns_of_one_task_keep_their_titles(read, tmp_path):
    read("| Model | SIQA (zero-shot) | SIQA (few-shot) | PIQA |\n|-|-|-|-|\n| A | 65.0 | 33.0 | 70.0 |\n")
    found = mixhub.results(tmp_path / "card.md")
    assert found.loc["A"].tolist()[:3] == [65.0, 33.0, 70.0]


def test_the_spread_of_a_turned_table(read):
    table = read(
        "| | 1 | 2 | mean ± sd |\n|-|-|-|-|\n| PIQA | 65.0 | 66.0 | 65.5 ± 0.7 |\n| ARC Easy | 49 | 50 | 49.5 ± 0.7 |"
    )
    assert [row.label for row in table.rows] == ["1", "2"]
    assert table.spreads[0].figures["PIQA"] == Figure(65.5, 1, 0.7, 1)


@pytest.mark.parametrize("mark", ["±", "+/-", "+-", r"$\pm$", "&plusmn;"])
def test_standard_errors(read, mark):
    table = read(f"| Seed | PIQA | ARC Easy |\n|-|-|-|\n| 1 | 65.00 {mark} 1.11 | 49.4 (± 1.0) |")
    assert table.rows[0].figures == {"PIQA": Figure(65.0, 2, 1.11, 2), "ARC Easy": Figure(49.4, 1, 1.0, 1)}


@pytest.mark.parametrize("blank", ["", "-", "—", "–", "n/a", "— (3 of 6 cells)"])
def test_no_figure(read, blank):
    table = read(TABLE.replace("33.61", blank))
    assert list(table.rows[0].figures) == ["PIQA", "ARC Easy"]
    assert list(table.rows[1].figures) == ["PIQA", "SocialIQA", "ARC Easy"]


def test_fractions_become_percent_with_their_digits(read):
    table = read(
        "| Seed | PIQA | ARC Easy | Loss | Average |\n|-|-|-|-|-|\n| 1 | 0.6500 ± 0.0111 | 0.5 | 2.31 | 0.575 |"
    )
    figures = table.rows[0].figures
    assert (table.scale, figures["PIQA"], figures["ARC Easy"]) == (
        "fraction",
        Figure(65.0, 2, 1.11, 2),
        Figure(50.0, -1),
    )
    assert (figures["Loss"], table.rows[0].average) == (Figure(2.31, 2), Figure(57.5, 1))


def test_one_figure_above_1_makes_them_percent(read):
    assert read("| Seed | PIQA | ARC Easy |\n|-|-|-|\n| 1 | 0.65 | 50 |").scale == "percent"


def test_figures_that_are_no_percentages_are_kept(read):
    table = read(TABLE.replace("33.61", "-3.61").replace("51.36", "151.36"))
    assert table.rows[0].figures["SocialIQA"].value == -3.61
    assert table.rows[1].figures["ARC Easy"].value == 151.36


def test_unknown_columns_are_kept_without_a_task(read):
    table = read("| Seed | PIQA | Loss | ARC Easy |\n|-|-|-|-|\n| 1 | 65.0 | 2.31 | 49.4 |")
    assert [(column.title, column.task and column.task.name) for column in table.columns] == [
        ("PIQA", "piqa"),
        ("Loss", None),
        ("ARC Easy", "arc_easy"),
    ]


def test_a_suite_of_one_task(read):
    assert plain(read("| Seed | PIQA |\n|-|-|\n| 1 | 65.0 |", tasks=TASKS[:1])) == {"1": [65.0, None]}


@pytest.mark.parametrize(
    ("text", "name", "code", "fields"),
    [
        ("# Nothing here\n", "card.md", "table-missing", {}),
        ("", "t.csv", "table-missing", {}),
        (TABLE + "\n" + TABLE, "card.md", "table-ambiguous", {"lines": (1, 6)}),
        (TABLE.replace("| 49.34 |", "|"), "card.md", "table-ragged", {"line": 3}),
        (TABLE.replace("| 50.03 |", "| 50.03 | 1 |"), "card.md", "table-ragged", {"line": 4}),
        (TABLE.replace("|-----:|", "|", 1), "card.md", "table-missing", {}),
        ("seed,PIQA,ARC Easy\n1,65.0\n", "t.csv", "table-ragged", {"line": 2}),
        (TABLE.replace("ARC Easy", "piqa"), "card.md", "label-repeated", {"line": 1, "column": "piqa"}),
        (TABLE.replace("| 2 |", "| 1 |"), "card.md", "label-repeated", {"line": 4, "row": "1"}),
        (TABLE.replace("| 1 |", "| mean |").replace("| 2 |", "| sd |"), "card.md", "table-empty", {"line": 1}),
        ("| Seed | PIQA | ARC Easy |\n|-|-|-|\n", "card.md", "table-empty", {"line": 1}),
        ('seed,PIQA,ARC Easy\n1,"65.0,4\n', "t.csv", "table-malformed", {"line": 2}),
        (TABLE, "card.txt", "table-format-unknown", {}),
    ],
)
def test_what_is_refused_is_named_with_its_place(read, tmp_path, text, name, code, fields):
    with refused(code, ResultsError, path=tmp_path / name, **fields) as caught:
        read(text, name)
    place = f"{tmp_path / name}:{fields['line']}: " if "line" in fields else f"{tmp_path / name}: "
    assert caught.value.message.startswith(place)
    assert caught.value.hint


def test_files_that_cannot_be_read(tmp_path):
    with refused("file-missing", ResultsError, path=tmp_path / "none.md"):
        read_published(tmp_path / "none.md", TASKS)
    (tmp_path / "latin.md").write_bytes("| Prüfung |".encode("latin-1"))
    with refused("file-malformed", ResultsError, path=tmp_path / "latin.md") as caught:
        read_published(tmp_path / "latin.md", TASKS)
    assert "byte 4" in caught.value.message


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_csv_of_a_spreadsheet_with_decimal_commas(read, delimiter):
    text = "seed;piqa;social_iqa;arc_easy;mean\n1;65,00;33,61;49,40;49,34\n2;65,03;33,69;51,36;50,03\n"
    assert plain(read(text.replace(";", delimiter), "t.csv")) == EXPECTED


def test_columns_of_standard_errors_are_no_tasks(read):
    table = read("seed,piqa,piqa_stderr,social_iqa,social_iqa (SE)\n1,0.65,0.01,0.3361,0.02\n", "t.csv")
    assert [column.title for column in table.columns] == ["piqa", "social_iqa"]
    assert table.rows[0].figures["piqa"] == Figure(65.0, 0, 1.0, 0)


def test_a_table_without_labels_keeps_its_first_task(read):
    table = read("PIQA | SocialIQA\n--- | ---\n65.00 | 33.61\n65.03 | 33.69\n")
    assert plain(table) == {"line 3": [65.0, 33.61, None], "line 4": [65.03, 33.69, None]}


def test_the_end_of_a_html_table_may_be_missing(read):
    table = read("<table><tr><th>Seed<th>PIQA<th>SocialIQA<tr><td>1<td>65.00<td>33.61")
    assert plain(table) == {"1": [65.0, 33.61, None]}


def test_a_table_without_figures_is_refused_and_cells_of_its_tasks_are_named(read):
    with refused("table-empty", ResultsError, line=1):
        read("seed,piqa,arc_easy\n1,nan,TBD\n", "t.csv")
    assert "1e400" in read("seed,piqa,arc_easy\n1,65,1e400\n", "t.csv").notes[0]
