"""The machines that a plan is made for; without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from mixhub.errors import RunError
from mixhub.phrases import plural

_GIB = 2**30
_TIMEOUT = 20


@dataclass(frozen=True)
class Machine:
    """Devices that train together, one process on each."""

    name: str
    """As a table shows it, such as `8 × A100-40G`."""
    device: str
    """Name of each device, by which its peak is known; `cpu` without one."""
    devices: int
    """How many, over all nodes."""
    per_node: int
    """How many are on a node."""
    memory: int
    """Of each device, in bytes."""


MACHINES = (
    Machine("1 × H100", "H100", 1, 1, 80 * _GIB),
    Machine("8 × A100-40G", "A100", 8, 8, 40 * _GIB),
    Machine("8 × A100-80G", "A100", 8, 8, 80 * _GIB),
    Machine("64 × H100", "H100", 64, 8, 80 * _GIB),
)
"""The machines that every plan shows; those with 64 devices have 8 on each node."""


def this_machine(processes: int, device: str | None = None) -> Machine:
    """Return this machine, with a process on each of its first GPUs, or all on its CPUs.

    Args:
        processes: how many train together.
        device: `cuda` or `cpu`. Default: `cuda` if NVIDIA's driver lists GPUs, otherwise `cpu`.

    Raises:
        RunError: there are fewer GPUs than processes.
    """
    gpus = [] if device == "cpu" else _gpus()
    if device == "cuda" and not gpus:
        message = "device = cuda: not available on this machine: nvidia-smi lists no GPU"
        raise RunError(message, code="device-unavailable", device=device)
    if not gpus:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // processes
        return Machine(f"{plural(processes, 'process', 'processes')} here", "cpu", processes, processes, memory)
    if processes > len(gpus):
        message = f"processes = {processes}: this machine has {plural(len(gpus), 'GPU')}, and each process needs one"
        raise RunError(message, code="devices-too-few", processes=processes, devices=len(gpus))
    name = gpus[0][0].removeprefix("NVIDIA ")
    smallest = min(memory for _, memory in gpus[:processes])
    return Machine(f"{processes} × {name} here", gpus[0][0], processes, processes, smallest)


def _gpus() -> list[tuple[str, int]]:
    """Return name and bytes of each GPU that a process may use, as NVIDIA's driver lists them."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer has no GPU to offer
        return []
    gpus = []
    for line in listed.splitlines():
        name, _, mebibytes = line.rpartition(", ")
        if mebibytes.strip().isdigit():
            gpus.append((name, int(mebibytes) * 2**20))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        gpus if visible is None else gpus[: len([one for one in visible.split(",") if one.strip() not in ("", "-1")])]
    )
