"""Receipts: what was checked, pushed, verified, rendered or withdrawn, as JSON files of a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from mixhub.files import locked, read_json, write_json
from mixhub.spec.base import Spec

Schema = TypeVar("Schema", bound=Spec)


class Store(Generic[Schema]):
    """One file of receipts. Its schema is a `Spec` whose fields all have defaults: what a missing file holds."""

    def __init__(self, path: Path, schema: type[Schema], lock: Path) -> None:
        """
        Args:
            path: the file.
            schema: what it holds.
            lock: the lock file that every writer takes.
        """
        self.path, self.schema, self._lock = path, schema, lock

    def read(self) -> Schema:
        """What the file holds now; the schema's defaults if there is none.

        Raises:
            SpecError: it is not what the schema says.
            WorkspaceError: it cannot be read.
        """
        return self.schema.from_data(read_json(self.path), str(self.path)) if self.path.is_file() else self.schema()

    @contextmanager
    def update(self) -> Iterator[dict[str, Any]]:
        """Plain data of the file, to be changed in the block; written when the block ends without an error.

        Several processes may do so at once: each waits for the others.

        Raises:
            SpecError, WorkspaceError: as `read`; also when the lock is not free in time.
        """
        with locked(self._lock, f"{self.path} is being written", timeout=30):
            data = self.read().to_data()
            yield data
            write_json(self.path, data)
