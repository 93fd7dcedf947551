"""What the page about checks says of each fault is what the commands do: it is planted, and they are run."""

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
from huggingface_hub import HfApi

import mixhub
from mixhub.endpoint import HubChoice
from mixhub.errors import MixhubError
from mixhub.findings import Finding
from mixhub.hub.check.run import check_run
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.verify.repo import verify
from mixhub.workspace.paths import Workspace
from tests.hub.faults import DEEP, ERROR, FAULTS, NOTHING, WARNING, Fault, table
from tests.made import copied, publish

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "checks.md"
MODEL = re.compile(r"model.*|pytorch_model\.bin|.*config\.json|tokenizer\.json")
FOREIGN = "others/planted"


@pytest.fixture(scope="module")
def published(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two seeds, both published: once as a family, and once as by somebody else."""
    workspace = copied(made, tmp_path_factory.mktemp("published"))
    config = workspace.path("mixhub.yaml")
    config.write_text(config.read_text().replace("seeds: 1-3", "seeds: 1-2"))
    workspace = Workspace.open(workspace.root)
    shutil.rmtree(workspace.path("results"))
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        api.create_repo(FOREIGN)
        for seed in (1, 2):
            api.create_branch(FOREIGN, branch=f"seed-{seed}")
            upload(api, FOREIGN, seed, exported(workspace, seed))
    return workspace.root


def exported(workspace: Workspace, seed: int) -> Path:
    return workspace.export(workspace.family().run(seed=seed), 12)


def upload(api: HfApi, repo_id: str, seed: int, folder: Path) -> None:
    """Makes the model on a branch that of a folder; in the repo of somebody else without mixhub's own files."""
    names = [path.name for path in folder.iterdir() if repo_id != FOREIGN or MODEL.fullmatch(path.name)]
    gone = [name for name in ("model.safetensors",) if name not in names]
    api.upload_folder(
        repo_id=repo_id, folder_path=folder, revision=f"seed-{seed}", allow_patterns=names, delete_patterns=gone or None
    )


def mark(findings: list[Finding], omitted: set[str]) -> str:
    levels = {finding.level for finding in findings if finding.code not in omitted}
    return ERROR if "error" in levels else WARNING if "warning" in levels else NOTHING


def of_verify(shallow: str, deep: str) -> str:
    return shallow or (DEEP if deep == ERROR else deep)


def of_load(**options: object) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            mixhub.load(**options)  # type: ignore[arg-type]
        except MixhubError:
            return ERROR
    return (
        WARNING if any(issubclass(one.category, UserWarning) and "@" in str(one.message) for one in caught) else NOTHING
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.plant.__qualname__)
def test_what_finds_a_fault(fault: Fault, published: Path, tmp_path: Path) -> None:
    workspace = copied(published, tmp_path)
    family = workspace.family()
    folder, other = exported(workspace, 2), exported(workspace, 1)
    fault.plant(folder, other)
    checked = check_run(workspace, family, family.run(seed=2))
    beside = {"card-commit-differs", "file-differs"}  # they follow from uploading to one branch
    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        for repo_id in (family.repo_id, FOREIGN):
            upload(api, repo_id, 1, other)
            upload(api, repo_id, 2, folder)
        own, own_deep, foreign, foreign_deep = (
            mark(list(verify(endpoint, repo_id, spec, deep=deep).findings), beside)
            for repo_id, spec in ((family.repo_id, family), (FOREIGN, None))
            for deep in (False, True)
        )
        loaded = of_load(family=family.repo_id, revision="seed-2", hub=endpoint.url)
        loaded_foreign = of_load(family=FOREIGN, revision="seed-2", hub=endpoint.url)
    found = (
        mark(list(checked.findings), set()),
        of_verify(own, own_deep),
        loaded,
        of_verify(foreign, foreign_deep),
        loaded_foreign,
    )
    assert found == fault.found


def test_the_page_has_the_table() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")
    assert json.dumps(table()).count("\\n") == len(FAULTS) + 2
