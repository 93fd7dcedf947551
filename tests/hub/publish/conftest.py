"""The family of the workspace, and a plain client of its hub."""

import pytest
from huggingface_hub import HfApi

from mixhub.endpoint import Endpoint
from mixhub.spec.family import Family
from mixhub.workspace.paths import Workspace


@pytest.fixture
def family(workspace: Workspace) -> Family:
    return workspace.family()


@pytest.fixture
def api(endpoint: Endpoint) -> HfApi:
    return HfApi(endpoint=endpoint.url, token=endpoint.token)
