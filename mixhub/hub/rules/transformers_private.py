"""Undocumented names of Transformers, checked when this module is imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError
from mixhub.workspace.vendors import require_names

RELIED_ON = {
    "transformers.dynamic_module_utils": ("get_class_from_dynamic_module",),
    "transformers.models.auto.auto_factory": ("_LazyAutoMapping._extra_content",),
    "transformers.models.auto.configuration_auto": ("_LazyConfigMapping._extra_content",),
}
"""By module, the names that must exist."""

require_names("transformers>=5", RELIED_ON, ExportError, "transformers-unsupported")

from transformers import (  # noqa: E402
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
)
from transformers.dynamic_module_utils import get_class_from_dynamic_module  # noqa: E402

__all__ = ["classes_known"]


@contextmanager
def classes_known(config: tuple[str, Path], model: tuple[str, Path]) -> Iterator[str]:
    """Run code that defines a config and a causal language model, and let Transformers know both for a block.

    Args:
        config: the class, as `module.Class`, and the folder of the module.
        model: the same of the model.

    Yields:
        The model type.
    """
    own: Any = get_class_from_dynamic_module(config[0], config[1])
    made: Any = get_class_from_dynamic_module(model[0], model[1])
    kind = str(own.model_type)
    AutoConfig.register(kind, own)
    try:
        AutoModelForCausalLM.register(own, made)
        yield kind
    finally:
        CONFIG_MAPPING._extra_content.pop(kind, None)
        MODEL_FOR_CAUSAL_LM_MAPPING._extra_content.pop(own, None)
