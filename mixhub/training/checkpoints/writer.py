"""Writing the files of a checkpoint, and the last steps that make it one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from mixhub.training.checkpoints.state import StoredFile
from mixhub.workspace.lineage import file_sha256


class ShardWriter(HuggingFaceStorageWriter):
    """Writes the part of each process into safetensors files, then calls `complete` in the first process.

    Args:
        folder: an empty or new folder, the same in all processes.
        numbers: the number of the file for each tensor, from 1; a process has all tensors of a file in memory at once.
        complete: gets size and hash of each file of all processes, which are then on disk.
    """

    def __init__(
        self, folder: Path, numbers: Mapping[str, int], complete: Callable[[Mapping[str, StoredFile]], None]
    ) -> None:
        super().__init__(path=str(folder), fqn_to_index_mapping=dict(numbers), save_distributed=True)
        self.per_thread_copy_ahead = 0  # or torch opens a stream, in a thread that knows the first GPU alone
        self._folder, self._complete = folder, complete

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write the files of this process; return one result a file, with its hash, instead of one a tensor."""
        written: list[WriteResult] = super().write_data(plan, planner).wait()
        names = sorted({result.storage_data.relative_path for result in written})
        files: Future[list[WriteResult]] = Future()
        files.set_result([self._result(name) for name in names])
        return files

    def _result(self, name: str) -> WriteResult:
        path = self._folder / name
        return WriteResult(MetadataIndex(name), path.stat().st_size, file_sha256(path))

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Complete the checkpoint, in the first process, when all have written.

        Raises:
            OSError: another process wrote to a disk that is not that of the first.
        """
        files = {one.index.fqn: one for of_process in results for one in of_process}
        for name, one in files.items():
            if (self._folder / name).stat().st_size != one.size_in_bytes:
                raise OSError(f"{name} is not whole here: all processes need the same disk")
        stored = {
            name: StoredFile(size=one.size_in_bytes, content_sha256=one.storage_data) for name, one in files.items()
        }
        self._complete(stored)


def write_tensors(tensors: dict[str, Any], writer: ShardWriter, group: dist.ProcessGroup | None) -> None:
    """Write tensors in memory, each process of the group its part; without a group, this process writes all."""
    if group is not None:
        save(tensors, storage_writer=writer, process_group=group)
        return
    # The steps of `save`, which warns of one process each time.
    planner = DefaultSavePlanner()
    planner.set_up_planner(tensors, writer.storage_meta(), is_coordinator=True)
    writer.set_up_storage_writer(is_coordinator=True)
    plans, metadata = planner.create_global_plan([writer.prepare_local_plan(planner.create_local_plan())])
    (plan,) = writer.prepare_global_plan(plans)
    writer.finish(metadata, [writer.write_data(planner.finish_plan(plan), planner).wait()])
