"""Differences between the recipe that a run was trained with and the family's current one."""

from pathlib import Path

from mixhub.spec import catalog
from mixhub.spec.base import to_yaml
from mixhub.workspace.recipe_diff import recipe_changes
from tests.tiny import tiny_family

REGMIX = {"order": "regmix", "loader": {"ranks": 1, "micro_batch_size": 4, "chunk_sequences": 4}}


def write(path: Path, config: object) -> Path:
    path.write_text(to_yaml(config), encoding="utf-8")
    return path


def test_a_recipe_of_an_older_mixhub_with_the_order_original_is_that_of_regmix(tmp_path: Path) -> None:
    family = catalog.get("human-1b")
    run = family.run(seed=2)
    old = family.train_config(run)
    old["mixhub"]["training"] = {**old["mixhub"]["training"], "order": "original"}
    del old["mixhub"]["training"]["loader"], old["mixhub"]["domains"]
    assert recipe_changes(family, run, write(tmp_path / "old.yaml", old)) == {}
    adopted = {**old, "mixhub": {**old["mixhub"], "adopted": True}}
    assert recipe_changes(family, run, write(tmp_path / "adopted.yaml", adopted)) == {}


def test_what_the_order_of_regmix_depends_on_is_part_of_the_recipe(tmp_path: Path) -> None:
    family = tiny_family(training=REGMIX)
    run = family.run(seed=1)
    file = write(tmp_path / "train_config.yaml", family.train_config(run))
    assert recipe_changes(family, run, file) == {}
    other = tiny_family(training={**REGMIX, "loader": {**REGMIX["loader"], "chunk_sequences": 8}})
    assert list(recipe_changes(other, run, file)) == ["mixhub.training.loader.chunk_sequences"]
    weights = dict(reversed(run.mixture.domain_weights.items()))
    turned = tiny_family(training=REGMIX, mixture=weights)
    assert list(recipe_changes(turned, turned.run(seed=1), file)) == ["mixhub.domains"]


def test_a_file_that_is_no_recipe_differs_in_everything(tmp_path: Path) -> None:
    family = tiny_family()
    for content in ("text", ["list"], {"mixhub": "text"}, {"mixhub": {"training": "original"}}):
        assert recipe_changes(family, family.run(seed=1), write(tmp_path / "odd.yaml", content))
