from pathlib import Path

import pytest

from tests.tiny import write_tiny_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The tiny corpus, free to be changed."""
    return write_tiny_corpus(tmp_path / "data" / "words")
