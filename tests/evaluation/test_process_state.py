"""Library calls leave the process of their caller as it was, whether they succeed or fail."""

from __future__ import annotations

import math
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixhub.errors import MixhubError, ResultsError
from mixhub.evaluation.calls.crosscheck import crosscheck
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.options import Options
from mixhub.evaluation.provenance import ModelUnderTest
from mixhub.evaluation.sweep import evaluate, prefetch
from mixhub.workspace.cells import read_cells
from tests.evaluation.making import Place, Recorder, contents, write_export
from tests.evaluation.state import differences, process_state
from tests.refusals import refused

ROOT = Path(__file__).parents[2]
OPTIONS = Options(device="cpu", tasks=["demo_arithmetic"], num_fewshot=[2])
Copied = Callable[..., Place]


class Interrupting(Recorder):
    """Stops the process, as a person does, when the first requests are scored."""

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        if note and "requests/s" in note:
            raise KeyboardInterrupt


def _begin() -> dict[str, Any]:
    """The state of a process whose generators are anywhere but where evaluation seeds them."""
    random.seed(11)
    np.random.seed(12)
    torch.manual_seed(13)
    return process_state()


def _evaluate(place: Place) -> None:
    (cell,) = place.evaluate(tasks=OPTIONS.tasks, num_fewshot=OPTIONS.num_fewshot)
    assert cell.provenance.backend == "mixhub"


def _evaluate_by_stock(place: Place) -> None:
    (cell,) = place.evaluate(tasks=OPTIONS.tasks, num_fewshot=OPTIONS.num_fewshot, backend="stock")
    assert cell.provenance.backend == "stock"


def _evaluate_folder(place: Place) -> None:
    model = ModelUnderTest.of_folder(place.export, "tiny", "local")
    assert evaluate(model, place.family.evaluation, results=place.results, storage=place.storage, options=OPTIONS)


def _prefetch(place: Place) -> None:
    shutil.rmtree(place.root / "cache")
    assert prefetch(Encoder.load(place.export), place.family.evaluation, storage=place.storage, options=OPTIONS) > 0


@pytest.mark.parametrize("call", [_evaluate, _evaluate_by_stock, _evaluate_folder, _prefetch])
def test_a_call_leaves_the_process_as_it_was(copied: Copied, call: Callable[[Place], None]):
    place, before = copied("results"), _begin()
    call(place)
    assert differences(before, process_state()) == []


def test_a_crosscheck_leaves_the_process_as_it_was(measured: Place):
    before = _begin()
    assert crosscheck(measured.export, read_cells(measured.results), 5, Options(device="cpu")).requests == 5
    assert differences(before, process_state()) == []


def test_a_call_that_fails_leaves_the_process_as_it_was(copied: Copied):
    place, before = copied("results"), _begin()
    with pytest.raises(KeyboardInterrupt):
        place.evaluate(progress=Interrupting())
    assert differences(before, process_state()) == []
    shutil.rmtree(place.export)
    write_export(place.export, place.family, place.run, poison=math.nan)
    before = _begin()
    with refused("figure-not-finite", ResultsError):
        _evaluate(place)
    assert differences(before, process_state()) == []
    path = place.root / "tasks" / "demo_arithmetic.yaml"
    path.write_text(path.read_text().replace("{{question}} =", "{{nothing}} ="))
    with refused("document-unusable", ResultsError, key="doc_to_text"):
        place.evaluate(tasks=["demo_arithmetic"])
    assert differences(before, process_state()) == []


def test_threads_at_once_leave_the_process_as_it_was_and_measure_the_same(
    copied: Copied, measured: Place, tmp_path: Path
):
    one = copied("results")
    other = Place(tmp_path / "other", one.family, one.run)
    shutil.copytree(one.root, other.root)
    errors: list[MixhubError] = []

    def evaluate(place: Place) -> None:
        try:
            place.evaluate()
        except MixhubError as error:
            errors.append(error)

    before = _begin()
    threads = [threading.Thread(target=evaluate, args=(place,)) for place in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert differences(before, process_state()) == []
    assert contents(one.results) == contents(other.results) == contents(measured.results)


CHILD = """
import os, sys
from pathlib import Path

before = dict(os.environ)
from tests.evaluation.making import Place, family

of = family()
Place(Path(sys.argv[1]), of, of.runs()[0]).evaluate(tasks=["demo_arithmetic"])
changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
# scipy, which datasets imports, sets this so that two OpenMP runtimes in one process do not abort it
print(sorted(changed - {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}))
"""


def test_the_environment_is_as_it_was_also_when_lm_eval_is_imported_first(copied: Copied):
    place = copied("results")
    set_by_import = ("HF_XET_HIGH_PERFORMANCE", "HF_HUB_ENABLE_HF_TRANSFER")
    environ = {name: value for name, value in os.environ.items() if name not in set_by_import}
    command = [sys.executable, "-c", CHILD, str(place.root)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
