"""Every page is followed as a reader would: its files are saved, its commands typed, its outputs compared."""

import shutil
from pathlib import Path

import pytest

from mixhub.spec.base import read_yaml, to_yaml
from tests.docs.blocks import PAGES, Reader, blocks

TUTORIALS = [page for page in PAGES if "/tutorials/" in page]
OTHERS = [page for page in PAGES if page not in TUTORIALS and any(block.is_run for block in blocks(page))]


@pytest.fixture
def reader(tmp_path, mixhub_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    return Reader(tmp_path, mixhub_here)


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_works_from_an_empty_folder(page, reader):
    reader.follow(page)


def with_animals(root: Path) -> None:
    """The workspace of the guide to custom tasks, after its `mixhub.yaml` was edited as the guide says."""
    file = root / "mixhub.yaml"
    config = read_yaml(file)
    task = {"name": "animals", "title": "Animals", "chance": 50, "config": "tasks/animals.yaml"}
    config["families"]["tiny"]["evaluation"]["tasks"].append(task)
    file.write_text(to_yaml(config))


PREPARATIONS = {"docs/guides/tasks.md": with_animals}
"""What was done before to the workspace that a page begins in: two seeds of a tiny family, trained and evaluated."""


@pytest.mark.parametrize("page", OTHERS)
def test_the_blocks_of_a_page_run_in_a_workspace(page, made, reader):
    shutil.copytree(made, reader.root, dirs_exist_ok=True)
    PREPARATIONS.get(page, lambda root: None)(reader.root)
    reader.follow(page)
