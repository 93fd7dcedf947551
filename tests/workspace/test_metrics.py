"""Reading the metrics of a run."""

import pytest

from mixhub.errors import RunError
from mixhub.workspace.metrics import read_metrics
from tests.refusals import refused


def test_no_file_has_no_lines_and_a_torn_last_line_is_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 0, "validation": {"valid_a": 2.5}}\n{"step": 1, "loss": 2}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 0, "validation": {"valid_a": 2.5}}, {"step": 1, "loss": 2}]


@pytest.mark.parametrize(
    ("line", "code", "key"),
    [
        ("not json", "metrics-malformed", None),
        ('{"step": ' + "1" * 5000 + "}", "metrics-malformed", None),
        ("[1]", "metrics-malformed", None),
        ('{"loss": 2.0}', "metrics-malformed", None),
        ('{"step": "1"}', "metrics-malformed", None),
        ('{"step": 1, "validation": 2.0}', "metrics-malformed", None),
        ('{"step": 1, "loss": NaN}', "metrics-not-finite", "loss"),
        ('{"step": 1, "grad_norm": "2"}', "metrics-not-finite", "grad_norm"),
        ('{"step": 1, "tokens": true}', "metrics-not-finite", "tokens"),
        ('{"step": 1, "validation": {"valid_a": Infinity}}', "metrics-not-finite", "valid_a"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, code, key):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n')
    with refused(code, RunError, path=path, line=2, key=key):
        read_metrics(path)
