"""What lm-eval finds by itself, without mixhub."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.suite_documents import SOURCES


def stock_results(
    model: Path, tasks: Sequence[str], shots: Sequence[int], repos: Path, folder: Path
) -> Mapping[int, Mapping[str, Any]]:
    """Return what `simple_evaluate` gives in float32 on the CPU, by shot count; `folder` takes copies of the tasks."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from mixhub.evaluation.suite import find_builtin

    folder.mkdir()
    for name in tasks:
        path = repos / SOURCES[name].repo_id
        task = {"include": str(find_builtin(name)), "task": name, "dataset_path": str(path)}
        (folder / f"{name}.yaml").write_text(json.dumps(task))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISABLE_MULTIPROC", "1")
        patch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)
        lm = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=7)
        manager = TaskManager(include_defaults=False, include_path=str(folder))
        return {
            count: lm_eval.simple_evaluate(
                model=lm, tasks=list(tasks), task_manager=manager, num_fewshot=count, bootstrap_iters=0
            )
            for count in shots
        }
