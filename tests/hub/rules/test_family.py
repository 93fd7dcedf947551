"""The lines of `mixhub.yaml` that would make a family's model that of an export."""

import json

import pytest

from mixhub.hub.rules.export import ExportCheck
from mixhub.hub.rules.family import description
from tests.tiny import tiny_family


@pytest.mark.parametrize(("context", "sequence_length"), [(15, "15"), (16, None), (17, None)])
def test_sequences_are_as_long_as_a_shorter_context_only(tmp_path, context, sequence_length):
    family = tiny_family()
    assert family.training.sequence_length == 16
    config = {**family.architecture.config, "max_position_embeddings": context}
    (tmp_path / "config.json").write_text(json.dumps(config))
    lines = description(family, ExportCheck((), {}, None, config, None, None), tmp_path)
    wanted = None if sequence_length is None else f"    training: {{sequence_length: {sequence_length}}}"
    assert next((line for line in lines.splitlines() if "training:" in line), None) == wanted
