"""A cell that fails: the others go on, and the error names the task, the document and the way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixhub.errors import CellsFailedError, ExportError, ResultsError
from mixhub.evaluation.provenance import ModelUnderTest
from mixhub.evaluation.sweep import evaluate
from mixhub.workspace.cells import Cell, read_cells
from tests.evaluation.making import TASKS, Place
from tests.refusals import refused

Copied = Callable[..., Place]
BROKEN = "demo_arithmetic"


def _rows(place: Place) -> list[dict[str, Any]]:
    text = (place.root / "tasks" / f"{BROKEN}.test.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _write(place: Place, rows: list[dict[str, Any]]) -> None:
    path = place.root / "tasks" / f"{BROKEN}.test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _change(place: Place, **changes: Any) -> None:
    path = place.root / "tasks" / f"{BROKEN}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def _column(place: Place) -> str:
    """The column with the choices."""
    return next(name for name, value in _rows(place)[0].items() if isinstance(value, list))


def _without_column(place: Place) -> None:
    column = _column(place)
    for split in ("test", "fewshot"):
        path = place.root / "tasks" / f"{BROKEN}.{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if k != column}) + "\n" for row in rows))


def _empty_choice(place: Place) -> None:
    rows, column = _rows(place), _column(place)
    rows[0][column] = ["", *rows[0][column][1:]]
    _write(place, rows)


def _no_documents(place: Place) -> None:
    _write(place, [])
    _change(place, dataset_kwargs={"data_files": {"test": f"{BROKEN}.test.jsonl"}}, fewshot_split=None)


def _long_choice(place: Place) -> None:
    rows, column = _rows(place), _column(place)
    rows[3][column] = ["z" * 700, *rows[3][column][1:]]
    _write(place, rows)


def _failing_code(place: Place) -> None:
    (place.root / "tasks" / "code.py").write_text(
        "seen = []\ndef text(doc):\n    return doc['question'][:doc['question'].index('!')]\n"
    )
    path = place.root / "tasks" / f"{BROKEN}.yaml"
    config = yaml.safe_load(path.read_text())
    del config["doc_to_text"]
    path.write_text(f"doc_to_text: !function code.text\n{yaml.safe_dump(config)}")
    rows = _rows(place)
    for number, row in enumerate(rows):
        row["question"] = f"{row['question']}{'' if number == 5 else '!'}"
    _write(place, rows)


def _failing_results(place: Place) -> None:
    (place.root / "tasks" / "code.py").write_text(
        "def results(doc, results):\n    return {'acc': 1 / (0 if doc['question'].startswith('q4') else 1)}\n"
    )
    path = place.root / "tasks" / f"{BROKEN}.yaml"
    path.write_text(f"process_results: !function code.results\n{path.read_text()}")
    _write(place, [row | {"question": f"q{number}"} for number, row in enumerate(_rows(place))])


def _too_many_tokens(place: Place) -> None:
    _change(place, output_type="generate_until", doc_to_choice=None, doc_to_target="x", doc_to_text="q")
    _change(place, generation_kwargs={"until": ["\n"], "max_gen_toks": 640}, metric_list=[{"metric": "exact_match"}])


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        (_without_column, "document-unusable", {"document": 0}),
        (_empty_choice, "choice-unscorable", {"document": 0}),
        (_no_documents, "documents-empty", {}),
        (_long_choice, "choice-unscorable", {"document": 3, "max_length": 640}),
        (_failing_code, "document-unusable", {"document": 5, "key": "doc_to_text"}),
        (_failing_results, "task-failed", {"document": 4}),
        (_too_many_tokens, "context-too-short", {"tokens": 640, "max_length": 640}),
    ],
)
def test_a_task_that_fails_is_named_and_never_takes_the_others_with_it(
    copied: Copied, change: Callable[[Place], None], code: str, fields: dict[str, Any]
):
    place = copied("results")
    change(place)
    with pytest.raises(CellsFailedError) as caught:
        place.evaluate(num_fewshot=[0])
    error = caught.value
    assert (error.code, error.fields["task"]) == (code, BROKEN), error
    assert {name: error.fields.get(name) for name in fields} == fields, error.fields
    assert BROKEN in error.message
    assert len(error.lines()) == 1
    assert {cell.task for cell in read_cells(place.results)} == set(TASKS) - {BROKEN}


def test_the_reasons_of_several_tasks_are_reported_at_once(copied: Copied):
    place = copied("results")
    _long_choice(place)
    for split in ("test", "fewshot"):
        (place.root / "tasks" / f"demo_last_word.{split}.jsonl").unlink()
    with refused("cells-failed", CellsFailedError) as caught:
        place.evaluate()
    assert {(error.code, error.fields["task"]) for error in caught.value.errors} == {
        ("choice-unscorable", BROKEN),
        ("documents-missing", "demo_last_word"),
    }
    assert {cell.task for cell in read_cells(place.results)} == {"demo_continuation"}


@pytest.mark.parametrize("number", [0, 3])
def test_the_stock_backend_says_the_same(copied: Copied, number: int):
    place = copied("results")
    rows, column = _rows(place), _column(place)
    rows[number][column] = ["z" * 700, *rows[number][column][1:]]
    _write(place, rows)
    with refused("choice-unscorable", CellsFailedError, max_length=640, task=BROKEN):
        place.evaluate(num_fewshot=[0], backend="stock", tasks=["demo_continuation", BROKEN])
    assert {cell.task for cell in read_cells(place.results)} == {"demo_continuation"}


def _shorter(place: Place, positions: int) -> Place:
    """The model of the place with a shorter context."""
    path = place.export / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": positions}))
    return place


@pytest.mark.parametrize("backend", ["mixhub", "stock"])
def test_requests_that_are_cut_at_the_left_are_counted_and_said(
    copied: Copied, caplog: pytest.LogCaptureFixture, backend: str
):
    place = _shorter(copied("results"), 64)
    task = "demo_continuation"
    (cell,) = place.evaluate(tasks=[task], num_fewshot=[2], backend=backend)
    made = cell.provenance
    assert made.requests == made.truncated == cell.documents * len(_arguments(cell))
    assert any("cut at the left" in note for note in cell.notes)
    assert "cut at the left" in caplog.text


def _arguments(cell: Cell) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads(cell.samples.read_text().splitlines()[0])
    return sample["arguments"]  # type: ignore[no-any-return]


def test_nothing_is_said_of_requests_that_fit(measured: Place):
    for cell in read_cells(measured.results):
        assert (cell.provenance.truncated, cell.provenance.own_shots, cell.provenance.doubled_prefixes) == (0, 0, 0)
        assert cell.notes == ()


@pytest.mark.parametrize("again", [False, True])
def test_documents_among_their_own_shots_are_counted(copied: Copied, again: bool):
    """lm-eval removes a document from its shots only if the split of the shots is called `test_split`."""
    place = copied("results")
    _change(place, validation_split="test", test_split=None, fewshot_split="test")
    (cell,) = place.evaluate(tasks=[BROKEN], num_fewshot=[2])
    if again:  # from the stored requests
        cell.path.unlink()
        (cell,) = place.evaluate(tasks=[BROKEN], num_fewshot=[2])
    rows = [row["question"] for row in _rows(place)]
    samples = [json.loads(line) for line in cell.samples.read_text().splitlines()]
    own = sum(sample["arguments"]["gen_args_0"]["arg_0"].count(rows[sample["doc_id"]]) > 1 for sample in samples)
    assert cell.provenance.own_shots == own > 0


def test_texts_that_begin_with_two_prefix_tokens_are_counted(copied: Copied):
    place = copied("results")
    _change(
        place,
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_choice=None,
        doc_to_target="{{question}}",
        metric_list=[{"metric": "bits_per_byte"}],
    )
    (cell,) = place.evaluate(tasks=[BROKEN], num_fewshot=[0])
    assert cell.provenance.doubled_prefixes == 0
    _change(place, doc_to_target="<|endoftext|>{{question}}")
    (cell,) = place.evaluate(tasks=[BROKEN], num_fewshot=[0])
    assert cell.provenance.doubled_prefixes == cell.documents


def _evaluated(folder: Path, place: Place) -> None:
    model = ModelUnderTest.of_folder(folder, "stranger", "local")
    evaluate(model, place.family.evaluation, results=place.results, storage=place.storage)


def test_an_adapter_and_other_formats_are_named(copied: Copied):
    place = copied("results")
    folder = place.root / "model"
    shutil.copytree(place.export, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with refused("weights-missing", ExportError, file="pytorch_model.bin") as caught:
        _evaluated(folder, place)
    assert "save_pretrained" in str(caught.value.hint)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base"}')
    (folder / "config.json").unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with refused("model-adapter", ExportError, base="acme/base"):
        _evaluated(folder, place)


@pytest.mark.parametrize("backend", ["mixhub", "stock"])
def test_a_model_with_less_context_than_its_config_claims_is_one_line(copied: Copied, backend: str):
    """A GPT-2 whose config was given a longer context than its table of positions."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    place = copied("results")
    folder = place.root / "model"
    shutil.copytree(place.export, folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=288, n_embd=32, n_layer=2, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    del saved["n_positions"]
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text()) | {"model_max_length": 640}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    from mixhub.evaluation.harness import load_model
    from mixhub.evaluation.lm_eval_private import Instance, quiet

    with quiet():
        lm = load_model(folder, "cpu", "float32", backend)  # type: ignore[arg-type]
    lm._max_length = 640
    fields: dict[str, Any] = {"request_type": "loglikelihood", "doc": {}, "idx": 0, "metadata": ("x", 0, 1)}
    with refused("model-failed", ResultsError, model="GPT2LMHeadModel"):
        lm.loglikelihood([Instance(arguments=("the cat sat on the mat " * 20, "x"), **fields)])
