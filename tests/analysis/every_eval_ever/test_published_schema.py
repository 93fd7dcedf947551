"""Records of all kinds of results are valid by the published schema, and by the validator that publishes it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mixhub.workflow import Selection, export_results

PEERS = pytest.mark.skipif(find_spec("every_eval_ever") is None, reason="needs mixhub[test-results]")
OUTPUTS = Path(__file__).parents[1] / "lm_eval_outputs"
"""Results of many versions of lm-eval."""
UNREADABLE = "broken-model"
"""Has samples with NaN."""


@pytest.fixture(scope="module")
def written(made, measured, tmp_path_factory) -> Path:
    """Records of a family, of a folder of cells, and of each version of lm-eval."""
    folder = tmp_path_factory.mktemp("records")
    assert len(export_results([], folder, workspace=made).samples) == 2
    assert len(export_results([str(measured.results)], folder, organization="tester").samples) == 6
    limited = Selection(allow_incomplete=True)
    sources = [source for version in OUTPUTS.iterdir() for source in version.iterdir() if source.name != UNREADABLE]
    for source in sources:
        export_results([str(source)], folder, selection=limited, organization="tester")
    assert len(sources) > 30
    return folder


def files(folder: Path, suffix: str) -> list[Path]:
    found = sorted(folder.rglob(f"*{suffix}"))
    assert found
    return found


@PEERS
def test_by_the_schema(written):
    from every_eval_ever import schemas
    from jsonschema import Draft7Validator

    folder = Path(schemas.__file__).parent
    of_records, of_rows = (
        Draft7Validator(json.loads((folder / name).read_text()))
        for name in ("eval.schema.json", "instance_level_eval.schema.json")
    )
    for path in files(written, ".json"):
        of_records.validate(json.loads(path.read_text()))
    for path in files(written, ".jsonl"):
        for line in path.read_text().splitlines():
            of_rows.validate(json.loads(line))


@PEERS
def test_by_the_validator(written):
    """It also compares records with their samples and with their folders, and has no warnings."""
    from every_eval_ever.validator.validate import validate_file

    known = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    for name in known:
        report = validate_file(
            written / name,
            repo_path=name,
            available_files=known,
            read_repo_file=lambda one: (written / one).read_text(encoding="utf-8"),
            run_semantic_checks=True,
        )
        assert (report.errors, report.warnings) == ([], []), name


@PEERS
def test_the_version_is_the_published_one():
    from every_eval_ever.schema import get_schema_version

    from mixhub.analysis.every_eval_ever.schema import VERSION

    assert get_schema_version() == VERSION
