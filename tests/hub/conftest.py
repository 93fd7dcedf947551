"""Runs to break."""

import shutil

import pytest

from mixhub.workspace.paths import Workspace
from tests.hub.bench import Bench


@pytest.fixture
def bench(workspace: Workspace) -> Bench:
    """Two finished runs without results."""
    shutil.rmtree(workspace.path("results"))
    return Bench(workspace, workspace.family())
