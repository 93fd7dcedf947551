"""Results of every version of lm-eval: real files, each written by its version, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mixhub.analysis.lm_eval_files import read_output, read_outputs
from mixhub.analysis.samples import read_documents
from mixhub.errors import ResultsError, UsageError
from mixhub.workspace.cells import read_cells
from tests.analysis.written import DATE, write_results
from tests.evaluation.making import Place
from tests.refusals import refused

REAL = Path(__file__).parent / "lm_eval_outputs"
FILES = sorted(path for path in REAL.rglob("*.json") if "broken" not in str(path))
BROKEN = sorted(path for path in REAL.rglob("*.json") if "broken" in str(path))


def version(path: Path) -> str:
    return path.relative_to(REAL).parts[0]


def named(path: Path) -> str:
    return "/".join(path.relative_to(REAL).parts[:2])


def test_every_version_since_0_3_is_here():
    assert {version(path) for path in FILES} >= {"0.3.0", *(f"0.4.{minor}" for minor in (*range(6), *range(7, 14)))}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_figure_of_every_task_is_read(path: Path):
    """Against the file itself, key by key."""
    data = json.loads(path.read_text())
    records = read_output(path)
    assert records is not None
    bare = {task for task, entry in data["results"].items() if not any(isinstance(v, float) for v in entry.values())}
    assert [record.task for record in records] == [task for task in data["results"] if task not in bare]
    groups = set(data.get("groups", {})) | {name for name, own in data.get("group_subtasks", {}).items() if own}
    assert {record.task for record in records if record.is_group} == groups - bare
    assert {record.group for record in records if not record.is_group} == (groups - bare or {""})
    for record in records:
        expected = {}
        for key, value in data["results"][record.task].items():
            if isinstance(value, float):
                name, _, kind = key.partition(",")
                expected[name + ("" if kind in ("", "none") else f",{kind}")] = value
        found = dict(record.metrics) | {
            f"{name.partition(',')[0]}_stderr" + "".join(name.partition(",")[1:]): value
            for name, value in record.stderrs.items()
        }
        assert found == expected
        assert record.model == "models/tiny"
        assert record.num_fewshot == (1 if "1shot" in str(path) else 0)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_what_a_version_says_is_known_and_the_rest_unknown(path: Path):
    minor = tuple(map(int, version(path).split(".")))
    limited = "limit" in str(path)
    for record in read_output(path) or []:
        assert record.harness == ("0.3" if minor < (0, 4) else version(path) if minor >= (0, 4, 9) else "unknown")
        assert record.dtype == ("float32" if minor >= (0, 4, 3) or "bare-group" in str(path) else "unknown")
        assert (record.documents == "unknown") == (minor < (0, 4, 3))
        assert (record.limit is not None) == (limited or (minor < (0, 4) and record.num_fewshot == 1))
        assert (record.task_hash == "unknown") == (minor < (0, 4, 3) or record.is_group)
        assert (record.date is None) == (minor < (0, 4, 2))
        assert record.weights_sha256 == "unknown", "a local folder has no commit"


@pytest.mark.parametrize("path", [path for path in FILES if version(path) != "0.3.0"], ids=named)
def test_samples_of_every_version_give_back_the_accuracy(path: Path):
    scored = [record for record in read_output(path) or [] if "acc" in record.metrics and not record.is_group]
    for record in scored:
        for metric in {"acc", "acc_norm"} & set(record.metrics):
            documents = read_documents(record, metric)
            assert documents.values.mean() == pytest.approx(100 * record.metrics[metric], abs=1e-12)
            assert documents.ids.tolist() == list(range(1 if "bare-group" in str(path) else 4))


@pytest.mark.parametrize("path", BROKEN, ids=named)
def test_a_figure_that_is_no_number_is_left_out_by_name(path: Path):
    outputs = read_outputs([path])
    (record,) = outputs.records
    assert record.metrics == {"acc": 0.0}
    assert record.stderrs == {"acc": 0.0}
    assert [entry.partition(" in ")[0] for entry in outputs.omitted] == [
        "results.mini_word.perplexity,none = nan",
        "results.mini_word.perplexity_stderr,none = nan",
    ]


def test_cells_of_ours_are_read_as_what_they_are(measured: Place):
    outputs = read_outputs([measured.results])
    assert sorted(outputs.records, key=lambda r: (r.task, str(r.num_fewshot))) == read_cells(measured.results)
    assert outputs.superseded == ()


def test_folders_are_read_whatever_their_layout(tmp_path: Path):
    write_results(tmp_path / "a" / "b", {"piqa": [0, 1]})
    write_results(tmp_path / "c", {"piqa": [0, 1]}, num_fewshot=5)
    (tmp_path / "c" / "config.json").write_text('{"hidden_size": 3}')
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.json").write_text("nonsense")
    outputs = read_outputs([tmp_path])
    assert [record.num_fewshot for record in outputs.records] == [0, 5]
    assert [path.name for path in outputs.skipped] == ["config.json"]


def test_the_newest_of_a_cell_is_used_and_the_others_are_listed(tmp_path: Path):
    write_results(tmp_path, {"piqa": [0, 1], "copa": [1, 1]}, date=DATE)
    newer = write_results(tmp_path, {"piqa": [1, 1]}, date=DATE + 60)
    oldest = write_results(tmp_path, {"piqa": [0, 0]}, date=DATE - 60)
    outputs = read_outputs([tmp_path])
    by_task = {record.task: record for record in outputs.records}
    assert by_task["piqa"].path == newer
    assert by_task["copa"].metrics == {"acc": 1.0}
    assert len(outputs.superseded) == 2
    assert {one.record.path for one in outputs.superseded} >= {oldest}
    assert all(one.by.path == newer for one in outputs.superseded)


def test_two_results_of_which_none_is_newer_are_left_out(tmp_path: Path):
    source = REAL / "0.3.0" / "tasks-0shot.json"
    shutil.copy(source, tmp_path / "one.json")
    data = json.loads(source.read_text())
    (tmp_path / "two.json").write_text(json.dumps(data))
    assert len(read_outputs([tmp_path]).records) == 2, "the same figures do no harm"
    data["results"]["mini_word"]["acc"] += 1e-13
    (tmp_path / "two.json").write_text(json.dumps(data))
    assert len(read_outputs([tmp_path]).records) == 2, "nor do those that differ in their rounding"
    data["results"]["mini_choice"]["acc"] = 0.25
    (tmp_path / "two.json").write_text(json.dumps(data))
    outputs = read_outputs([tmp_path])
    assert [record.task for record in outputs.records] == ["mini_word"]
    (problem,) = outputs.problems
    assert (problem.code, problem.fields["paths"]) == (
        "results-ambiguous",
        (tmp_path / "one.json", tmp_path / "two.json"),
    )
    del data["results"]["mini_word"]
    one = json.loads(source.read_text())
    del one["results"]["mini_word"]
    (tmp_path / "one.json").write_text(json.dumps(one))
    (tmp_path / "two.json").write_text(json.dumps(data))
    with refused("results-ambiguous", ResultsError, paths=(tmp_path / "one.json", tmp_path / "two.json")):
        read_outputs([tmp_path])


@pytest.mark.parametrize(
    ("model", "revision", "read"),
    [
        ("org/model", "seed-3", ("org/model", "seed-3")),
        ("out/seed-3", "main", ("out", "seed-3")),
        ("out/mix_seed3", None, ("out/mix", "seed-3")),
        ("runs/mix/seed-3/export/step-025000", None, ("runs/mix/export/step-025000", "seed-3")),
        ("runs/seed-3/mixA", None, ("runs/mixA", "seed-3")),
        ("EleutherAI/pythia-160m-seed3", "step143000", ("EleutherAI/pythia-160m@step143000", "seed-3")),
        ("org/model-seed1", "seed-3", ("org/model-seed1", "seed-3")),
        ("org/model-seeds", "main", ("org/model-seeds", "main")),
        ("org/linseed-3", "main", ("org/linseed-3", "main")),
        ("org/model", None, ("org/model", "unknown")),
    ],
)
@pytest.mark.parametrize("form", [dict, str])
def test_a_seed_in_the_name_of_a_model_is_its_revision(tmp_path: Path, model, revision, read, form):
    arguments = {"pretrained": model, **({"revision": revision} if revision else {})}
    given = arguments if form is dict else ",".join(f"{key}={value}" for key, value in arguments.items())
    path = write_results(tmp_path, {"piqa": [0, 1]}, changes={"config": {"model": "hf", "model_args": given}})
    (record,) = read_outputs([path]).records
    assert (record.model, record.revision) == read


def test_a_mark_of_byte_order_is_no_part_of_the_json(tmp_path: Path):
    path = write_results(tmp_path, {"piqa": [0, 1]})
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert [record.task for record in read_outputs([tmp_path]).records] == ["piqa"]


def test_negative_counts_are_unknown(tmp_path: Path):
    changes = {"n-shot": {"piqa": -1}, "configs": {}, "n-samples": {"piqa": {"original": -2, "effective": -2}}}
    (record,) = read_outputs([write_results(tmp_path, {"piqa": [0, 1]}, changes=changes)]).records
    assert (record.num_fewshot, record.documents) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ('{"results": {"pi', "file-malformed", ""),
        ("", "file-malformed", ""),
        ("[" * 100_000, "file-malformed", ""),
        ('{"results": {"piqa": {"acc,none": 0.5}}}', "lm-eval-file-malformed", "config"),
        ('{"results": {"all": {"em": 1}}, "config_general": {}, "versions": {}}', "lm-eval-file-malformed", "config"),
        ('{"results": [1], "config": {}, "versions": {}}', "lm-eval-file-malformed", "results"),
        ('{"results": {"piqa": 3}, "config": {}, "versions": {}}', "lm-eval-file-malformed", "by task"),
        *(
            (f'{{"results": {{"piqa": {figures}}}, "config": {{}}, "versions": {{}}}}', "lm-eval-file-malformed", place)
            for figures, place in (
                ('{"acc,none": "0.5"}', "piqa.acc,none = 0.5"),
                ('{"acc,none": NaN}', "piqa.acc,none = nan"),
                ('{"acc": Infinity}', "piqa.acc = inf"),
                (f'{{"acc": 1{"0" * 400}}}', "piqa.acc = 1000"),
                ('{"alias": "x"}', "results.piqa: "),
            )
        ),
    ],
)
def test_what_is_no_whole_results_file_is_refused_by_name(tmp_path: Path, text: str, code: str, place: str):
    path = tmp_path / "results_x.json"
    path.write_text(text)
    for given in (path, tmp_path):
        with refused(code, ResultsError, path=path) as caught:
            read_outputs([given])
        assert place in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 5},
        {"groups": [["a"]]},
        {"group_subtasks": 3},
        {"date": "soon"},
        {"date": float("nan")},
        {"versions": None},
    ],
)
def test_what_is_odd_beside_the_figures_is_unknown(tmp_path: Path, changes):
    path = write_results(tmp_path, {"piqa": [0, 1]}, changes=changes)
    renamed = path.rename(path.with_name("results_2026-13-45T99-99-99.json"))
    (record,) = read_outputs([renamed]).records
    assert record.metrics == {"acc": 0.5}
    assert (record.date is None) == ("date" in changes)


@pytest.mark.parametrize("argument", ["peft", "delta", "subfolder", "gguf_file"])
def test_an_adapter_makes_another_model(tmp_path: Path, argument: str):
    for number, name in enumerate(("one", "two")):
        given = {"model": "hf", "model_args": f"pretrained=org/base,{argument}=out/{name}", "model_sha": "ab" * 20}
        write_results(tmp_path, {"piqa": [0, number]}, date=DATE + number, changes={"config": given})
    found = read_outputs([tmp_path])
    assert {record.model for record in found.records} == {"org/base with out/one", "org/base with out/two"}
    assert {record.weights_sha256 for record in found.records} == {"unknown"}, "the commit is the base's"
    assert found.superseded == ()


def test_quantised_weights_are_another_dtype(tmp_path: Path):
    arguments = {"pretrained": "org/base", "dtype": "float16", "load_in_4bit": True}
    path = write_results(tmp_path, {"piqa": [0, 1]}, changes={"config": {"model": "hf", "model_args": arguments}})
    assert read_outputs([path]).records[0].dtype == "float16 4bit"


def old(folder: Path, name: str, results: dict, arguments: object = "pretrained=org/model", **config: object) -> Path:
    """A file as lm-eval 0.3 wrote it."""
    config = {"model": "hf", "model_args": arguments, "num_fewshot": 0, "limit": None, **config}
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"results": results, "versions": dict.fromkeys(results, 0), "config": config}))
    return path


ACC = {"acc": 0.5, "acc_stderr": 0.01}


@pytest.mark.parametrize("folder", ["..__models__qwen2-1", ".__models__x", ".own"])
def test_folders_that_lm_eval_names_after_a_model_are_read(tmp_path: Path, folder: str):
    path = write_results(tmp_path, {"piqa": [0, 1]}, model="org/x")
    (tmp_path / folder).mkdir()
    path.rename(tmp_path / folder / path.name)
    assert [record.path.parent.name for record in read_outputs([tmp_path]).records] == [folder]


def test_arguments_of_gpt_neox_name_the_folder_and_the_step(tmp_path: Path):
    arguments = {"distributed_backend": "nccl", "vocab": "v" * 400, "load": "/fsx/pythia-70m", "iteration": 512}
    for number in (512, 1000):
        old(tmp_path, f"70m_step{number}.json", {"piqa": ACC}, arguments, model="neox")
    del arguments["load"]
    old(tmp_path, "pythia-410m_step143000.json", {"piqa": ACC}, arguments, model="neox")
    assert {(record.model, record.revision) for record in read_outputs([tmp_path]).records} == {
        ("/fsx/pythia-70m", "step512"),
        ("/fsx/pythia-70m", "step1000"),
        ("pythia-410m", "unknown"),
    }


def test_a_file_of_another_kind_does_not_keep_a_folder_from_being_read(tmp_path: Path):
    old(tmp_path, "one.json", {"piqa": ACC})
    (tmp_path / "prompts.json").write_text('{"results": [{"acc": 1}], "template": "x"}')
    (tmp_path / "cut.json").write_text('{"results": {"piqa"')
    (tmp_path / "list.json").write_text("[1]")
    outputs = read_outputs([tmp_path])
    assert [record.path.name for record in outputs.records] == ["one.json"]
    assert [problem.fields["path"].name for problem in outputs.problems] == ["cut.json", "prompts.json"]
    assert [path.name for path in outputs.skipped] == ["list.json"]
    assert len(outputs.notes) == 3
    for name in ("cut.json", "prompts.json", "list.json"):
        with refused(("file" if name == "cut.json" else "lm-eval-file") + "-malformed", ResultsError):
            read_outputs([tmp_path / "one.json", tmp_path / name])


@pytest.mark.parametrize("value", ["NaN", "null", "Infinity", '"n/a"', "[1, 2]", "true"])
@pytest.mark.parametrize("key", ["acc_stderr", "details", "acc_norm"])
def test_a_value_that_is_no_figure_affects_only_itself(tmp_path: Path, key: str, value: str):
    path = old(tmp_path, "one.json", {"piqa": {"acc": 0.5, key: 7777}, "copa": ACC})
    path.write_text(path.read_text().replace("7777", value))
    outputs = read_outputs([path])
    piqa, copa = outputs.records
    assert (piqa.metrics, piqa.stderrs, copa.metrics) == ({"acc": 0.5}, {}, {"acc": 0.5})
    (omitted,) = outputs.omitted
    assert omitted.startswith(f"results.piqa.{key} = ")


def test_a_task_without_figures_affects_only_itself(tmp_path: Path):
    path = old(tmp_path, "one.json", {"piqa": {"acc": float("nan")}, "copa": ACC, "boolq": 3})
    outputs = read_outputs([path])
    assert [record.task for record in outputs.records] == ["copa"]
    assert len(outputs.omitted) == 1


@pytest.mark.parametrize(
    ("given", "expected"), [([2, 3, 3], [2, 3, 3]), ([4, 4], [4, 4, 4]), ([2, 3], ["unknown"] * 3), (5, [5, 5, 5])]
)
def test_a_list_of_shots_has_one_for_each_task(tmp_path: Path, given: object, expected: list[object]):
    path = old(tmp_path, "one.json", {"piqa": ACC, "copa": ACC, "sciq": ACC}, num_fewshot=given)
    assert [record.num_fewshot for record in read_outputs([path]).records] == expected


def test_groups_cover_their_tasks_and_groups(tmp_path: Path):
    scored = {"acc,none": 0.29, "acc_stderr,none": 0.01, "alias": "x"}
    path = write_results(tmp_path, {"m_a": [0, 1], "m_b": [1, 1], "piqa": [0, 1]}, num_fewshot=5)
    data = json.loads(path.read_text())
    data["results"] |= {"mmlu": scored, "mmlu_stem": scored, "board": {"alias": "board"}}
    data["groups"] = {"mmlu": scored, "mmlu_stem": scored}
    data["group_subtasks"] = {"mmlu": ["mmlu_stem"], "mmlu_stem": ["m_a", "m_b"], "board": ["piqa", "mmlu"]}
    path.write_text(json.dumps(data))
    found = {record.task: record for record in read_outputs([path]).records}
    assert {task: (record.group, record.is_group) for task, record in found.items()} == {
        "m_a": ("mmlu", False),
        "m_b": ("mmlu", False),
        "piqa": ("", False),
        "mmlu_stem": ("mmlu", True),
        "mmlu": ("", True),
    }
    group = found["mmlu"]
    assert (group.num_fewshot, group.documents, group.limit, group.metrics) == (5, 4, None, {"acc": 0.29})


def test_a_task_with_a_slash_has_no_samples(tmp_path: Path):
    assert read_outputs([old(tmp_path, "one.json", {"a/b": ACC})]).records[0].samples is None


def test_nothing_to_read(tmp_path: Path):
    with refused("results-missing", ResultsError, paths=(tmp_path,)):
        read_outputs([tmp_path])
    with refused("file-missing", UsageError, path=tmp_path / "nowhere"):
        read_outputs([tmp_path / "nowhere"])
    (tmp_path / "config.json").write_text("{}")
    with refused("lm-eval-file-malformed", ResultsError, path=tmp_path / "config.json"):
        read_outputs([tmp_path / "config.json"])


def test_long_arguments_make_no_name_of_samples(tmp_path: Path):
    data = json.loads((REAL / "0.3.0" / "tasks-0shot.json").read_text())
    data["config"]["model_args"] = "pretrained=" + "a" * 300
    (tmp_path / "one.json").write_text(json.dumps(data))
    assert all(record.samples is None for record in read_outputs([tmp_path]).records)


@pytest.mark.parametrize("key", ["n-shot", "group_subtasks"])
@pytest.mark.parametrize("value", [None, [1], {"mmlu": None}, {"mmlu": [["a"]], "piqa": ["a"]}])
def test_a_damaged_file_of_a_group_does_not_keep_a_folder_from_being_read(tmp_path: Path, key: str, value: object):
    old(tmp_path, "one.json", {"piqa": ACC})
    entry = {"mmlu": {"acc,none": 0.3}}
    data = {"results": entry, "groups": entry, "configs": {}, "versions": {}, "config": {}}
    data |= {"n-shot": {"mmlu": 0}, "group_subtasks": {"mmlu": ["piqa"]}, key: value}
    (tmp_path / "mmlu.group.json").write_text(json.dumps(data))
    assert [record.task for record in read_outputs([tmp_path]).records] == ["piqa"]
