"""The devices of a training, their peaks, and the share that it uses: model FLOPs utilisation, MFU."""

from __future__ import annotations

import re

from mixhub.spec import Family
from mixhub.spec.flops import flops_per_token

_TERA = 10**12
_PEAKS: tuple[tuple[str, float, float], ...] = (
    ("V100", 0, 15.7),
    ("A100", 312, 19.5),
    ("A800", 312, 19.5),
    ("H100 PCIe", 756, 51),
    ("H100 NVL", 835, 60),
    ("H100", 989, 67),
    ("H800", 989, 67),
    ("H200 NVL", 835, 60),
    ("H200", 989, 67),
    ("GH200", 989, 67),
    ("H20", 148, 44),
    ("B200", 2250, 75),
    ("GB200", 2500, 80),
    ("A10", 125, 31.2),
    ("A10G", 70, 35),
    ("A30", 165, 10.3),
    ("A40", 149.7, 37.4),
    ("L4", 121, 30.3),
    ("L40", 181, 90.5),
    ("L40S", 362, 91.6),
    ("RTX A6000", 154.8, 38.7),
    ("RTX 3090", 71, 35.6),
    ("RTX 4090", 165.2, 82.6),
    ("MI210", 181, 22.6),
    ("MI250X", 383, 47.9),
    ("MI300X", 1307.4, 163.4),
    ("MI325X", 1307.4, 163.4),
)
"""Words in the name of a device, and its TFLOPS by its maker's datasheet: bfloat16 with dense matrices and sums in
float32, and float32 without TF32, as training multiplies it. 0: it has no units for it. The first match counts."""


def device_name(kind: str) -> str:
    """Return the name of the device that this process trains on; of a CPU, `cpu`."""
    if kind != "cuda":
        return kind
    import torch

    return torch.cuda.get_device_name()


def peak_flops(device_name: str, dtype: str) -> float | None:
    """Return the peak FLOPs per second of a device by its datasheet; None for CPUs, parts of a GPU and unknown devices.

    Args:
        device_name: as `torch.cuda.get_device_name` reports it, such as `NVIDIA H100 80GB HBM3`.
        dtype: of the products, `bfloat16` or `float32`: the `precision` of the recipe.
    """
    words = re.findall(r"[a-z0-9]+", device_name.lower())
    if "mig" in words:  # a slice of a GPU has the name of the whole
        return None
    for name, bfloat16, float32 in _PEAKS:
        if all(word in words for word in name.lower().split()):
            return (bfloat16 if dtype == "bfloat16" else float32) * _TERA or None
    return None


def mfu(family: Family, tokens_per_second: float, device_name: str, devices: int) -> float | None:
    """Return the share of the devices' peak that a run uses; None if their peak is unknown.

    Args:
        family: the recipe.
        tokens_per_second: of all devices together.
        device_name: of each device.
        devices: how many.
    """
    training = family.training
    peak = peak_flops(device_name, training.precision)
    if peak is None:
        return None
    return flops_per_token(family.llama, training.sequence_length) * tokens_per_second / (peak * devices)
