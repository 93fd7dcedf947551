from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.errors import SpecError, UnknownNameError, UsageError, WorkspaceError
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workspace.paths import Workspace
from tests.refusals import refused
from tests.tiny import tiny_data

OTHER = {"train_prose": 3, "train_sums": 1}


def workspace_of(folder: Path, *parts: str) -> Workspace:
    """A workspace with the tiny family, between lines that are no families."""
    data = {key: value for key, value in tiny_data().items() if key != "name"}
    indented = "".join(f"    {line}\n" for line in to_yaml(data).splitlines())
    head, tail = [*parts, "", ""][:2]
    folder.mkdir(exist_ok=True)
    (folder / "mixhub.yaml").write_text(f"format: 1\nfamily: tiny\n{head}families:\n  tiny:\n{indented}{tail}")
    return Workspace.open(folder)


def mixture(path: Path, weights: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(weights))
    return path


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("", ""),
        ("# ours\nhub: local  # for now\n", ""),
        ("", "# the hub of the lab\nhub: local\n"),
        ("", "\n\n# last words"),
        ("", "  # in the block\nhub: local\n"),
    ],
)
def test_every_other_line_of_the_file_stays(head: str, tail: str, tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws", head, tail)
    before = (workspace.root / "mixhub.yaml").read_text()
    (family,) = workflow.add(workspace, "other", mixture(tmp_path / "other.yaml", OTHER))
    after = (workspace.root / "mixhub.yaml").read_text()
    kept, rest = [], before.splitlines()
    for line in after.splitlines():
        if rest and line == rest[0]:
            kept.append(rest.pop(0))
    assert rest == []
    assert family.run(seed=1).mixture.shares == {"train_prose": 0.75, "train_sums": 0.25}
    assert family.training == workspace.family().training
    assert family.validation == workspace.family().validation
    assert family.repo_id == "tester/other"
    workflow.add(workspace, "third", tmp_path / "other.yaml", extends="other")
    assert Workspace.open(workspace.root).family_names()[:3] == ["tiny", "other", "third"]


def test_a_published_recipe_with_another_mixture_has_its_own_corpus(tmp_path: Path) -> None:
    workspace = workflow.init(tmp_path / "ws")
    (family,) = workflow.add(workspace, "mine", mixture(tmp_path / "m.yaml", {"code": 1, "prose": 3}))
    assert (family.name, family.repo_id, family.data.corpus) == ("mine", "local/data-mixture-mine", "mine")
    assert (family.training.order, family.training.steps) == ("iid", 25000)
    assert family.run(seed=3).init_seed == 3
    assert set(family.validation.shares) == {"code", "prose"}


def test_a_mixture_beside_a_replication_replicates_nothing_and_has_its_seeds(tmp_path: Path) -> None:
    workspace = workflow.init(tmp_path / "ws", namespace="me")
    weights = dict(workspace.family().run(seed=1).mixture.domain_weights)
    (family,) = workflow.add(workspace, "mine", mixture(tmp_path / "m.yaml", {**weights, "train_the_pile_arxiv": 1}))
    assert workspace.family().replicates == "human-1b"
    assert family.replicates is None
    assert family.data == workspace.family().data
    assert [run.init_seed for run in family.runs()] == [run.init_seed for run in workspace.family().runs()]


def test_a_folder_becomes_indices_by_the_numbers_in_the_names(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws")
    for number in (10, 2, 9):
        mixture(tmp_path / "mixtures" / f"n{number}.yaml", {"train_prose": number, "train_sums": 1})
    (family,) = workflow.add(workspace, "proxies", tmp_path / "mixtures")
    assert [run.revision for run in family.runs()] == ["index-2", "index-9", "index-10"]
    assert family.run(index=9).mixture.shares["train_prose"] == pytest.approx(0.9)
    assert {run.init_seed for run in family.runs()} == {1}


def test_a_family_beside_one_with_a_repo_for_each_run_has_such_repos(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws")
    path = workspace.path("mixhub.yaml")
    data = parse_yaml(path.read_text(), str(path))
    data["families"]["tiny"] |= {"repo_id": "me/tiny-s{seed}", "revisions": {"seeds": "1-3", "branch": "main"}}
    path.write_text(to_yaml(data))
    for number in (1, 2):
        mixture(tmp_path / "mixtures" / f"n{number}.yaml", {"train_prose": number, "train_sums": 1})
    (alone,) = workflow.add(tmp_path / "ws", "mine", tmp_path / "mixtures" / "n1.yaml")
    (proxies,) = workflow.add(tmp_path / "ws", "proxies", tmp_path / "mixtures")
    runs = [(run.repo_id, run.branch) for family in (alone, proxies) for run in family.runs()]
    assert runs[:3] == [(f"me/mine-seed{seed}", "main") for seed in (1, 2, 3)]
    assert [repo_id for repo_id, _ in runs[3:]] == ["me/proxies-index1", "me/proxies-index2"]


def test_a_folder_becomes_families_with_all_seeds(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws")
    for name in ("more-code", "less-code"):
        mixture(tmp_path / "mixtures" / f"{name}.yml", {"train": OTHER, "valid": {"valid_prose": 1}})
    families = workflow.add(workspace, "mix", tmp_path / "mixtures", each=True)
    assert [family.name for family in families] == ["mix-less-code", "mix-more-code"]
    assert all(list(family.validation.shares) == ["valid_prose"] for family in families)
    assert all(len(family.runs()) == 3 for family in families)


def test_nothing_is_written_when_something_is_wrong(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws")
    file, empty = mixture(tmp_path / "m.yaml", OTHER), tmp_path / "empty"
    empty.mkdir()
    before = (workspace.root / "mixhub.yaml").read_bytes()
    with refused("option-value", UsageError, name="tiny"):
        workflow.add(workspace, "tiny", file)
    with refused("option-value", UsageError, name="human-1b"):
        workflow.add(workspace, "human-1b", file)
    with refused("mixtures-missing", UsageError, path=empty):
        workflow.add(workspace, "other", empty)
    with refused("option-conflict", UsageError, path=file):
        workflow.add(workspace, "other", file, each=True)
    for name in ("not a name", ""):
        with pytest.raises(SpecError):
            workflow.add(workspace, name, file)
    with pytest.raises(SpecError):
        workflow.add(workspace, "other", mixture(tmp_path / "bad.yaml", {"train_prose": -1}))
    with pytest.raises(UnknownNameError):
        workflow.add(workspace, "other", file, extends="tinny")
    assert (workspace.root / "mixhub.yaml").read_bytes() == before


def test_a_file_that_is_no_block_is_left_to_its_user(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "ws", {"family": "tiny", "families": {"tiny": tiny_data()}})
    path = workspace.root / "mixhub.yaml"
    import yaml

    path.write_text(yaml.dump(yaml.safe_load(path.read_text()), default_flow_style=True))
    before = path.read_bytes()
    with refused("config-not-edited", WorkspaceError):
        workflow.add(workspace, "other", mixture(tmp_path / "m.yaml", OTHER))
    assert path.read_bytes() == before
    path.write_text("{family: human-1b}\n")
    with refused("config-not-edited", WorkspaceError, path=path):
        workflow.add(workspace, "other", mixture(tmp_path / "m.yaml", {"train_the_pile_arxiv": 1}))
    assert path.read_text() == "{family: human-1b}\n"


def test_line_ends_stay(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path / "ws")
    path = workspace.root / "mixhub.yaml"
    before = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(before)
    workflow.add(workspace, "other", mixture(tmp_path / "m.yaml", OTHER))
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")
