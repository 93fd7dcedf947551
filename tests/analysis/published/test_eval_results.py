"""Results in a repo's files, in the Hub's own format: what is read, and how it is shown."""

from __future__ import annotations

import pytest

from mixhub import results
from mixhub.analysis.evidence import find_by_model
from mixhub.analysis.published.eval_results import parse_eval_results, read_eval_results
from mixhub.errors import ResultsError
from mixhub.spec import catalog
from mixhub.workflow import export_results, score_tables
from tests.analysis.written import write_results
from tests.refusals import refused

TASKS = catalog.get("human-1b").evaluation.tasks
HLE = "- dataset: {id: cais/hle, task_id: default}\n  value: 20.9\n  notes: no-tools\n"
GPQA = "- dataset: {id: Idavidrein/gpqa, task_id: diamond}\n  value: 0.412\n"
PIQA = "- dataset: {id: baber/piqa, task_id: piqa}\n  value: 0.5\n"


@pytest.fixture
def repo(tmp_path):
    """Makes the files of a repo, with results."""

    def write(**files: str):
        folder = tmp_path / "repo"
        (folder / ".eval_results").mkdir(parents=True)
        for name, text in files.items():
            (folder / ".eval_results" / f"{name.replace('__', '-')}.yaml").write_text(text)
        return folder

    return write


def figures(folder):
    table, _ = read_eval_results(folder, TASKS)
    (row,) = table.rows
    return table.scale, {title: figure.value for title, figure in row.figures.items()}


def test_values_are_fractions_if_all_can_be(repo):
    assert figures(repo(a=GPQA, b=PIQA)) == ("fraction", {"Idavidrein/gpqa diamond": 41.2, "baber/piqa piqa": 50})


def test_values_beside_percents_are_as_stated(repo):
    folder = repo(a=GPQA, b=HLE)
    assert figures(folder) == ("percent", {"Idavidrein/gpqa diamond": 0.412, "cais/hle default": 20.9})
    table, _ = read_eval_results(folder, TASKS)
    assert any("gpqa" in note for note in table.notes)


def test_two_results_of_a_task_are_two_columns(repo):
    _, found = figures(repo(hle=HLE, hle_tools=HLE.replace("20.9", "30.5") + HLE.replace("20.9", "31")))
    assert list(found.values()) == [20.9, 30.5, 31]


def test_known_tasks_are_found_by_their_id(repo):
    table, _ = read_eval_results(repo(a=PIQA, b=GPQA), TASKS)
    assert [task.name for task in table.tasks] == ["piqa"]


def test_they_are_published_scores_and_never_averaged(repo):
    folder = repo(a=GPQA, b=PIQA)
    (table,) = score_tables([str(folder)])
    assert table.standing == "published"
    assert [row.average.value for row in table.rows] == [None]
    frame = results(folder)
    assert frame.attrs["standing"] == "published"
    assert frame["Average"].isna().all()
    with refused("results-missing", ResultsError):
        export_results([str(folder)], folder.parent / "records")


def test_cells_of_the_folder_have_a_table_of_their_own(repo):
    folder = repo(a=GPQA)
    write_results(folder, {"piqa": [1, 0]}, revision="seed-1")
    measured, published = score_tables([str(folder)])
    assert (measured.standing, published.standing) == ("measured", "published")
    assert [row.revision for row in measured.rows] == ["seed-1"]
    assert [table.standing for table in score_tables([str(folder)], published=True)] == ["published"]
    write_results(folder, {"piqa": [1, 0]}, revision="seed-2", model="org/other")
    write_results(folder, {"piqa": [1, 0]}, revision="seed-3")
    assert [table.standing for table in score_tables([str(folder)])] == ["measured", "measured", "published"]


def test_what_a_push_wrote_for_a_cell_in_the_folder_is_not_shown_twice(repo):
    folder = repo(mixhub__x="", a=GPQA)
    own = folder / ".eval_results" / "mixhub-piqa.0shot.yaml"
    own.write_text(PIQA)
    (folder / ".eval_results" / "mixhub-x.yaml").unlink()
    assert figures(folder) == ("percent", {"Idavidrein/gpqa diamond": 0.412, "baber/piqa piqa": 0.5})
    (folder / "results").mkdir()
    (folder / "results" / "piqa.0shot.json").write_text("{}")
    assert list(figures(folder)[1]) == ["Idavidrein/gpqa diamond"]


def test_files_that_the_hub_cannot_read_are_named(repo):
    folder = repo(bad="- 3", a=GPQA)
    (published,) = find_by_model(str(folder))
    assert published.published is not None
    assert any("bad.yaml" in note for note in published.published.notes)
    (folder / ".eval_results" / "a.yaml").unlink()
    with refused("eval-result-malformed", ResultsError):
        score_tables([str(folder)])
    write_results(folder, {"piqa": [1, 0]})
    (measured,) = score_tables([str(folder)])
    assert any("bad.yaml" in note for note in measured.notes)


def test_an_empty_folder_has_no_results(repo):
    with refused("results-missing", ResultsError):
        score_tables([str(repo())])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- {",
        "{}",
        "- dataset: {id: 1, task_id: a}\n  value: 1",
        *(f"- dataset: {{id: a/b, task_id: a}}\n  value: {value}" for value in (".nan", ".inf", "9" * 400, "true")),
    ],
)
def test_malformed(text):
    with refused("eval-result-malformed", ResultsError, path="a.yaml"):
        parse_eval_results(text, "a.yaml")
