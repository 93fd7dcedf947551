"""A hub for the tests of a module, and what a client needs to use it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mixhub.endpoint import Endpoint
from mixhub.hubserver import LOCAL_TOKEN, RunningHub, serve


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with serve(tmp_path_factory.mktemp("remote") / "hub") as running:
        yield running


@pytest.fixture
def endpoint(hub: RunningHub, tmp_path: Path) -> Endpoint:
    return Endpoint(hub.url, LOCAL_TOKEN, tmp_path / "downloads", store_id=hub.store_id)
