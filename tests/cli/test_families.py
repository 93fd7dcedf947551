"""`mixhub families`: the list, one family in full, and the fields of `mixhub.yaml`."""

import pytest

from mixhub.spec import Family, catalog
from mixhub.spec.base import parse_yaml
from mixhub.spec.fields import described
from mixhub.workspace.paths import WorkspaceConfig
from tests.refusals import error_codes


def keys(data, prefix=""):
    """The keys of a specification, as `described` writes them."""
    for name, value in data.items():
        key = f"{prefix}{name}"
        yield key
        if isinstance(value, dict):
            yield from keys(value, f"{key}.")
        elif isinstance(value, list):
            for each in value:
                yield from keys(each, f"{key}[].") if isinstance(each, dict) else ()


def test_the_catalog_is_listed(mixhub_here):
    listed = mixhub_here("families").stdout
    for name in catalog.published():
        assert any(line.split()[:2] == [name, catalog.get(name).repo_id] for line in listed.splitlines()), name


def test_a_family_is_shown_whole(mixhub_here):
    shown = mixhub_here("families", "human-1b").stdout
    family = catalog.get("human-1b")
    assert f"{family.architecture.parameters:,}" in shown
    for domain, share in family.mixture.shares.items():
        assert any(line.split()[:1] == [domain] and f"{share:.4%}" in line for line in shown.splitlines()), domain
    for row in family.published_scores.scores.values():
        for score in row.values():
            assert f"{score:.2f}" in shown


def test_each_field_is_listed_with_what_it_means_and_is_when_it_is_left_out(mixhub_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = mixhub_here("families", "--fields")
    assert done.returncode == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1].strip()}
    for field in (*described(WorkspaceConfig), *described(Family)):
        if field.key == "name":  # the key below `families:` is the name
            assert "name" not in rows
            continue
        assert field.meaning.endswith("."), field
        assert field.meaning.split()[0] in rows[field.key], field
    assert "extends" in rows


@pytest.mark.parametrize("name", catalog.names())
def test_every_key_that_a_family_may_have_is_described(name):
    told = {field.key for field in described(Family)}
    mappings = ("mixture.", "mixtures.", "validation.", "training.origins.", "card.links.", "published_scores.")
    for key in keys(catalog.data(name)):
        assert key in told or key.startswith(mappings), key


def test_defaults_are_written_as_yaml_reads_them():
    told = {field.key: field.default for field in described(Family)}
    assert parse_yaml(told["training.adam_epsilon"], "") == 1e-8
    assert parse_yaml(told["card.plots"], "") is True
    assert parse_yaml(told["revisions.step_pattern"], "") == "{revision}-step-{step}"
    assert told["training.gradient_clip"] == "1.0"
    assert told["training.seed"] == told["revisions.seeds"] == told["card.links"] == "-"
    assert told["training.steps"] == told["evaluation.tasks[].title"] == "required"


def test_few_values_are_named():
    told = {field.key: field.meaning for field in described(Family)}
    assert told["training.precision"].endswith("One of float32, bfloat16.")
    assert "One of" not in told["training.optimizer"]


def test_a_broken_file_points_to_the_fields_and_they_are_shown_beside_it(mixhub_here, tmp_path):
    (tmp_path / "mixhub.yaml").write_text("family: human-1b\nhubb: local\n")
    done = mixhub_here("status")
    assert error_codes(done) == ["key-unknown"]
    assert "mixhub families --fields" in done.stderr.splitlines()[-1]
    assert mixhub_here("families", "--fields").returncode == 0


def test_fields_and_a_family_at_once_are_refused(mixhub_here):
    done = mixhub_here("families", "human-1b", "--fields")
    assert error_codes(done) == ["option-conflict"]
    assert "mixhub families human-1b" in done.stderr.splitlines()[1]
