"""The sweep: lm-eval's own numbers, each cell once, whole or not at all."""

from __future__ import annotations

import json
import logging
import math
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixhub.errors import ExportError, ResultsError, RunError, UnknownNameError, UsageError
from mixhub.evaluation.options import CellKey, shard_of
from mixhub.evaluation.provenance import ModelUnderTest
from mixhub.evaluation.suite import resolve
from mixhub.evaluation.sweep import evaluate
from mixhub.spec import catalog
from mixhub.workspace.cells import read_cells
from tests.evaluation.making import DOCUMENTS, SHOTS, TASKS, Place, Recorder, contents, write_export, write_lineage
from tests.refusals import refused
from tests.tiny import tiny_family

ROOT = Path(__file__).parents[2]
CELLS = [f"{task} {shots}-shot" for task in TASKS for shots in SHOTS]
Copied = Callable[..., Place]


@pytest.fixture(scope="module")
def stock(measured: Place) -> dict[int, dict[str, Any]]:
    """What lm-eval's `simple_evaluate` finds by itself, by shot count."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(measured.root / "tasks")  # stock reads data_files relative to the working directory
        patch.setenv("DISABLE_MULTIPROC", "1")
        patch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)
        model = HFLM(pretrained=str(measured.export), device="cpu", dtype="float32", batch_size=7)
        manager = TaskManager(include_defaults=False, include_path=".")
        return {
            shots: lm_eval.simple_evaluate(
                model=model, tasks=list(TASKS), task_manager=manager, num_fewshot=shots, bootstrap_iters=100
            )
            for shots in SHOTS
        }


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("task", TASKS)
def test_a_cell_is_what_lm_eval_finds_by_itself(measured: Place, stock: dict[int, dict[str, Any]], task, shots):
    ours = json.loads((measured.results / f"{task}.{shots}shot.json").read_text())
    theirs = stock[shots]
    for key, value in theirs["results"][task].items():
        if key != "perplexity_stderr,none":
            close = value if isinstance(value, str) else pytest.approx(value, rel=1e-5)
            assert ours["results"][task][key] == close, key
    assert ours["results"][task].keys() == theirs["results"][task].keys()
    for key in ("versions", "n-shot", "higher_is_better", "n-samples"):
        assert ours[key][task] == theirs[key][task], key
    assert ours.keys() - {"mixhub"} >= {"configs", "config", "lm_eval_version", "transformers_version", "date"}
    assert ours["configs"][task]["doc_to_text"] == theirs["configs"][task]["doc_to_text"]


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("task", TASKS)
def test_every_prompt_and_log_likelihood_is_lm_evals(measured: Place, stock: dict[int, dict[str, Any]], task, shots):
    lines = (measured.results / f"{task}.{shots}shot.samples.jsonl").read_text().splitlines()
    ours = [json.loads(line) for line in lines]
    theirs = stock[shots]["samples"][task]
    assert len(ours) == len(theirs) == DOCUMENTS
    for one, other in zip(ours, theirs, strict=True):
        assert [one[key] for key in ("doc_id", "doc", "doc_hash", "prompt_hash", "target_hash")] == [
            other[key] for key in ("doc_id", "doc", "doc_hash", "prompt_hash", "target_hash")
        ]
        assert [list(request.values()) for request in one["arguments"].values()] == [
            list(request) for request in other["arguments"]
        ]
        for ((likelihood, greedy),), ((their_likelihood, their_greedy),) in zip(
            one["resps"], other["resps"], strict=True
        ):
            assert float(likelihood) == pytest.approx(their_likelihood, abs=1e-4)
            assert greedy == str(their_greedy)


def test_a_metric_without_a_closed_form_has_lm_evals_bootstrapped_stderr(measured: Place):
    from lm_eval.api.metrics import bootstrap_stderr, perplexity

    cell = next(cell for cell in read_cells(measured.results) if cell.task == "demo_last_word")
    assert cell.stderrs.keys() == cell.metrics.keys() == {"perplexity", "acc"}
    values = [json.loads(line)["perplexity"] for line in cell.samples.read_text().splitlines()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISABLE_MULTIPROC", "1")
        expected = bootstrap_stderr(perplexity, values, iters=100_000)
    assert cell.stderrs["perplexity"] == pytest.approx(expected, rel=1e-9)
    assert "100,000 draws" in cell.provenance.stderr


def test_provenance_says_what_the_cell_was_made_from(measured: Place):
    cell = read_cells(measured.results)[0]
    made = cell.provenance
    assert (made.family, made.revision, made.kind, made.number, made.step) == ("tiny", "seed-1", "seed", 1, 12)
    assert (made.dtype, made.device, made.limit, made.fewshot_seed) == ("float32", "cpu", None, 1234)
    assert made.versions.keys() == {"mixhub", "lm_eval", "transformers", "torch", "datasets"}
    assert made.dataset.fingerprint != "unknown"
    assert (cell.documents, cell.documents_in_split) == (DOCUMENTS, DOCUMENTS)


def test_nothing_written_names_a_folder_of_this_machine(measured: Place):
    for path in measured.results.glob("demo*"):
        assert str(measured.root) not in path.read_text(), path.name


def test_what_is_done_is_left_alone(copied: Copied):
    place = copied()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.results.glob("demo*")}
    seen = Recorder()
    cells = place.evaluate(progress=seen)
    assert seen.started == []
    assert [f"{cell.task} {cell.num_fewshot}-shot" for cell in cells] == CELLS
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.results.glob("demo*")}


def test_only_what_is_missing_is_measured_and_comes_out_the_same(copied: Copied, measured: Place):
    place = copied()
    (place.results / "demo_last_word.2shot.json").unlink()
    (place.results / "demo_arithmetic.0shot.samples.jsonl").write_text("{}\n")
    seen = Recorder()
    place.evaluate(progress=seen)
    assert [what for what, _, _ in seen.started] == ["evaluate seed-1"]
    assert seen.done == ["demo_last_word 2-shot", "demo_arithmetic 0-shot"]
    assert contents(place.results) == contents(measured.results)


def test_a_moved_workspace_keeps_its_cells(copied: Copied):
    place = copied()
    moved = Place(place.root.with_name("moved"), place.family, place.run)
    place.root.rename(moved.root)
    seen = Recorder()
    moved.evaluate(progress=seen)
    assert seen.started == []


def test_other_weights_are_measured_anew(copied: Copied, measured: Place):
    place = copied()
    shutil.rmtree(place.export)
    write_export(place.export, place.family, place.run, seed=1)
    seen = Recorder()
    (cell,) = place.evaluate(tasks=["demo_continuation"], num_fewshot=[0], progress=seen)
    assert seen.done == ["demo_continuation 0-shot"]
    old = read_cells(measured.results)[0]
    assert cell.weights_sha256 != old.weights_sha256
    assert cell.task_hash == next(c for c in read_cells(measured.results) if c.path.name == cell.path.name).task_hash
    with refused("results-weights-differ", ResultsError, revision="seed-1") as caught:
        read_cells(place.results)
    assert cell.path in caught.value.fields["paths"]


def _other_step(place: Place) -> dict[str, Any]:
    write_lineage(place.export, place.family, place.run, step=8)
    return {}


def _other_documents(place: Place) -> dict[str, Any]:
    path = place.root / "tasks" / "demo_arithmetic.fewshot.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    return {}


def _other_prompt(place: Place) -> dict[str, Any]:
    path = place.root / "tasks" / "demo_arithmetic.yaml"
    path.write_text(path.read_text().replace("{{question}} =", "{{question}} is"))
    return {}


def _made_otherwise(keys: tuple[str, ...], value: Any, place: Place) -> dict[str, Any]:
    path = place.results / "demo_arithmetic.0shot.json"
    data = json.loads(path.read_text())
    told = data["mixhub"]
    for key in keys[:-1]:
        told = told[key]
    told[keys[-1]] = value
    path.write_text(json.dumps(data))
    return {}


@pytest.mark.parametrize(
    "change",
    [
        _other_step,
        _other_documents,
        _other_prompt,
        lambda place: {"dtype": "bfloat16"},
        lambda place: {"backend": "stock"},
        partial(_made_otherwise, ("scorer",), 0),
        *(partial(_made_otherwise, ("versions", name), "0.1") for name in ("lm_eval", "transformers", "torch")),
    ],
)
def test_a_cell_made_otherwise_is_not_counted_as_this_one(copied: Copied, change: Callable[[Place], dict[str, Any]]):
    place = copied()
    changes = change(place)
    seen = Recorder()
    place.evaluate(tasks=["demo_arithmetic"], num_fewshot=[0], progress=seen, **changes)
    assert seen.done == ["demo_arithmetic 0-shot"]
    again = Recorder()
    place.evaluate(tasks=["demo_arithmetic"], num_fewshot=[0], progress=again, **changes)
    assert again.started == []


def test_cells_of_a_changed_local_folder_are_measured_again(copied: Copied, caplog: pytest.LogCaptureFixture):
    """Their cells name no folder of this machine, and what cannot be compared is said, not taken for the same."""
    place = copied("results")
    documents = place.root / "documents"
    documents.mkdir()
    for split in ("test", "fewshot"):
        shutil.copy(place.root / "tasks" / f"demo_arithmetic.{split}.jsonl", documents / f"{split}.jsonl")
    path = place.root / "tasks" / "demo_arithmetic.yaml"
    config = yaml.safe_load(path.read_text())
    del config["dataset_kwargs"]
    path.write_text(yaml.safe_dump({**config, "dataset_path": str(documents)}))
    (documents / "README.md").write_text(
        "---\nconfigs: [{config_name: default, data_files: "
        "[{split: test, path: test.jsonl}, {split: fewshot, path: fewshot.jsonl}]}]\n---\n"
    )
    asked: dict[str, Any] = {"tasks": ["demo_arithmetic"], "num_fewshot": [2]}
    (before,) = place.evaluate(**asked)
    for file in place.results.glob("demo*"):
        assert str(place.root) not in file.read_text(), file.name
    assert before.dataset.startswith("documents at ")
    lines = (documents / "test.jsonl").read_text().splitlines(keepends=True)
    (documents / "test.jsonl").write_text("".join(lines[:5]))
    caplog.clear()
    (after,) = place.evaluate(**asked)
    assert (before.documents, after.documents) == (DOCUMENTS, 5)
    assert "different dataset" in caplog.text
    seen = Recorder()
    place.evaluate(**asked, progress=seen)
    assert seen.started == []
    shutil.rmtree(documents)
    caplog.clear()
    assert place.evaluate(**asked, progress=seen) == [after]
    assert "could not compare its documents" in caplog.text


def test_another_seed_of_shots_gives_other_prompts(copied: Copied):
    place = copied()
    other = Place(
        place.root,
        place.family.model_copy(update={"evaluation": place.family.evaluation.model_copy(update={"fewshot_seed": 9})}),
        place.run,
    )
    before = next(cell for cell in read_cells(place.results) if cell.path.name == "demo_arithmetic.2shot.json")
    (cell,) = other.evaluate(tasks=["demo_arithmetic"], num_fewshot=[2])
    assert cell.task_hash != before.task_hash
    assert cell.provenance.fewshot_seed == 9


def test_a_limited_cell_gives_way_to_a_whole_one_and_never_replaces_it(copied: Copied, measured: Place):
    place = copied("results")
    asked: dict[str, Any] = {"tasks": ["demo_arithmetic"], "num_fewshot": [0]}
    (limited,) = place.evaluate(**asked, limit=5)
    assert (limited.limit, limited.documents, limited.documents_in_split) == (5, 5, DOCUMENTS)
    (whole,) = place.evaluate(**asked)
    assert (whole.limit, whole.documents) == (None, DOCUMENTS)
    assert place.evaluate(**asked, limit=5) == [whole]
    name = "demo_arithmetic.0shot.json"
    with refused("cell-complete", ResultsError, path=place.results / name, differences=("dtype",)):
        place.evaluate(**asked, limit=5, dtype="bfloat16")
    assert contents(place.results)[name] == contents(measured.results)[name]


def test_weights_that_are_not_finite_write_nothing(copied: Copied):
    place = copied("results")
    shutil.rmtree(place.export)
    write_export(place.export, place.family, place.run, poison=math.nan)
    with refused("figure-not-finite", ResultsError, task="demo_continuation", num_fewshot=0, document=0):
        place.evaluate()
    assert contents(place.results) == {}


def test_a_file_in_the_way_that_is_not_ours_is_not_overwritten(copied: Copied):
    place = copied()
    path = place.results / "demo_continuation.0shot.json"
    path.write_text("mine")
    with refused("file-malformed", ResultsError, path=path):
        place.evaluate()
    assert path.read_text() == "mine"


def test_the_export_must_be_this_runs(copied: Copied):
    place = copied()
    other = Place(place.root, place.family, place.family.runs()[1])
    with refused("run-wrong", ExportError, path=place.export, family="tiny", revision="seed-1"):
        other.evaluate()


def test_the_weights_must_be_those_that_the_lineage_names(copied: Copied):
    place = copied()
    write_lineage(place.export, place.family, place.run, weights_sha256="0" * 64)
    with refused("weights-differ", ExportError, path=place.export, lineage="0" * 64):
        place.evaluate()


def test_an_export_that_lacks_a_file_is_refused(copied: Copied):
    place = copied()
    (place.export / "tokenizer.json").unlink()
    with refused("file-missing", ExportError, path=place.export, files=("tokenizer.json",)):
        place.evaluate()


def test_code_of_a_folder_is_not_run(copied: Copied, tmp_path: Path):
    """Transformers would ask whoever sits there, and take a piped `y` for an answer."""
    place = copied("results")
    ran = tmp_path / "ran"
    module = (
        f"open({str(ran)!r}, 'w')\nfrom transformers import LlamaConfig\nclass Own(LlamaConfig): model_type = 'own'\n"
    )
    (place.export / "own.py").write_text(module)
    config = json.loads((place.export / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"}
    (place.export / "config.json").write_text(json.dumps(config))
    with refused("tokenizer-unusable", ExportError, path=place.export) as caught:
        place.evaluate()
    assert "trust_remote_code" in str(caught.value.__cause__)
    assert not ran.exists()


def test_a_tensor_that_is_missing_is_not_made_up(copied: Copied):
    from safetensors.torch import load_file, save_file

    place = copied("results")
    path = place.export / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    write_lineage(place.export, place.family, place.run)
    with refused("model-unloadable", ExportError, weights=["model.layers.1.mlp.up_proj.weight"]):
        place.evaluate()


@pytest.mark.parametrize(
    ("changes", "option", "value"),
    [
        ({"num_fewshot": [-1]}, "--num-fewshot", -1),
        ({"num_fewshot": [0, 9]}, "--num-fewshot", 9),
        ({"limit": 0}, "--limit", 0),
        ({"dtype": "int8"}, "--dtype", "int8"),
        ({"device": "tpu"}, "--device", "tpu"),
        ({"backend": "other"}, "--backend", "other"),
        ({"shard": (3, 2)}, "--shard", "3/2"),
        ({"shard": (0, 2)}, "--shard", "0/2"),
    ],
)
def test_options_out_of_range_are_named(measured: Place, changes: dict[str, Any], option: str, value: object):
    with refused("option-value", UsageError, option=option, value=value):
        measured.evaluate(**changes)


def test_a_task_that_the_suite_lacks_gets_the_nearest(measured: Place):
    with refused("unknown-task", UnknownNameError, name="demo_arithmetik", known=TASKS) as caught:
        measured.evaluate(tasks=["demo_arithmetik"])
    assert caught.value.nearest == "demo_arithmetic"


def test_results_need_a_folder(copied: Copied):
    place = copied("results")
    place.results.write_text("mine")
    with refused("option-value", UsageError, option="--output", value=str(place.results)):
        place.evaluate()
    assert place.results.read_text() == "mine"


def test_cuda_that_is_not_there_is_refused(measured: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with refused("device-missing", UsageError, device="cuda:1"):
        measured.evaluate(device="cuda:1")


def test_a_folder_without_a_model_or_a_tokenizer_is_refused(copied: Copied):
    place = copied("results")

    def evaluated():
        model = ModelUnderTest.of_folder(place.export, "tiny", "local")
        evaluate(model, place.family.evaluation, results=place.results, storage=place.storage)

    (place.export / "tokenizer.json").unlink()
    with refused("file-missing", ExportError, path=place.export / "tokenizer.json"):
        evaluated()
    (place.export / "config.json").unlink()
    with refused("file-missing", ExportError, path=place.export / "config.json"):
        evaluated()
    assert not place.results.exists()


def test_a_task_that_fixes_its_shots_at_none_has_no_other_cells(copied: Copied):
    place = copied("results")
    path = place.root / "tasks" / "demo_arithmetic.yaml"
    path.write_text(path.read_text() + "num_fewshot: 0\n")
    with refused("shots-fixed", ResultsError, task="demo_arithmetic", num_fewshot=2):
        place.evaluate()
    assert not place.results.exists()
    (cell,) = place.evaluate(tasks=["demo_arithmetic"], num_fewshot=[0])
    assert cell.num_fewshot == 0


CHILD = """
    import os, signal, socket, sys
    from pathlib import Path

    def refuse(*arguments):
        print("asked the network for", arguments, file=sys.stderr)
        os._exit(7)

    socket.socket.connect = socket.getaddrinfo = refuse

    from tests.evaluation.making import Place, Recorder, family

    class Killing(Recorder):
        def advance(self, amount=1, note=None):
            super().advance(amount, note)
            if len(self.done) == int(sys.argv[2]) > 0:
                os.kill(os.getpid(), signal.SIGKILL)

    of = family()
    cells = Place(Path(sys.argv[1]), of, of.runs()[0]).evaluate(progress=Killing())
    print("evaluated", len(cells))
"""


def _start(place: Place, kill_after: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(CHILD), str(place.root), str(kill_after)]
    environ = _environ()
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _environ() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_killed_midway_and_started_again_it_gives_the_same_files_without_network_or_noise(
    copied: Copied, measured: Place
):
    place = copied("results")
    with _start(place, kill_after=3) as child:
        output, errors = child.communicate()
    assert (child.returncode, output, errors) == (-signal.SIGKILL, "", "")
    assert len(read_cells(place.results)) == 3
    (place.results / ".tmp-demo_last_word.2shot.json.1-00").write_text("half of a ce")
    seen = Recorder()
    place.evaluate(progress=seen)
    assert seen.done == CELLS[3:]
    assert contents(place.results) == contents(measured.results)


def test_two_processes_at_once_do_not_harm_each_other(copied: Copied, measured: Place):
    place = copied("results")
    with _start(place) as one, _start(place) as other:
        answers = [child.communicate() for child in (one, other)]
    assert {errors for _, errors in answers} == {""}
    assert [output for output, _ in answers] == [f"evaluated {len(CELLS)}\n"] * 2
    assert contents(place.results) == contents(measured.results)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"training": {"learning_rate": 0.02}}, "mixhub.training.learning_rate"),
        ({"mixture": {"train_prose": 1.0}}, "train.train_prose"),
    ],
)
def test_a_run_that_was_trained_with_another_recipe_is_not_measured(copied: Copied, changes: dict[str, Any], key: str):
    place = copied("results")
    changed = tiny_family(evaluation=place.family.evaluation.to_data(), **changes)
    with refused("recipe-differs", RunError) as caught:
        Place(place.root, changed, changed.runs()[0]).evaluate()
    assert key in caught.value.fields["keys"]
    assert not place.results.exists()


def test_more_shots_than_there_are_documents_to_draw_from_are_refused(copied: Copied):
    place = copied("results")
    evaluation = place.family.evaluation.model_copy(update={"num_fewshot": (2, 17)})
    greedy = Place(place.root, place.family.model_copy(update={"evaluation": evaluation}), place.run)
    with refused("shots-insufficient", ResultsError, task="demo_continuation", num_fewshot=17, documents=16):
        greedy.evaluate(tasks=["demo_continuation"])
    assert [cell.num_fewshot for cell in read_cells(place.results)] == [2]
    path = place.root / "tasks" / "demo_continuation.yaml"
    path.write_text(path.read_text().replace("fewshot_split: fewshot", "fewshot_split: test"))
    one = evaluation.model_copy(update={"num_fewshot": (DOCUMENTS,)})
    own = Place(place.root, place.family.model_copy(update={"evaluation": one}), place.run)
    with refused("shots-insufficient", ResultsError, num_fewshot=DOCUMENTS, documents=DOCUMENTS - 1):
        own.evaluate(tasks=["demo_continuation"])


@pytest.mark.parametrize("shards", [2, 3, 8])
def test_shards_together_measure_what_one_process_does(copied: Copied, measured: Place, shards: int):
    place = copied("results")
    seen = [Recorder() for _ in range(shards)]
    found = [place.evaluate(progress=own, shard=(number, shards)) for number, own in enumerate(seen, 1)]
    assert sorted(cell for own in seen for cell in own.done) == sorted(CELLS)
    assert len(found[-1]) == len(CELLS)
    assert contents(place.results) == contents(measured.results)


def test_shards_are_of_about_the_same_work():
    evaluation = catalog.get("human-1b").evaluation
    cells = [CellKey(task, k) for task in resolve(evaluation.tasks, {}) for k in evaluation.num_fewshot]
    parts = [shard_of(cells, evaluation, (number, 4)) for number in (1, 2, 3, 4)]
    assert sorted(map(str, cells)) == sorted(str(cell) for part in parts for cell in part)
    documents = {task.name: task.documents or 0 for task in evaluation.tasks}
    work = [sum(documents[cell.task.name] * (1 + cell.num_fewshot) for cell in part) for part in parts]
    assert max(work) < 1.2 * min(work)


def test_a_cell_by_lm_evals_own_backend_says_so_and_stands_for_ours_too(copied: Copied, measured: Place):
    place = copied("results")
    asked: dict[str, Any] = {"tasks": ["demo_arithmetic"], "num_fewshot": [2]}
    (cell,) = place.evaluate(**asked, backend="stock")
    made = cell.provenance
    assert (made.backend, made.scorer, made.layout, made.batch_tokens) == ("stock", None, None, None)
    assert made.batch_size
    ours = next(other for other in read_cells(measured.results) if other.path.name == cell.path.name)
    assert cell.metrics == ours.metrics
    assert (ours.provenance.backend, ours.provenance.layout, ours.provenance.batch_size) == ("mixhub", "packed", None)
    seen = Recorder()
    place.evaluate(**asked, progress=seen)
    assert seen.started == []


def test_a_task_that_generates_runs_by_lm_evals_own_path(copied: Copied):
    place = copied()
    path = place.root / "tasks" / "demo_last_word.yaml"
    config = yaml.safe_load(path.read_text())
    config |= {
        "output_type": "generate_until",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    path.write_text(yaml.safe_dump(config))
    (cell,) = place.evaluate(tasks=["demo_last_word"], num_fewshot=[2])
    assert cell.metrics.keys() == {"exact_match"}
    assert dict(cell.measures) == {}
