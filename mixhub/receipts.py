"""Receipts: JSON files of a workspace that record what was checked, pushed, verified, rendered or withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from mixhub.files import clear_leftovers, locked, read_json, write_json
from mixhub.spec.base import Spec

Schema = TypeVar("Schema", bound=Spec)


class Store(Generic[Schema]):
    """One file of receipts. All fields of its schema have defaults, which stand for a missing file."""

    def __init__(self, path: Path, schema: type[Schema], lock: Path) -> None:
        """
        Args:
            path: the file.
            schema: its content.
            lock: the lock file that every writer takes.
        """
        self.path, self.schema, self._lock = path, schema, lock

    def read(self) -> Schema:
        """Return the content of the file.

        Raises:
            SpecError: it does not follow the schema.
            WorkspaceError: it cannot be read.
        """
        return self.schema.from_data(read_json(self.path), str(self.path)) if self.path.is_file() else self.schema()

    @contextmanager
    def update(self) -> Iterator[dict[str, Any]]:
        """Yield the file's plain data to be changed; it is written if the block ends without an error.

        Several processes may update the file at once: each waits for the others.

        Raises:
            SpecError, WorkspaceError: as `read`; also if the lock is not free in time.
        """
        with locked(self._lock, f"{self.path} is being written", timeout=30):
            data = self.read().to_data()
            yield data
            clear_leftovers(self.path.parent, self.path.name)
            write_json(self.path, data)
