"""The wall to lm-eval: everything that mixhub takes from it, and what it changes in the process while it works.

Much of it is not part of lm-eval's documented interface. All names are checked when this module is imported, so that
another version of lm-eval is refused with one error instead of failing somewhere in a sweep. The import takes seconds:
other modules import this one inside functions.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import numpy as np

from mixhub.errors import ResultsError

DEBUG = "MIXHUB_DEBUG"
"""Set to anything, this environment variable shows the logs and bars that `quiet` turns off."""

_RELIED_ON = {
    "lm_eval.api.instance": ("Instance",),
    "lm_eval.api.metrics": (
        "acc_all",
        "bleu",
        "chrf",
        "f1_score",
        "matthews_corrcoef",
        "mean",
        "median",
        "nanmean",
        "perplexity",
        "sample_stddev",
        "stderr_for_metric",
        "ter",
    ),
    "lm_eval.api.samplers": ("ContextSampler.df", "ContextSampler.fewshot_indices"),
    "lm_eval.api.task": (
        "ConfigurableTask.fewshot_cfg",
        "ConfigurableTask.multiple_input",
        "ConfigurableTask.sampler",
        "Task._instances",
        "Task.build_all_requests",
        "Task.eval_docs",
        "Task.instances",
        "Task.set_config",
        "Task.set_fewshot_seed",
        "tqdm",
    ),
    "lm_eval.evaluator": ("evaluate",),
    "lm_eval.loggers.utils": ("add_tokenizer_info",),
    "lm_eval.models.huggingface": (
        "HFLM._DEFAULT_MAX_LENGTH",
        "HFLM._loglikelihood_tokens",
        "HFLM._max_length",
        "HFLM.add_bos_token",
        "HFLM.custom_prefix_token_id",
        "HFLM.max_length",
        "HFLM.prefix_token_id",
    ),
    "lm_eval.tasks": ("TaskManager.load",),
    "lm_eval.utils": ("env.from_string", "handle_non_serializable", "hash_string", "sanitize_list"),
}
"""By module, the names that must be there: of functions, of classes with their attributes, and of module variables."""
# lm-eval's own defaults; they reach tasks that sample, and none of the suites' prompts.
PYTHON_SEED, NUMPY_SEED, TORCH_SEED = 0, 1234, 1234

_IMPORT_SETS = ("HF_XET_HIGH_PERFORMANCE", "HF_HUB_ENABLE_HF_TRANSFER")
"""Environment variables that `import lm_eval` sets for the whole process, unless they are set."""


def missing_names() -> list[str]:
    """The names that mixhub relies on and the installed lm-eval lacks, sorted."""
    return sorted(f"{module}.{name}" for module, names in _RELIED_ON.items() for name in names if _lacks(module, name))


def _lacks(module: str, name: str) -> bool:
    try:
        value: Any = import_module(module)
    except ImportError:
        return True
    for part in name.split("."):
        if hasattr(value, part):
            value = getattr(value, part)
        else:  # an attribute of its objects, unless nothing assigns it
            return not (isinstance(value, type) and part in value.__init__.__code__.co_names)  # type: ignore[misc]
    return False


def require_names() -> None:
    """Raises ResultsError with all names that the installed lm-eval lacks."""
    if names := missing_names():
        installed = version("lm_eval")
        raise ResultsError(
            f"lm-eval {installed}: lacks what mixhub relies on: {', '.join(names)}",
            code="lm-eval-unsupported",
            hint="pip install 'lm-eval>=0.4.12,<0.5'; if it is in that range, report it to mixhub",
            version=installed,
            names=names,
        )


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Takes back what `import lm_eval` sets: huggingface_hub reads it, for all of the process's transfers."""
    import huggingface_hub.constants  # noqa: F401 - it reads the environment once, when it is imported

    unset = [name for name in _IMPORT_SETS if name not in os.environ]
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


with _environment_kept():
    require_names()
    from lm_eval.api import metrics
    from lm_eval.api import task as _task_module
    from lm_eval.api.instance import Instance
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers.utils import add_tokenizer_info
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import env as _templates
    from lm_eval.utils import handle_non_serializable, hash_string, sanitize_list

__all__ = [
    "DEBUG",
    "HFLM",
    "NUMPY_SEED",
    "PYTHON_SEED",
    "TORCH_SEED",
    "Instance",
    "TaskManager",
    "add_tokenizer_info",
    "built_instances",
    "evaluate",
    "handle_non_serializable",
    "hash_string",
    "instances_given",
    "length_and_prefix",
    "metrics",
    "missing_names",
    "quiet",
    "require_names",
    "sanitize_list",
    "seeded",
    "shot_documents",
    "templates_compiled_once",
    "without_download_counts",
]


def length_and_prefix(tokenizer: Any, config: Any) -> tuple[int, int]:
    """Context length and prefix token of HFLM over a tokenizer and a config, by its own rules but without a model."""
    lm = SimpleNamespace(
        tokenizer=tokenizer,
        model=SimpleNamespace(config=config),
        custom_prefix_token_id=None,
        _max_length=None,
        _DEFAULT_MAX_LENGTH=HFLM._DEFAULT_MAX_LENGTH,
    )
    properties: Any = HFLM
    return properties.max_length.fget(lm), properties.prefix_token_id.fget(lm)


def shot_documents(task: Any) -> int | None:
    """How many documents a task has to draw the shots of one document from; None if it does not draw shots."""
    sampler: Any = getattr(task, "sampler", None)
    if not hasattr(sampler, "df"):
        return None
    documents = len(sampler.fewshot_indices or sampler.df)
    # From the evaluated split lm-eval draws one more, since the document itself may be among them.
    return documents - 1 if task.fewshot_cfg.split == task.config.test_split else documents


def built_instances(task: Any, limit: int | None) -> list[Any]:
    """The requests of a task, as lm-eval builds them; the task forgets them again."""
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    instances: list[Any] = task.instances
    task._instances = None
    return instances


@contextmanager
def instances_given(task: Any, make: Callable[[], Sequence[Any]]) -> Iterator[None]:
    """Has lm-eval take the requests that `make` returns instead of building them, for the block."""

    def take(**_: object) -> None:
        task._instances = make()

    task.build_all_requests = take
    try:
        yield
    finally:
        del task.build_all_requests


_GENERATORS = threading.RLock()
"""Held while the generators of the process are seeded."""


@contextmanager
def seeded() -> Iterator[None]:
    """Seeds all generators that a task may draw from for the block, as `simple_evaluate` does, and puts them back.

    They belong to the process: of several threads, one is in the block at a time.
    """
    import torch

    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with _GENERATORS, torch.random.fork_rng(devices=gpus):
        python, legacy = random.getstate(), np.random.get_state()
        try:
            random.seed(PYTHON_SEED)
            np.random.seed(NUMPY_SEED)
            torch.default_generator.manual_seed(TORCH_SEED)
            if gpus:
                torch.cuda.manual_seed_all(TORCH_SEED)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def _shared(change: Callable[[], AbstractContextManager[None]]) -> Callable[[], AbstractContextManager[None]]:
    """Lets overlapping blocks share a change of the process: the first one makes it, and the last one undoes it.

    If each thread restored what it saw, the second of two would restore the change of the first.
    """
    lock, undo = threading.Lock(), ExitStack()
    blocks = 0

    @functools.wraps(change)
    @contextmanager
    def shared() -> Iterator[None]:
        nonlocal blocks
        with lock:
            if blocks == 0:
                undo.enter_context(change())
            blocks += 1
        try:
            yield
        finally:
            with lock:
                blocks -= 1
                if blocks == 0:
                    undo.close()

    return shared


@_shared
@contextmanager
def quiet() -> Iterator[None]:
    """Turns off lm-eval's log and the bars of lm-eval, datasets and Transformers for the block."""
    if os.environ.get(DEBUG):
        yield
        return
    with _log_of("lm_eval"), _without_request_bar(), _without_dataset_bars(), _without_loading_bars():
        yield


@contextmanager
def _log_of(name: str) -> Iterator[None]:
    """Lets errors through only: lm-eval warns of what is intended here, such as a model that is loaded already."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _without_request_bar() -> Iterator[None]:
    """lm-eval shows a bar while it builds requests, and has no switch for it."""
    before: Any = _task_module.tqdm
    _task_module.tqdm = functools.partial(before, disable=True)
    try:
        yield
    finally:
        _task_module.tqdm = before


@contextmanager
def _without_dataset_bars() -> Iterator[None]:
    import datasets

    before = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            datasets.enable_progress_bars()


@contextmanager
def _without_loading_bars() -> Iterator[None]:
    """Transformers turns huggingface_hub's bars off and on with its own, and forgets those of single groups."""
    from transformers.utils import logging as module

    transformers_logging: Any = module
    hub_bars: dict[str, bool] = import_module("huggingface_hub.utils.tqdm").progress_bar_states
    before, hub_before = transformers_logging.is_progress_bar_enabled(), dict(hub_bars)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            transformers_logging.enable_progress_bar()
        hub_bars.clear()
        hub_bars.update(hub_before)


@_shared
@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Has lm-eval keep its compiled templates for the block; by itself it compiles one again for each text it makes."""
    _templates.from_string = functools.lru_cache(maxsize=256)(type(_templates).from_string.__get__(_templates))
    try:
        yield
    finally:
        del _templates.from_string


@_shared
@contextmanager
def without_download_counts() -> Iterator[None]:
    """Keeps datasets from reporting to a server that it reads local files, which it does for each load."""
    from datasets import config

    before = config.HF_UPDATE_DOWNLOAD_COUNTS
    config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield
    finally:
        config.HF_UPDATE_DOWNLOAD_COUNTS = before
