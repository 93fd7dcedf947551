"""What a record says, when it is written, and what is in the way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mixhub.analysis.every_eval_ever.instances import Question
from mixhub.errors import ResultsError, UnknownNameError, UsageError
from mixhub.files import locked
from mixhub.workflow import Selection, export_results
from mixhub.workspace.cells import read_cells
from mixhub.workspace.paths import Workspace
from tests.analysis.written import write_results, write_samples
from tests.refusals import refused


def records(folder: Path) -> dict[str, dict]:
    """The records by evaluation_id."""
    found = [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]
    return {one["evaluation_id"]: one for one in found}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path, record: dict) -> list[dict]:
    path = folder / record["detailed_evaluation_results"]["file_path"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record["detailed_evaluation_results"]["checksum"]
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_familys_cell_says_what_its_provenance_says(workspace, tmp_path):
    written = export_results([], tmp_path / "out", workspace=workspace)
    assert len(written.records) == len(written.samples) == 2
    assert written.notes[0].startswith("not evaluated yet")
    family = workspace.family()
    for run in family.runs()[:2]:
        (cell,) = read_cells(workspace.results(run))
        (record,) = [one for one in records(tmp_path / "out").values() if run.revision in one["evaluation_id"]]
        model = record["model_info"]
        assert model["id"] == family.repo_id
        expected = {
            "revision": run.revision,
            "weights_sha256": cell.weights_sha256,
            "dtype": "float32",
            "step": "12",
            "seed": str(run.seed),
        }
        assert expected.items() <= model["additional_details"].items()
        assert record["source_metadata"]["evaluator_relationship"] == "first_party"
        assert record["source_metadata"]["source_organization_name"] == family.repo_id.split("/")[0]
        assert record["eval_library"]["version"] == cell.harness
        results = {one["evaluation_result_id"]: one for one in record["evaluation_results"]}
        assert {name: one["score_details"]["score"] for name, one in results.items()} == {
            "acc": cell.metrics["acc"],
            "bits_per_byte": cell.measures["bits_per_byte"],
            "answer_probability": cell.measures["answer_probability"],
        }
        error = results["acc"]["score_details"]["uncertainty"]["standard_error"]
        assert error == {"value": cell.stderrs["acc"], "method": "analytic"}
        assert results["acc"]["generation_config"]["additional_details"]["num_fewshot"] == "0"
        assert [results[name]["metric_config"]["lower_is_better"] for name in ("acc", "bits_per_byte")] == [False, True]


def test_a_run_with_a_repo_of_its_own_is_found_there(workspace, tmp_path):
    text = (workspace.root / "mixhub.yaml").read_text().replace("tester/tiny", "tester/tiny-seed{seed}")
    data = text.replace("pattern: seed-{seed}", "pattern: seed-{seed}\n      branch: main")
    (workspace.root / "mixhub.yaml").write_text(data)
    export_results([], tmp_path / "out", workspace=Workspace.open(workspace.root))
    models = [one["model_info"] for one in records(tmp_path / "out").values()]
    places = {(one["id"], one["additional_details"]["revision"], one["additional_details"]["seed"]) for one in models}
    assert places == {("tester/tiny-seed1", "main", "1"), ("tester/tiny-seed2", "main", "2")}


def test_the_mean_of_the_instances_is_the_score(measured, tmp_path):
    export_results([str(measured.results)], tmp_path, organization="tester")
    compared = 0
    for record in records(tmp_path).values():
        rows = rows_of(tmp_path, record)
        for result in record["evaluation_results"]:
            scores = [
                one["evaluation"]["score"]
                for one in rows
                if one["evaluation_result_id"] == result["evaluation_result_id"]
            ]
            if result["evaluation_result_id"] == "perplexity":  # of all documents together
                assert scores == []
                continue
            assert sum(scores) / len(scores) == pytest.approx(result["score_details"]["score"])
            assert len(scores) == result["score_details"]["uncertainty"]["num_samples"]
            compared += 1
    assert compared == 18


def test_an_instance_has_the_answer_that_its_metric_scored(measured, tmp_path):
    export_results([str(measured.results)], tmp_path, organization="tester")
    answers = 0
    for record in records(tmp_path).values():
        for row in rows_of(tmp_path, record):
            if row["evaluation_result_id"] in ("acc", "acc_norm") and "choices" in row["input"]:
                is_right = row["output"]["raw"] == row["input"]["reference"]
                assert is_right == row["evaluation"]["is_correct"] == (row["evaluation"]["score"] == 1)
                assert set(row["output"]["raw"]) <= set(row["input"]["choices"])
                answers += 1
    assert answers > 50


def test_a_choice_of_contexts_is_read():
    """Of tasks such as winogrande, whose choices are in the prompt."""
    requests = {
        f"gen_args_{at}": {"arg_0": f"1 is 1\n\nThe cup fits, as the {name}", "arg_1": " is large."}
        for at, name in enumerate(("cup", "cupboard"))
    }
    sample = {"arguments": requests, "target": "is large.", "filtered_resps": [["-3.0", "False"], ["-2.0", "False"]]}
    question = Question.of({**sample, "acc": 1.0}, " ")
    assert question.prompt == "1 is 1\n\nThe cup fits, as the "
    assert question.choices == ("cup is large.", "cupboard is large.")
    assert question.answer("acc", 1.0) == ("cupboard is large.",)
    assert question.answer("acc_norm", 1.0) == ()


@pytest.mark.parametrize(
    ("target", "right"), [("1", "no"), (" no", "no"), ("2", "2"), (["0", "1"], "yes no"), ("other", "other")]
)
def test_a_target_is_the_number_or_the_text_of_a_choice(target, right):
    requests = {f"gen_args_{at}": {"arg_0": "Q:", "arg_1": f" {text}"} for at, text in enumerate(("yes", "no"))}
    question = Question.of({"arguments": requests, "target": target, "filtered_resps": [[-1.0], [-2.0]]}, " ")
    assert " ".join(question.right) == right


def test_the_same_cells_have_the_same_files(tmp_path):
    source = write_results(tmp_path / "in", {"piqa": [1, 0, 1], "sciq": [1, 1, 0]})
    first = export_results([str(source)], tmp_path / "a")
    export_results([str(tmp_path / "in")], tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    again = export_results([str(source), str(tmp_path / "in")], tmp_path / "a")
    assert (again.records, again.samples, again.unchanged) == ((), (), 4)
    assert len(first.records) == len(first.samples) == 2
    assert len(contents(tmp_path / "a")) == 4


def test_another_measurement_is_another_record(tmp_path):
    for number, values in enumerate(([1, 0, 1], [1, 1, 1])):
        source = write_results(tmp_path / str(number), {"piqa": values})
        assert len(export_results([str(source)], tmp_path / "out").records) == 1
    assert len(contents(tmp_path / "out")) == 4


def test_a_file_of_another_content_stays(tmp_path):
    source = str(write_results(tmp_path / "in", {"piqa": [1, 0, 1], "sciq": [1, 1, 0]}))
    export_results([source], tmp_path / "out", selection=Selection(tasks=("piqa",)))
    (path,) = (tmp_path / "out").rglob("*.json")
    path.write_text("{}")
    before = contents(tmp_path / "out")
    with refused("record-differs", ResultsError, path=path):
        export_results([source], tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_file_in_the_place_of_a_folder_stays(tmp_path):
    source = str(write_results(tmp_path / "in", {"piqa": [1, 0, 1], "sciq": [1, 1, 0]}))
    (tmp_path / "out" / "data").mkdir(parents=True)
    (tmp_path / "out" / "data" / "sciq").write_text("mine")
    with pytest.raises(NotADirectoryError) as caught:
        export_results([source], tmp_path / "out")
    assert caught.value.filename == str(tmp_path / "out/data/sciq")
    assert contents(tmp_path / "out") == {"data/sciq": b"mine"}


def test_samples_of_another_result_are_refused(tmp_path):
    source = write_results(tmp_path / "in", {"piqa": [1, 0, 1]})
    (samples,) = source.parent.glob("samples_*")
    write_samples(samples, [1, 0, 0])
    with refused("samples-differ", ResultsError):
        export_results([str(source)], tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    assert len(export_results([str(source)], tmp_path / "out", selection=Selection(samples=False)).records) == 1


def test_without_samples_there_are_no_instances(tmp_path):
    source = str(write_results(tmp_path / "in", {"piqa": [1, 0, 1]}))
    written = export_results([source], tmp_path / "out", selection=Selection(samples=False))
    assert written.samples == ()
    (record,) = records(tmp_path / "out").values()
    assert "detailed_evaluation_results" not in record


def test_who_measured_is_unknown_unless_the_user_says(tmp_path):
    source = str(write_results(tmp_path / "in", {"piqa": [1, 0]}))
    relations = {None: ("unknown", "other"), "org": ("org", "first_party"), "me": ("me", "third_party")}
    for name, expected in relations.items():
        export_results([source], tmp_path / str(name), organization=name)
        (record,) = records(tmp_path / str(name)).values()
        said = record["source_metadata"]
        assert (said["source_organization_name"], said["evaluator_relationship"]) == expected
        assert record["model_info"]["id"] == "org/model"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("org/model", "org/model"),
        ("org/a:b", "org/a_b"),
        ("gpt2", "us/gpt2"),
        ("/home/me/out/mix-a", "us/out_mix-a"),
        ("./mix-a/data", "us/mix-a_data_"),
        ("data/what?", "data_/what_"),
    ],
)
def test_models_in_folders_are_named_after_the_organization(tmp_path, model, expected):
    source = write_results(tmp_path / "in", {"piqa": [1, 0]}, model="x/y")
    source.write_text(
        source.read_text().replace('"x/y"', json.dumps(model)).replace("pretrained=x/y", f"pretrained={model}")
    )
    export_results([str(source)], tmp_path / "out", organization="us")
    (path,) = (tmp_path / "out").rglob("*.json")
    assert path.parent.relative_to(tmp_path / "out/data/piqa").as_posix() == expected


def test_an_organization_is_one_folder(tmp_path):
    source = write_results(tmp_path / "in", {"piqa": [1, 0]}, model="gpt2")
    export_results([str(source)], tmp_path / "out", organization="a/b: c")
    (path,) = (tmp_path / "out").rglob("*.json")
    assert path.parent.relative_to(tmp_path / "out").as_posix() == "data/piqa/a_b_ c/gpt2"
    assert json.loads(path.read_text())["model_info"]["id"] == "a_b: c/gpt2"


def test_entries_of_other_kinds_are_unknown(tmp_path):
    source = write_results(tmp_path / "in", {"piqa": [1, 0]})
    data = json.loads(source.read_text())
    data |= {"higher_is_better": ["piqa"], "transformers_version": None, "git_hash": ["x"]}
    data["configs"]["piqa"] |= {"metric_list": "acc", "generation_kwargs": [], "test_split": 3}
    source.write_text(json.dumps(data))
    export_results([str(source)], tmp_path / "out")
    (record,) = records(tmp_path / "out").values()
    (result,) = record["evaluation_results"]
    assert result["metric_config"]["lower_is_better"] is False
    assert result["source_data"]["hf_split"] == "3"


def test_settings_of_other_types_are_left_out(tmp_path):
    source = write_results(tmp_path / "in", {"piqa": [1, 0]})
    data = json.loads(source.read_text())
    data["configs"]["piqa"] |= {
        "metric_list": [{"metric": ["acc"], "aggregation": {"a": 1}}, {"metric": "acc", "aggregation": ["mean"]}],
        "generation_kwargs": {"temperature": True, "top_p": 0.5, "max_gen_toks": -1},
        "dataset_path": "tasks/piqa.jsonl",
    }
    source.write_text(json.dumps(data))
    export_results([str(source)], tmp_path / "out")
    (record,) = records(tmp_path / "out").values()
    (result,) = record["evaluation_results"]
    assert result["generation_config"]["generation_args"] == {"top_p": 0.5}
    assert "method" not in result["score_details"]["uncertainty"]["standard_error"]
    assert result["source_data"]["source_type"] == "other"


@pytest.mark.parametrize(
    "odd",
    [{"arguments": [[], []]}, {"arguments": {"a": {}}}, {"metrics": [["acc"], {}, "acc"]}],
)
def test_samples_with_entries_of_other_types_have_rows(tmp_path, odd):
    source = write_results(tmp_path / "in", {"piqa": [1, 0]})
    (samples,) = source.parent.glob("samples_*")
    lines = [json.loads(line) | odd for line in samples.read_text().splitlines()]
    samples.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    export_results([str(source)], tmp_path / "out")
    (record,) = records(tmp_path / "out").values()
    assert [row["evaluation"]["score"] for row in rows_of(tmp_path / "out", record)] == [1, 0]


def test_tasks_that_one_of_the_sources_has(tmp_path):
    sources = [
        str(write_results(tmp_path / name, {task: [1, 0]}, model=f"org/{name}"))
        for name, task in (("a", "piqa"), ("b", "sciq"))
    ]
    written = export_results(sources, tmp_path / "out", selection=Selection(tasks=("piqa",)))
    assert [path.parent.name for path in written.records] == ["a"]


def test_what_a_killed_process_left_is_deleted(tmp_path):
    source = str(write_results(tmp_path / "in", {"piqa": [1, 0]}))
    for name, content in ((".mixhub-left/data/x.json", "{}"), (".mixhub-used/data/y.json", "{}")):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    with locked(tmp_path / "out/.mixhub-used/.lock", "used"):
        written = export_results([source], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"data", ".mixhub-used"}
    assert {path.suffix for path in (tmp_path / "out/data").rglob("*.*")} == {".json", ".jsonl"}
    assert len(written.records) == 1


def test_refusals(tmp_path):
    source = str(write_results(tmp_path / "in", {"piqa": [1, 0]}))
    with refused("unknown-task", UnknownNameError):
        export_results([source], tmp_path / "out", selection=Selection(tasks=("pica",)))
    with refused("results-missing", ResultsError):
        export_results(["human-1b"], tmp_path / "out")
    for name in ("", " ", "..", "a\nb", "\ud83d"):
        with refused("option-value", UsageError, option="--organization"):
            export_results([source], tmp_path / "out", organization=name)
    broken = write_results(tmp_path / "broken", {"piqa": [1, 0]}, changes={"git_hash": "\ud83d"})
    with refused("lm-eval-file-malformed", ResultsError, path=broken):
        export_results([str(broken)], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "out").rmdir()
    assert not (tmp_path / "out").exists()
