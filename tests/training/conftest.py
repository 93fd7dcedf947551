from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mixhub.data.packing.pack import pack
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family, write_tiny_corpus


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards of the tiny corpus; tests must not change them."""
    root = tmp_path_factory.mktemp("tokens")
    pack(tiny_family(), write_tiny_corpus(root / "words"), root / "words.bpe300")
    return root / "words.bpe300"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """An empty run folder."""
    return RunFolder(tmp_path / "runs" / "tiny" / "seed-1")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower with more threads, above all on busy machines."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
