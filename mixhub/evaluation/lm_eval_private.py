"""The only module that imports lm-eval: what mixhub takes from it, and what it changes in the process meanwhile.

Much of it is not part of lm-eval's documented interface. All names are checked when this module is imported, so that
an unsupported version of lm-eval is refused with one error. The import takes seconds: other modules import this one
inside functions.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants  # noqa: F401 - it reads the environment when it is imported, before lm-eval changes it
import numpy as np

from mixhub.errors import MixhubError, ResultsError
from mixhub.evaluation.options import Prompting
from mixhub.evaluation.suite import first_line
from mixhub.workspace.vendors import require_names

DEBUG = "MIXHUB_DEBUG"
"""If this environment variable is set, the logs and bars that `quiet` turns off are shown."""

RELIED_ON = {
    "lm_eval.api.group": ("Group.aggregate", "Group.from_config", "Group.get_all_tasks"),
    "lm_eval.api.instance": ("Instance",),
    "lm_eval.api.metrics": (
        "acc_all", "bleu", "chrf", "f1_score", "matthews_corrcoef", "mean", "perplexity", "sample_stddev",
        "stderr_for_metric", "ter",
    ),
    "lm_eval.api.samplers": ("ContextSampler.df", "ContextSampler.fewshot_indices"),
    "lm_eval.api.task": (
        "ConfigurableTask.fewshot_cfg", "ConfigurableTask.multiple_input", "ConfigurableTask.sampler",
        "Task._instances", "Task.build_all_requests", "Task.eval_docs", "Task.instances", "Task.set_config",
        "Task.set_fewshot_seed", "tqdm",
    ),
    "lm_eval.evaluator": ("evaluate",),
    "lm_eval.loggers.utils": ("add_tokenizer_info",),
    "lm_eval.models.huggingface": (
        "HFLM._DEFAULT_MAX_LENGTH", "HFLM._loglikelihood_tokens", "HFLM._max_length", "HFLM._model_call",
        "HFLM._model_generate", "HFLM.add_bos_token", "HFLM.apply_chat_template", "HFLM.custom_prefix_token_id",
        "HFLM.max_gen_toks", "HFLM.max_length", "HFLM.prefix_token_id", "HFLM.tok_batch_encode", "HFLM.tok_encode",
    ),
    "lm_eval.tasks": (
        "TaskManager.all_groups", "TaskManager.all_subtasks", "TaskManager.all_tags", "TaskManager.load",
        "TaskManager.task_index",
    ),
    "lm_eval.utils": ("env.from_string", "handle_non_serializable", "hash_string", "sanitize_list"),
}  # fmt: skip
"""By module, the names that must exist: functions, attributes of classes, and module variables."""

# lm-eval's own defaults; they reach tasks that sample, and none of the suites' prompts.
PYTHON_SEED, NUMPY_SEED, TORCH_SEED = 0, 1234, 1234

_IMPORT_SETS = ("HF_XET_HIGH_PERFORMANCE", "HF_HUB_ENABLE_HF_TRANSFER")
"""Environment variables that `import lm_eval` sets for the whole process, unless they are set."""

_unset = [name for name in _IMPORT_SETS if name not in os.environ]
try:
    require_names("lm_eval>=0.4.12,<0.5", RELIED_ON, ResultsError, "lm-eval-unsupported")
    from lm_eval.api import metrics
    from lm_eval.api import task as _task_module
    from lm_eval.api.group import Group
    from lm_eval.api.instance import Instance
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers.utils import add_tokenizer_info
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import env as _templates
    from lm_eval.utils import handle_non_serializable, hash_string, sanitize_list
finally:
    for _name in _unset:
        os.environ.pop(_name, None)

__all__ = [
    "HFLM", "Instance", "TaskManager", "add_tokenizer_info", "evaluate", "handle_non_serializable", "hash_string",
    "metrics", "sanitize_list",
]  # fmt: skip


class StockLM(HFLM):  # type: ignore[misc]
    """HFLM without its bar over requests, and with clear errors; it counts what lm-eval does without recording it."""

    truncated = 0
    """Requests that were cut at the left to fit the context, since the counts were reset."""
    doubled_prefixes = 0
    """Texts of rolling log-likelihoods that began with the prefix token, which lm-eval adds once more."""

    def reset_counts(self) -> None:
        """Set the counts to 0."""
        self.truncated = self.doubled_prefixes = 0

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Sequence[Any], *arguments: Any, **options: Any) -> Any:
        for _, context, continuation in requests:
            require_scorable(len(continuation), self.max_length)
            self.truncated += len(context) + len(continuation) > self.max_length + 1
        return super()._loglikelihood_tokens(requests, *arguments, **options)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
        starts = [self.tok_encode(request.args[0])[:1] for request in requests]
        self.doubled_prefixes += starts.count([self.prefix_token_id])
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
        for options in {id(request.args[1]): request.args[1] for request in requests}.values():
            room = options.get("max_gen_toks", options.get("max_new_tokens", self.max_gen_toks))
            if isinstance(room, int) and room >= self.max_length:
                message = f"it generates up to {room} tokens, and the context of the model has {self.max_length}"
                fields = {"tokens": room, "max_length": self.max_length}
                raise ResultsError(message, code="context-too-short", **fields)
        return super().generate_until(requests, disable_tqdm=True)

    def tok_batch_encode(
        self, strings: list[str], padding_side: str = "left", left_truncate_len: int | None = None, **options: Any
    ) -> Any:
        if left_truncate_len:
            self.truncated += sum(len(self.tok_encode(text)) > left_truncate_len for text in strings)
        return super().tok_batch_encode(strings, padding_side, left_truncate_len, **options)

    def _model_call(self, inps: Any, *arguments: Any, **options: Any) -> Any:
        with clear_model_errors(self, inps.shape[-1]):
            return super()._model_call(inps, *arguments, **options)

    def _model_generate(self, context: Any, max_length: int, *arguments: Any, **options: Any) -> Any:
        with clear_model_errors(self, max_length):
            return super()._model_generate(context, max_length, *arguments, **options)


def require_scorable(tokens: int, max_length: int, what: str = "a choice", **fields: object) -> None:
    """Refuse a continuation without tokens, or with more than the context."""
    if 0 < tokens <= max_length:
        return
    message = f"{what} has {tokens} tokens, and must have 1 to {max_length} (the model's context length)"
    hint = "leave the task out of the suite (`evaluation:`), or use a model with a longer context"
    if not tokens:
        hint = "fill in the choice in the documents of the task"
    raise ResultsError(message, code="choice-unscorable", hint=hint, tokens=tokens, max_length=max_length, **fields)


@contextmanager
def clear_model_errors(lm: Any, tokens: int) -> Iterator[None]:
    """Turn an error of the model's code into a ResultsError; memory that runs out, and bugs of ours, pass."""
    import torch

    try:
        yield
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error) or is_ours(error):
            raise
        name = type(lm.model).__name__
        message = f"{name} fails on rows of up to {tokens} tokens: {_reason(error)}"
        hint = (
            f"config and tokenizer claim a context of {lm.max_length} tokens; if the model has less, lower "
            "max_position_embeddings in config.json, or model_max_length in tokenizer_config.json"
        )
        raise ResultsError(message, code="model-failed", hint=hint, model=name, tokens=tokens) from error


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised by mixhub's own code, not by code that it calls."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(Path(__file__).parents[1])


def prompt_settings(prompting: Prompting) -> dict[str, Any]:
    """Return the settings of prompts as lm-eval's functions take them; none for plain text."""
    if prompting.is_plain:
        return {}
    is_chat = prompting.chat_template is not None
    return {
        "system_instruction": prompting.system_instruction,
        "apply_chat_template": is_chat,
        "fewshot_as_multiturn": is_chat and prompting.fewshot_as_multiturn,
    }


class _NamedGroup(Group):  # type: ignore[misc]
    """A group that knows the names of its tasks, without the tasks."""

    names: Sequence[str] = ()

    def get_all_tasks(self, recursive: bool = True) -> list[Any]:
        return [SimpleNamespace(task_name=name) for name in self.names]


def aggregated(config: Mapping[str, Any], tasks: Sequence[str], results: Mapping[str, Any]) -> dict[str, Any]:
    """Return lm-eval's figures of a group from those of its tasks.

    Args:
        config: the group's YAML, without its tasks.
        tasks: its tasks and those of the groups in it.
        results: by task, its figures as lm-eval writes them.

    Raises:
        ValueError, TypeError: lm-eval refuses the YAML.
    """
    metrics = config.get("aggregate_metric_list") or []
    # lm-eval takes a function for `aggregation`, and then uses the mean nevertheless.
    metrics = [
        {key: value for key, value in metric.items() if key != "aggregation" or isinstance(value, str)}
        for metric in ([metrics] if isinstance(metrics, dict) else metrics)
    ]
    group = _NamedGroup.from_config({**config, "aggregate_metric_list": metrics})
    group.names = tasks
    figures: dict[str, Any] = group.aggregate(results)
    return figures


def length_and_prefix(tokenizer: Any, config: Any) -> tuple[int, int | None]:
    """Return the context length and prefix token (None: the tokenizer has none) of HFLM, without a model."""
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
    """Return how many documents a task has to draw the shots of one document from; None if it draws no shots."""
    sampler: Any = getattr(task, "sampler", None)
    if not hasattr(sampler, "df"):
        return None
    documents = len(sampler.fewshot_indices or sampler.df)
    # From the evaluated split lm-eval draws one more, since the document itself may be among them.
    return documents - 1 if task.fewshot_cfg.split == task.config.test_split else documents


_READS_DOCUMENT = ("fewshot_context", "construct_requests", "process_results")
"""Methods of a task that read the document that they are given first, or as `doc`."""


@dataclass
class Reading:
    """What a task does with its documents."""

    document: Any = None
    """The last one."""
    own_shots: int = 0
    """How many documents were among their own shots."""


@contextmanager
def reading_documents(task: Any) -> Iterator[Reading]:
    """Follow the documents of a task for the block; an error of the task's code becomes a ResultsError that names one.

    Raises:
        ResultsError: the task fails; with the number of the document, and the key of the YAML, if they can be found.
    """
    reading = Reading()

    def follow(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            reading.document = arguments[0] if arguments else options.get("doc")
            return method(*arguments, **options)

        return call

    def draw(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            shots = method(*arguments, **options)
            reading.own_shots += any(shot == reading.document for shot in shots)
            return shots

        return call

    sampler = getattr(task, "sampler", None)
    changes = [(task, name, follow) for name in _READS_DOCUMENT if hasattr(task, name)]
    changes += [(sampler, "sample", draw)] if hasattr(sampler, "sample") else []
    for owner, name, change in changes:
        setattr(owner, name, change(getattr(owner, name)))
    try:
        yield reading
    except (MixhubError, OSError, MemoryError):
        raise
    except Exception as error:
        if is_ours(error):
            raise
        raise task_error(task, error, reading.document) from error
    finally:
        for owner, name, _ in changes:
            delattr(owner, name)


def failing_task(error: BaseException) -> Any:
    """Return the task whose constructor raised an error after it had loaded its documents, if that is so."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        task = frame.f_locals.get("self")
        if isinstance(task, _task_module.Task) and getattr(task, "dataset", None) is not None:
            with suppress(Exception):  # the dataset has another split than the task evaluates
                return task if task.eval_docs is not None else None
    return None


def task_error(task: Any, error: Exception, document: Any = None) -> ResultsError:
    """Return the error of a task that fails: what it cannot use, as far as that can be found."""
    reason = _reason(error)
    splits = [("document", list(task.eval_docs))]
    if not splits[0][1]:
        message = f"its split {task.config.test_split or task.config.validation_split} has no documents"
        return ResultsError(message, code="documents-empty", hint="add documents, or omit the task")
    splits += [("few-shot document", list(getattr(getattr(task, "sampler", None), "df", None) or ()))]
    if document is not None:  # it comes first; if it is fine, one of its shots is not
        splits = [("document", [one if one == document else None for one in splits[0][1]]), splits[1]]
    for kind, documents in splits:
        for number, one in enumerate(documents):
            if one is not None and (problem := _document_problem(task, one, reason)) is not None:
                key, what, code = problem
                value = getattr(task.config, key)
                message = f"{kind} {number}: {key} ({getattr(value, '__name__', value)}) {what}"
                hint = f"correct it; its columns are {', '.join(map(str, one))}"
                return ResultsError(message, code=code, hint=hint, document=number, key=key, columns=tuple(one))
    place = next((number for number, one in enumerate(splits[0][1]) if one is not None), None)
    where = f"document {place}: " if document is not None and place is not None else ""
    hint = "correct the task or its documents, or omit the task"
    return ResultsError(f"{where}the task fails: {reason}", code="task-failed", hint=hint, document=place)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)[:200]}"


def _document_problem(task: Any, document: Any, reason: str) -> tuple[str, str, str] | None:
    """Return the key of a task's YAML that does not work for a document, how it fails, and the code of the error."""
    found: dict[str, Any] = {}
    for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        if getattr(task.config, key, None) is None:
            continue
        try:
            found[key] = getattr(task, key)(document)
        except Exception as error:
            return key, f"fails: {_reason(error)}", "document-unusable"
        if found[key] is None:
            return key, f"gives nothing ({reason})", "document-unusable"
    choices = found.get("doc_to_choice")
    if task.OUTPUT_TYPE != "multiple_choice" or not isinstance(choices, list) or task.multiple_input:
        return None
    if "" in choices:
        return "doc_to_choice", f"choice {choices.index('')} is empty", "choice-unscorable"
    target = found.get("doc_to_target")
    is_choice = target in choices if isinstance(target, str) else isinstance(target, int | list)
    what = f"gives {target!r}, which is none of the choices ({reason})"
    return None if is_choice else ("doc_to_target", what, "document-unusable")


def built_instances(task: Any, limit: int | None, tokenizer: Any, prompting: Prompting) -> list[Any]:
    """Return the requests of a task as lm-eval builds them; the task does not keep them."""
    settings = prompt_settings(prompting)
    if settings.get("apply_chat_template"):
        lm = SimpleNamespace(tokenizer=tokenizer, chat_template_args={})
        settings["chat_template"] = functools.partial(HFLM.apply_chat_template, lm)
    task.build_all_requests(limit=limit, rank=0, world_size=1, **settings)
    instances: list[Any] = task.instances
    task._instances = None
    return instances


@contextmanager
def instances_given(task: Any, make: Callable[[], Sequence[Any]]) -> Iterator[None]:
    """Make lm-eval use the requests that `make` returns instead of building them, for the block."""

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
    """Seed all generators that a task may draw from for the block, as `simple_evaluate` does, and restore them.

    They belong to the process: only one thread at a time is in the block.
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
    """Let overlapping blocks share a change of the process: the first one makes it, and the last one undoes it.

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


def _is_no_length_warning(record: logging.LogRecord) -> bool:
    """Whether a record is other than the tokenizers' warning of long texts: they are cut before the model sees them."""
    return "longer than the specified maximum sequence length" not in str(record.msg)


@_shared
@contextmanager
def quiet() -> Iterator[None]:
    """Turn off lm-eval's log and the bars of lm-eval, datasets and Transformers for the block."""
    import datasets

    bars: Any = import_module("transformers.utils.logging")
    # Transformers turns huggingface_hub's bars off and on with its own, and forgets those of single groups.
    hub_bars: dict[str, bool] = import_module("huggingface_hub.utils.tqdm").progress_bar_states
    if os.environ.get(DEBUG):
        yield
        return
    log, library = logging.getLogger("lm_eval"), logging.getLogger("datasets")
    tokenizers = logging.getLogger("transformers.tokenization_utils_base")
    library_level = library.level
    library.setLevel(logging.CRITICAL)  # its errors are raised, too
    tokenizers.addFilter(_is_no_length_warning)
    level, request_bar, hub_before = log.level, _task_module.tqdm, dict(hub_bars)
    had_dataset_bars, had_bars = not datasets.are_progress_bars_disabled(), bars.is_progress_bar_enabled()
    # lm-eval warns of what is intended here, such as a model that is loaded already; errors still show.
    log.setLevel(logging.ERROR)
    _task_module.tqdm = functools.partial(request_bar, disable=True)  # it has no other switch
    datasets.disable_progress_bars()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        log.setLevel(level)
        library.setLevel(library_level)
        tokenizers.removeFilter(_is_no_length_warning)
        _task_module.tqdm = request_bar
        if had_dataset_bars:
            datasets.enable_progress_bars()
        if had_bars:
            bars.enable_progress_bar()
        hub_bars.clear()
        hub_bars.update(hub_before)


@_shared
@contextmanager
def tuned() -> Iterator[None]:
    """Make lm-eval keep its compiled templates, and datasets not report each load of local files to a server."""
    from datasets import config

    before = config.HF_UPDATE_DOWNLOAD_COUNTS
    config.HF_UPDATE_DOWNLOAD_COUNTS = False
    _templates.from_string = functools.lru_cache(maxsize=256)(type(_templates).from_string.__get__(_templates))
    try:
        yield
    finally:
        del _templates.from_string
        config.HF_UPDATE_DOWNLOAD_COUNTS = before
