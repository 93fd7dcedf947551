"""Writing the weights of a model, whole or sharded over processes, as safetensors."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import LlamaForCausalLM

from mixhub.files import write_json
from mixhub.workspace.export import WEIGHTS_INDEX_FILE

MAX_FILE_SIZE = 5 * 10**9
"""Bytes of tensors in a file, as huggingface_hub has it: what one process holds of a sharded model at a time."""


def save_weights(
    model: LlamaForCausalLM, folder: Path | None, dtype: torch.dtype, *, max_file_size: int = MAX_FILE_SIZE
) -> None:
    """Write the weights in files, with an index if there are several; the same weights give the same bytes.

    Every process of a sharded model calls this. Tensors are gathered one after the other.

    Args:
        model: the model; a head that shares the embedding's weight is not written.
        folder: an existing folder; None in processes that write nothing.
        dtype: the dtype to write.
        max_file_size: bytes of tensors in a file, unless one tensor has more.
    """
    weights = dict(model.named_parameters())
    shapes = {name: torch.empty(weight.shape, dtype=dtype, device="meta") for name, weight in weights.items()}
    files = split_torch_state_dict_into_shards(shapes, max_shard_size=max_file_size)
    for file, names in files.filename_to_tensors.items():
        whole = {}
        for name in names:
            tensor = _whole(weights[name], dtype)
            if folder is not None:
                whole[name] = tensor.cpu().contiguous()
        if folder is not None:
            safetensors.torch.save_file(whole, folder / file, metadata={"format": "pt"})
    if folder is not None and files.is_sharded:
        parameters = sum(weight.numel() for weight in weights.values())
        metadata = {**files.metadata, "total_parameters": parameters}
        write_json(folder / WEIGHTS_INDEX_FILE, {"metadata": metadata, "weight_map": files.tensor_to_filename})


def _whole(weight: Tensor, dtype: torch.dtype) -> Tensor:
    cast = weight.detach().to(dtype)
    return cast.full_tensor() if isinstance(cast, DTensor) else cast
