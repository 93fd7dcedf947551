"""Chat templates and system instructions: lm-eval's own prompts and figures, and never mixed with plain ones."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from mixhub.errors import ExportError, UsageError
from mixhub.evaluation.options import Options, Prompting
from mixhub.spec.base import to_yaml
from mixhub.workflow import evaluate_model
from mixhub.workspace.cells import read_cell
from tests.evaluation.making import family, write_export
from tests.refusals import refused

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
KINDS = {
    "choice": {"output_type": "multiple_choice", "doc_to_target": "answer", "doc_to_choice": "choices"},
    "text": {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer has a chat template, and a task of each kind."""
    place = tmp_path_factory.mktemp("chat")
    of = family()
    write_export(place / "export", of, of.runs()[0])
    tokenizer = AutoTokenizer.from_pretrained(place / "export")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(place / "export")
    (place / "tasks").mkdir()
    rows = [{"question": f"{n} +", "choices": [" 1", " 22"], "answer": n % 2} for n in range(6)]
    (place / "tasks" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, kind in KINDS.items():
        metric = "acc" if name == "choice" else "exact_match"
        config = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
            "test_split": "test",
            "fewshot_split": "test",
            "description": "Sums.\n",
            "doc_to_text": "{{question}}",
            "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
            **kind,
        }
        (place / "tasks" / f"{name}.yaml").write_text(to_yaml(config))
    return place


def _measured(place: Path, prompting: Prompting, **options: object):
    asked = Options(tasks=["choice", "text"], include_path=[place / "tasks"], num_fewshot=[2], prompting=prompting)
    return evaluate_model(place / "export", place / "out", options=Options(**{**asked.__dict__, **options}))


@pytest.mark.parametrize(
    ("chat", "system", "multiturn"),
    [("default", "Be brief.", True), ("default", None, False), (None, "Be brief.", True)],
)
def test_prompts_and_figures_are_lm_evals(place, monkeypatch, chat, system, multiturn):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    done = _measured(place, Prompting(chat, system, multiturn), device="cpu")
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    monkeypatch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)
    monkeypatch.chdir(place / "tasks")
    stock = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(place / "export"), device="cpu", dtype="float32"),
        tasks=list(KINDS),
        task_manager=TaskManager(include_defaults=False, include_path=str(place / "tasks")),
        num_fewshot=2,
        bootstrap_iters=0,
        apply_chat_template=chat is not None,
        system_instruction=system,
        fewshot_as_multiturn=chat is not None and multiturn,
    )
    assert len(done.cells) == len(KINDS)
    for cell in done.cells:
        ours = [json.loads(line) for line in cell.samples.read_text().splitlines()]
        theirs = stock["samples"][cell.task]
        assert len(ours) == len(theirs) == 6
        for one, other in zip(ours, theirs, strict=True):
            assert one["prompt_hash"] == other["prompt_hash"]
            prompts = [request["arg_0"] for request in one["arguments"].values()]
            assert prompts == [arguments[0] for arguments in other["arguments"]]
            assert ("[assistant]" in prompts[0]) == (chat is not None)
            assert ("Be brief." in prompts[0]) == (system is not None)
        figures = json.loads(cell.path.read_text())["results"][cell.task]
        for key, value in stock["results"][cell.task].items():
            if "_stderr" not in key:
                assert figures[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5)), key


def test_cells_with_a_chat_template_are_kept_apart(place):
    plain = _measured(place, Prompting(), device="cpu")
    chat = _measured(place, Prompting("default", "Hi."), device="cpu")
    one_turn = _measured(place, Prompting("default", "Hi.", False), device="cpu")
    folders = {plain.folder, chat.folder, one_turn.folder}
    assert len(folders) == 3
    assert [cell.prompting for cell in plain.cells] == ["plain", "plain"]
    for done in (chat, one_turn):
        (prompting,) = {cell.prompting for cell in done.cells}
        assert "chat_template" in prompting
        assert ("fewshot_as_multiturn True" in prompting) == (done is chat)
        told = read_cell(done.cells[0].path).provenance
        assert (told.system_instruction, told.fewshot_as_multiturn) == ("Hi.", done is chat)
    states = {cell.path: cell.path.stat().st_mtime_ns for cell in chat.cells}
    assert {
        cell.path: cell.path.stat().st_mtime_ns for cell in _measured(place, Prompting("default", "Hi.")).cells
    } == states


def test_a_template_that_the_tokenizer_lacks(place, tmp_path):
    with refused("chat-template-missing", ExportError, name="rag"):
        _measured(place, Prompting("rag"), device="cpu")
    of = family()
    write_export(tmp_path / "base", of, of.runs()[0])
    options = Options(tasks=["choice"], include_path=[place / "tasks"], prompting=Prompting("default"), device="cpu")
    with refused("chat-template-missing", ExportError, name="default"):
        evaluate_model(tmp_path / "base", tmp_path / "out", options=options)


def test_a_model_may_be_spread_over_devices(place):
    one = _measured(place, Prompting(), device="cpu")
    options = Options(tasks=list(KINDS), include_path=[place / "tasks"], num_fewshot=[2], device_map="auto")
    spread = evaluate_model(place / "export", place / "spread", options=options)
    assert [cell.task for cell in spread.cells] == list(KINDS)
    for here, there in zip(one.cells, spread.cells, strict=True):
        assert there.metrics == pytest.approx(dict(here.metrics), abs=1e-4)
    for options, value in (({"device_map": "auto", "device": "cpu"}, "auto"), ({"device_map": "split"}, "split")):
        with refused("option-value", UsageError, option="--device-map", value=value):
            _measured(place, Prompting(), **options)
