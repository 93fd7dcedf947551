"""One evaluated run, shared by the tests that only look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluation.making import Place, make_place


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run whose six cells are measured. Not to be changed."""
    place = make_place(tmp_path_factory.mktemp("measured"))
    place.evaluate()
    return place


@pytest.fixture
def copied(measured: Place, tmp_path: Path) -> Callable[..., Place]:
    """Makes a copy that may be changed; `without="results"` leaves a part of it out."""

    def copy(without: str | None = None) -> Place:
        root = tmp_path / "copy"
        shutil.copytree(measured.root, root, ignore=shutil.ignore_patterns(without) if without else None)
        return Place(root, measured.family, measured.run)

    return copy
