"""What lm-eval and the libraries below it say on the side: kept off the terminal, where our own progress is."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

DEBUG = "MIXHUB_DEBUG"
"""Set to anything, this environment variable lets all of it through."""


@contextmanager
def quiet() -> Iterator[None]:
    """Turns off lm-eval's log and the bars of lm-eval, datasets and Transformers for the block."""
    if os.environ.get(DEBUG):
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_log_of("lm_eval"))
        stack.enter_context(_without_request_bar())
        stack.enter_context(_without_dataset_bars())
        stack.enter_context(_without_loading_bars())
        yield


@contextmanager
def _log_of(name: str) -> Iterator[None]:
    """Lets errors through only: lm-eval warns of what is meant here, as a model that is loaded already."""
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
    import lm_eval.api.task as module

    before: Any = module.tqdm
    module.tqdm = functools.partial(before, disable=True)
    try:
        yield
    finally:
        module.tqdm = before


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
    from transformers.utils import logging as module

    transformers_logging: Any = module
    before = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            transformers_logging.enable_progress_bar()
