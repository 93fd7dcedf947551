"""Commands, as the tests of the command line run them, and runs to break."""

import shutil

import pytest

from mixhub.workspace.paths import Workspace
from tests.cli.conftest import mixhub, mixhub_here
from tests.hub.bench import Bench

__all__ = ["bench", "mixhub", "mixhub_here"]


@pytest.fixture
def bench(workspace: Workspace) -> Bench:
    """Two finished runs without results."""
    shutil.rmtree(workspace.path("results"))
    return Bench(workspace, workspace.family())
