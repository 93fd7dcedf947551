"""What a library call could change in the process of its caller, as a snapshot."""

from __future__ import annotations

import locale
import logging
import os
import random
import signal
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import datasets
import lm_eval.api.task
import lm_eval.utils
import numpy as np
import torch
from transformers.utils import logging as transformers_logging

hub_bars = import_module("huggingface_hub.utils.tqdm")


def process_state() -> dict[str, Any]:
    """Settings of Python, torch, datasets, Transformers and lm-eval, by name."""
    loggers = {
        f"logger {name}": (logger.level, logger.propagate, logger.disabled, tuple(logger.handlers))
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    return {
        **{f"environ {name}": value for name, value in os.environ.items()},
        **loggers,
        **{f"datasets.config.{name}": repr(value) for name, value in vars(datasets.config).items() if name.isupper()},
        **{f"signal {number.name}": signal.getsignal(number) for number in signal.Signals},
        "root logger": (logging.root.level, tuple(logging.root.handlers)),
        "bars of datasets": datasets.are_progress_bars_disabled(),
        "bars of Transformers": transformers_logging.is_progress_bar_enabled(),
        "bars of huggingface_hub": dict(hub_bars.progress_bar_states),
        "verbosity of Transformers": transformers_logging.get_verbosity(),
        "bar of lm-eval": lm_eval.api.task.tqdm,
        "templates of lm-eval": "from_string" in vars(lm_eval.utils.env),
        "random": random.getstate(),
        "numpy.random": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        "torch.random": torch.get_rng_state().tolist(),
        "torch.threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch.deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ),
        "torch.precision": (
            torch.get_default_dtype(),
            torch.get_float32_matmul_precision(),
            torch.backends.cuda.matmul.allow_tf32,
        ),
        "torch.grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "numpy.errors": np.geterr(),
        "warnings": list(warnings.filters),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
        "folder": Path.cwd(),
        "locale": locale.setlocale(locale.LC_ALL),
    }


NEW_LOGGER = (logging.NOTSET, True, False, ())


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as before, sorted; loggers that are new and untouched do not count."""
    missing = object()
    return sorted(
        name
        for name in before.keys() | after.keys()
        if before.get(name, missing) != after.get(name, missing)
        and not (name.startswith("logger ") and name not in before and after[name] == NEW_LOGGER)
    )
