"""The wall to lm-eval: what it relies on is checked, and what it changes in the process is undone."""

from __future__ import annotations

import ast
import random
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from lm_eval.api import task as task_module
from lm_eval.models.huggingface import HFLM

from mixhub.errors import ResultsError
from mixhub.evaluation import lm_eval_private
from mixhub.workspace.vendors import require_names
from tests import structure
from tests.evaluation.state import differences, hub_bars, process_state
from tests.refusals import refused

dataset_bars = import_module("datasets.utils.tqdm")
BLOCKS = [lm_eval_private.quiet, lm_eval_private.tuned]


def test_the_installed_lm_eval_has_all_that_is_relied_on():
    require_names("lm_eval>=0.4", lm_eval_private.RELIED_ON, ResultsError, "lm-eval-unsupported")


def test_names_that_are_gone_are_one_error_at_import(monkeypatch: pytest.MonkeyPatch):
    def nothing(self: object) -> None: ...

    monkeypatch.delattr(task_module, "tqdm")
    monkeypatch.delattr(HFLM, "_DEFAULT_MAX_LENGTH")
    monkeypatch.setattr(task_module.Task, "__init__", nothing)  # which sets no _instances
    monkeypatch.setitem(sys.modules, "lm_eval.loggers.utils", None)
    gone = [
        "lm_eval.api.task.Task._instances",
        "lm_eval.api.task.tqdm",
        "lm_eval.loggers.utils.add_tokenizer_info",
        "lm_eval.models.huggingface.HFLM._DEFAULT_MAX_LENGTH",
    ]
    with refused("lm-eval-unsupported", ResultsError, version=version("lm_eval"), names=gone) as caught:
        runpy.run_path(lm_eval_private.__file__)
    assert version("lm_eval") in caught.value.message
    assert all(name in caught.value.message for name in gone)


def test_nothing_else_imports_lm_eval():
    importers = set()
    for path in structure.modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] == "lm_eval" for name in named):
                importers.add(path)
    assert importers == {Path(lm_eval_private.__file__)}


def test_the_sweep_is_imported_without_vendors():
    code = (
        "import sys, mixhub.evaluation.sweep, mixhub.evaluation.calls.crosscheck, mixhub.evaluation.encoding\n"
        "print({'lm_eval', 'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=structure.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_change_is_undone_also_when_nested_and_on_errors(
    block: Callable[[], AbstractContextManager[None]], fails: bool
):
    before = process_state()
    with suppress(KeyError), block():
        changed = differences(before, process_state())
        with block():
            assert differences(before, process_state()) == changed != []
        assert differences(before, process_state()) == changed
        if fails:
            raise KeyError
    assert differences(before, process_state()) == []


@pytest.mark.parametrize("block", BLOCKS)
def test_of_threads_that_overlap_the_last_undoes_the_change(block: Callable[[], AbstractContextManager[None]]):
    before = process_state()
    both_in, first_out = threading.Barrier(2, timeout=60), threading.Event()
    seen: list[list[str]] = []

    def first() -> None:
        with block():
            both_in.wait()
        first_out.set()

    def second() -> None:
        with block():
            both_in.wait()
            first_out.wait(60)
            seen.append(differences(before, process_state()))

    _run(first, second)
    assert len(seen) == 1
    assert seen[0]
    assert differences(before, process_state()) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_bars_are_off_for_the_block_and_then_as_the_caller_set_them(monkeypatch: pytest.MonkeyPatch, enabled: bool):
    monkeypatch.setattr(hub_bars, "HF_HUB_DISABLE_PROGRESS_BARS", None)  # which the tests set for all
    monkeypatch.setattr(hub_bars, "progress_bar_states", {"_global": enabled, "mine": not enabled})
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", enabled)
    monkeypatch.setattr(dataset_bars, "_hf_datasets_progress_bars_disabled", not enabled)
    before = process_state()
    assert [before[name] for name in ("bars of datasets", "bars of Transformers")] == [not enabled, enabled]
    with lm_eval_private.quiet():
        state = process_state()
        assert [state[name] for name in ("bars of datasets", "bars of Transformers")] == [True, False]
        assert state["bars of huggingface_hub"] == {"_global": False}
    assert differences(before, process_state()) == []


def test_a_variable_of_the_environment_lets_all_of_it_through(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(lm_eval_private.DEBUG, "1")
    before = process_state()
    with lm_eval_private.quiet():
        assert differences(before, process_state()) == []


def _draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random_sample()), float(torch.rand(()))


def test_generators_are_seeded_for_the_block_and_put_back():
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(7)
    before = process_state()
    with lm_eval_private.seeded():
        first = _draws()
        with lm_eval_private.seeded():
            assert _draws() == first
        second = _draws()
    assert differences(before, process_state()) == []
    assert second != first
    with suppress(KeyError), lm_eval_private.seeded():
        assert _draws() == first
        raise KeyError
    assert differences(before, process_state()) == []


def test_a_thread_draws_what_it_would_draw_alone():
    with lm_eval_private.seeded():
        alone = [_draws() for _ in range(50)]
    before = process_state()
    found: list[list[tuple[float, float, float]]] = []

    def draw() -> None:
        with lm_eval_private.seeded():
            found.append([_draws() for _ in range(50)])

    _run(*[draw] * 4)
    assert found == [alone] * 4
    assert differences(before, process_state()) == []


def _run(*work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
