from pathlib import Path

import pytest

from tests.tiny import write_tiny_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A copy of the tiny corpus that the test may change."""
    return write_tiny_corpus(tmp_path / "data" / "words")
