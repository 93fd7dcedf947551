"""The small datasets of the published suite load as lm-eval loads the real ones."""

from __future__ import annotations

from tests.evaluation.suite_documents import SOURCES, TASKS, write_dataset_repos


def test_each_dataset_loads_by_its_config_with_ten_evaluated_documents_and_shots_enough(tmp_path):
    from datasets import load_dataset

    folders = write_dataset_repos(tmp_path / "repos")
    for task in TASKS:
        source = SOURCES[task]
        folder = folders[source.repo_id]
        loaded = load_dataset(str(folder), name=source.config, cache_dir=str(tmp_path / "cache"))
        assert set(loaded) == {source.evaluated, *source.shots}, task
        assert loaded[source.evaluated].num_rows == 10, task
        for split in list(source.shots)[:1]:
            assert loaded[split].features == loaded[source.evaluated].features, task
            assert len({str(document) for document in loaded[split]}) == 12, task
