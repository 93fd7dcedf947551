"""How a run is trained on this machine: nothing that changes the model beyond rounding. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from mixhub.errors import RunError, UnknownNameError

VALUES = {
    "device": ("cpu", "cuda"),
    "sharding": ("none", "full", "hybrid"),
    "kernels": ("eager", "compile", "liger"),
}
TRACKERS = ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
"""Accelerate's trackers."""
DTYPES = ("float32", "bfloat16", "float16")
"""Dtypes in which weights can be exported."""


def require_count(processes: int) -> None:
    """Raise RunError if so many processes cannot be."""
    if processes < 1:
        message = f"processes = {processes}: must be an integer from 1"
        raise RunError(message, code="option-value", option="processes", value=processes)


@dataclass(frozen=True)
class TrainOptions:
    """How a run is trained on this machine."""

    device: str | None = None
    """Default: `cuda` if available, otherwise `cpu`."""
    sharding: str | None = None
    """What processes divide between them: nothing (`none`, DDP); weights, gradients and optimizer state (`full`,
    FSDP2); these within a node, with a copy on each (`hybrid`). Default: `none`."""
    kernels: str = "eager"
    """Kernels of the layers: those of PyTorch (`eager`), compiled for each layer (`compile`), or those of `liger`."""
    trackers: tuple[str, ...] = ()
    """Trackers of Accelerate that get the metrics too, such as `tensorboard`."""

    def __post_init__(self) -> None:
        for name, values in VALUES.items():
            value = getattr(self, name)
            if value not in (*values, getattr(TrainOptions, name)):
                message = f"{name} = {value!r}: must be one of {', '.join(values)}"
                raise RunError(message, code="option-value", option=name, value=value)
        if isinstance(self.trackers, str):
            message = f"trackers = {self.trackers!r}: must be a tuple of names"
            raise RunError(message, code="option-value", option="trackers", value=self.trackers)
        for tracker in self.trackers:
            if tracker not in TRACKERS:
                raise UnknownNameError("tracker", tracker, TRACKERS)


DEFAULTS = TrainOptions()
