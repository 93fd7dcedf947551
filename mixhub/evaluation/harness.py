"""lm-eval's model class and its evaluation loop, for one cell at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, ResultsError, UsageError
from mixhub.evaluation.bootstrap import bootstrap_stderr
from mixhub.evaluation.measures import MEASURES, cell_measures, document_measures
from mixhub.evaluation.options import PLAIN, Backend, Prompting, bad_option
from mixhub.evaluation.requests import Prepared, configure
from mixhub.evaluation.suite import first_line
from mixhub.phrases import listed
from mixhub.workspace.cells import MEASURES_KEY

DTYPES = ("float32", "bfloat16", "float16")
SCORER = 1
"""Version of our backend: raise it when a log-likelihood may change by more than rounding."""
REPLICATES = 100_000
"""Draws of a bootstrap: lm-eval's default."""
STDERR = f"of means: closed form; else lm-eval's bootstrap, {REPLICATES:,} draws (100 for bleu, chrf and ter)"
"""How standard errors were computed, as each cell records it."""

_UNUSED_SETTINGS: dict[str, Any] = {"batch_sizes": [], "use_cache": None, "gen_kwargs": None}
_FEW_REPLICATES = 100
"""lm-eval's number of draws for the corpus metrics, which take seconds each."""
_LOGIT_BYTES = {"cpu": 2**30, "cuda": 2**33}
_MAX_REQUESTS = 32


@dataclass(frozen=True)
class Measured:
    """lm-eval's figures for one task at one shot count."""

    results: dict[str, Any]
    """lm-eval's result, without samples and without what depends on the machine or the time."""
    samples: list[dict[str, Any]]
    """lm-eval's samples, one per document and filter, with our measures beside its metrics."""
    measures: dict[str, float | int]
    """Ours, over all documents (see `mixhub.evaluation.measures`)."""
    counts: dict[str, int]
    """Fields of `Provenance` that count what happened to requests and documents."""
    date: float
    """Start, seconds since 1970."""
    seconds: float
    """Duration."""


DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""How Transformers can spread a model over devices."""


def choose_device(device: str | None, device_map: str | None = None) -> str:
    """Return the device, by default `cuda` if available; raises UsageError for an unknown or missing device."""
    import torch

    if device_map is not None and device_map not in DEVICE_MAPS:
        raise bad_option("--device-map", device_map, f"must be one of {listed(DEVICE_MAPS)}")
    if device_map is not None and device is not None:
        hint = "omit --device: the map uses all devices; or omit --device-map for a model that fits one device"
        raise bad_option("--device-map", device_map, f"conflicts with --device {device}", hint)
    available = torch.cuda.is_available()
    if device is None:
        return "cuda" if available else "cpu"
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise bad_option("--device", device, "must be cpu, cuda or cuda:N")
    if kind == "cuda" and not available:
        message = f"--device = {device!r}: this machine has no CUDA device, or its torch was built without CUDA"
        raise UsageError(message, code="device-missing", device=device)
    return device


def choose_dtype(dtype: str | None, device: str) -> str:
    """Return the dtype, by default float32 on CPU and bfloat16 on CUDA; raises UsageError for an unknown one."""
    if dtype is None:
        return "bfloat16" if device.startswith("cuda") else "float32"
    if dtype not in DTYPES:
        raise bad_option("--dtype", dtype, f"must be one of {listed(DTYPES)}")
    return dtype


def load_model(
    folder: Path, device: str, dtype: str, backend: Backend = "mixhub", device_map: str | None = None
) -> Any:
    """Load the model in a folder into lm-eval's model class, ours or its own; makes no network request.

    Args:
        folder: weights, config and tokenizer.
        device: where the model goes, unless there is a `device_map`.
        dtype: of the weights.
        backend: `stock` for lm-eval's own class.
        device_map: how Transformers spreads the model over devices.

    Raises:
        ExportError: it is not a causal language model, weights are missing, or its tokenizer does not fit.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mixhub.evaluation.lm_eval_private import StockLM
    from mixhub.evaluation.scorer import SharedLM

    try:
        # Code in the folder is not run: without an answer here, Transformers would ask the user.
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        auto: Any = AutoModelForCausalLM
        if device_map is not None:
            options["device_map"] = device_map
        model, report = auto.from_pretrained(folder, dtype=getattr(torch, dtype), output_loading_info=True, **options)
    except Exception as error:
        raise _unloadable(folder, f"{type(error).__name__}: {first_line(error)}") from error
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if names := sorted(map(str, report.get(problem, ()))):
            what = f"{problem.removesuffix('_keys')} weights: {listed(names, most=3)}"
            raise _unloadable(folder, what, weights=names)
    rows, ids = model.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values()) + 1
    if ids > rows:
        what = f"its tokenizer has {ids} ids, and its embedding {rows} rows"
        raise _unloadable(folder, what, code="vocabulary-exceeded", ids=ids, rows=rows)
    if device_map is None:
        model.to(device)
    kind = SharedLM if backend == "mixhub" else StockLM
    try:
        return kind(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=_batch_size(model))
    except ResultsError as error:
        raise ExportError(f"{folder}: {error.message}", code=error.code, hint=error.hint, path=folder) from error
    except Exception as error:  # lm-eval looks into configs
        raise _unloadable(folder, f"{type(error).__name__}: {first_line(error)}") from error


def _batch_size(model: Any) -> int:
    """Return the requests per forward pass, by the size of the logits that HFLM makes of all positions.

    It does not depend on free memory: the same export must give the same figures. It is 1 if the positions of a row
    depend on the rows beside it.
    """
    from mixhub.evaluation.scorer import lengths_that_change_positions

    if lengths_that_change_positions(model.config):
        return 1
    row: int = 4 * model.config.vocab_size * getattr(model.config, "max_position_embeddings", 2048)
    return max(1, min(_MAX_REQUESTS, _LOGIT_BYTES[model.device.type] // row))


def measure(
    lm: Any,
    task: Any,
    num_fewshot: int,
    limit: int | None,
    fewshot_seed: int,
    prepared: Prepared | None = None,
    prompting: Prompting = PLAIN,
) -> Measured:
    """Evaluate one lm-eval task at one shot count.

    Args:
        lm: the model.
        task: lm-eval's task.
        num_fewshot: shots in each prompt.
        limit: use only the first N documents.
        fewshot_seed: seed of the choice of shots.
        prepared: its requests; None: lm-eval builds them.
        prompting: chat template and system instruction; the template is that of the model's tokenizer.

    Raises:
        ResultsError: a log-likelihood or metric is not finite, or the task or the model fails.
    """
    from mixhub.evaluation import lm_eval_private as lm_eval

    name, date, started = task.config.task, time.time(), time.monotonic()
    configure(task, num_fewshot, fewshot_seed)
    lm.prepared = prepared
    lm.reset_counts()
    instances = lm_eval.instances_given(task, lambda: prepared.instances(task)) if prepared else nullcontext()
    try:
        with lm_eval.reading_documents(task) as reading, lm_eval.seeded(), instances, lm_eval.tuned():
            results = lm_eval.evaluate(
                lm=lm,
                task_dict={"tasks": {name: task}, "groups": {}, "group_map": {}},
                limit=limit,
                bootstrap_iters=0,  # omits every standard error; they are added below
                log_samples=True,
                **lm_eval.prompt_settings(prompting),
            )
    except OverflowError as error:
        raise _not_finite(name, num_fewshot, f"a metric (it overflows: {error})") from error
    finally:
        lm.prepared = None
    samples: list[dict[str, Any]] = results.pop("samples")[name]
    results.pop("group_subtasks", None)
    _require_finite(name, num_fewshot, samples, results["results"][name])
    results["results"][name] |= _stderrs(task, samples)
    results["config"] = _model_config(lm, limit, fewshot_seed)
    lm_eval.add_tokenizer_info(results, lm)
    # lm-eval's hash of a task: of the hashes of all its documents, prompts and targets.
    hashes = "".join(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"] for sample in samples)
    results["task_hashes"] = {name: str(lm_eval.hash_string(hashes))}
    measured = [(sample, document_measures(task, sample)) for sample in samples]
    first = samples[0]["filter"]
    measures = cell_measures(values for sample, values in measured if sample["filter"] == first)
    logged = [_as_logged(sample, values) for sample, values in measured]
    requests = sum(len(sample["arguments"]) for sample in samples if sample["filter"] == first)
    counts = _counts(lm, requests, prepared.own_shots if prepared else reading.own_shots)
    return Measured(results, logged, measures, counts, date, time.monotonic() - started)


def _counts(lm: Any, requests: int, own_shots: int) -> dict[str, int]:
    done = {"truncated": lm.truncated, "doubled_prefixes": lm.doubled_prefixes}
    return {"requests": requests, "own_shots": own_shots, **done}


def _stderrs(task: Any, samples: list[dict[str, Any]]) -> dict[str, float]:
    """Return standard errors as lm-eval computes them, under its keys."""
    from mixhub.evaluation.lm_eval_private import metrics

    values: dict[tuple[str, str], list[Any]] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            values.setdefault((metric, sample["filter"]), []).append(sample[metric])
    stderrs = {}
    for (metric, kind), items in values.items():
        aggregation = task.aggregation().get(metric, metrics.mean)
        # A closed form for the first two, else a bootstrap; None for metrics without a standard error.
        of_items = metrics.stderr_for_metric(aggregation, bootstrap_iters=1)
        if len(items) < 2 or of_items is None:
            continue
        if aggregation in (metrics.mean, metrics.acc_all):
            stderr = of_items(items)
        else:
            is_slow = aggregation in (metrics.bleu, metrics.chrf, metrics.ter)
            stderr = bootstrap_stderr(aggregation, items, replicates=_FEW_REPLICATES if is_slow else REPLICATES)
        stderrs[f"{metric}_stderr,{kind}"] = float(stderr)
    return stderrs


def _model_config(lm: Any, limit: int | None, fewshot_seed: int) -> dict[str, Any]:
    from mixhub.evaluation.lm_eval_private import NUMPY_SEED, PYTHON_SEED, TORCH_SEED

    seeds = {"random_seed": PYTHON_SEED, "numpy_seed": NUMPY_SEED, "torch_seed": TORCH_SEED}
    return {
        **_UNUSED_SETTINGS,
        "model": "hf",
        "model_num_parameters": lm.model.num_parameters(),
        "model_dtype": str(lm.model.dtype),
        "batch_size": lm.batch_size,
        "device": lm.device.type,
        "limit": limit,
        "bootstrap_iters": REPLICATES,
        **seeds,
        "fewshot_seed": fewshot_seed,
    }


def _as_logged(sample: dict[str, Any], measures: Mapping[str, float]) -> dict[str, Any]:
    """Return a sample in the layout of lm-eval's `samples_*.jsonl`, which datasets can load, with our measures."""
    from mixhub.evaluation.lm_eval_private import sanitize_list

    arguments = {
        f"gen_args_{number}": {f"arg_{position}": part for position, part in enumerate(request)}
        for number, request in enumerate(sample["arguments"])
    }
    return sample | {
        "arguments": arguments,
        "resps": sanitize_list(sample["resps"]),
        "filtered_resps": sanitize_list(sample["filtered_resps"]),
        "target": str(sample["target"]),
        MEASURES_KEY: {name: measures.get(name) for name in MEASURES},
    }


def _require_finite(task: str, num_fewshot: int, samples: list[dict[str, Any]], metrics: Mapping[str, Any]) -> None:
    for sample in samples:
        if any(not math.isfinite(number) for number in _floats([sample["resps"], sample["filtered_resps"]])):
            number = sample["doc_id"]
            raise _not_finite(task, num_fewshot, f"a log-likelihood of document {number}", document=number)
    for key, value in metrics.items():
        if any(not math.isfinite(number) for number in _floats(value)):
            raise _not_finite(task, num_fewshot, f"{key} = {value}", metric=key)


def _floats(value: object) -> Iterable[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _floats(inner)


def _not_finite(task: str, num_fewshot: int, what: str, **fields: object) -> ResultsError:
    return ResultsError(
        f"{what} is not finite; nothing was written",
        code="figure-not-finite",
        hint="the weights give NaN or infinity: check the run's losses, or pass --dtype float32",
        task=task,
        num_fewshot=num_fewshot,
        **fields,
    )


def _unloadable(export: Path, what: str, *, code: str = "model-unloadable", **fields: object) -> ExportError:
    message = f"{export}: cannot be loaded as a causal language model: {what}"
    hint = "check that its files are complete and belong together; export a run again with: mixhub train --seed N"
    return ExportError(message, code=code, hint=hint, path=export, **fields)
