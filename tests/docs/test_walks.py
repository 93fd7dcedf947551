"""Every page is followed as a reader would: its files are saved, its commands typed, its outputs compared."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from mixhub import workflow
from mixhub.files import write_json
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workspace.manifest import MANIFEST_FILE, read_manifest
from mixhub.workspace.paths import Workspace
from tests.docs.blocks import PAGES, Reader, blocks
from tests.tiny import write_tiny_corpus

TUTORIALS = [page for page in PAGES if "/tutorials/" in page]
OTHERS = [page for page in PAGES if page not in TUTORIALS and any(block.is_run for block in blocks(page))]


@pytest.fixture
def reader(tmp_path, mixhub_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    return Reader(tmp_path, mixhub_here)


SHORTER = {"steps: 200": "steps: 20", "validation_interval: 100": "validation_interval: 10"}
"""What is less in the test than on the pages; the outputs are the same but for their numbers."""


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_works_from_an_empty_folder(page, reader):
    reader.follow(page, SHORTER)


def with_animals(root: Path) -> None:
    """Edit `mixhub.yaml` as the guide to custom tasks says, except for lm-eval's task, which needs a hub."""
    file = root / "mixhub.yaml"
    config = read_yaml(file)
    (block,) = (block for block in blocks("docs/guides/tasks.md") if block.text.startswith("evaluation:"))
    own, arc = yaml.safe_load(block.text)["evaluation"]["tasks"]
    assert (own["name"], arc["name"]) == ("animals", "arc_easy")
    config["families"]["tiny"]["evaluation"]["tasks"].append(own)
    file.write_text(to_yaml(config))


def with_demo(root: Path) -> None:
    """What `mixhub demo` leaves behind, for whoever reads on: here the tiny family under the demo's name."""
    demo = untrained(root, root / "mixhub-demo", "demo-1m", seeds=[1, 2])
    for seed in (1, 2):
        workflow.train(demo, seed=seed, options=workflow.TrainOptions(device="cpu"))
        workflow.evaluate(demo, seed=seed)
    workflow.render_card(demo)
    workflow.push(demo, all=True)


def untrained(made: Path, root: Path, name: str, seeds: Sequence[int] = (1, 2, 3)) -> Workspace:
    """A workspace of the tiny family under a name, with packed text, in which nothing is trained."""
    shutil.copytree(made / "tasks", root / "tasks")
    config = read_yaml(made / "mixhub.yaml")
    revisions = {"pattern": "seed-{seed}", "seeds": list(seeds)}
    spec = config["families"]["tiny"] | {"repo_id": f"me/{name}", "revisions": revisions}
    (root / "mixhub.yaml").write_text(to_yaml({**config, "family": name, "families": {name: spec}}))
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    workflow.pack(workspace)
    return workspace


def with_tokens(root: Path) -> None:
    """A domain that is not packed, but there as Megatron's files."""
    workspace = Workspace.open(root)
    workflow.export_tokens(workspace, root / "exported", format="megatron", domains=["prose"], split="train")
    (root / "exported" / "train").rename(root / "megatron")
    tokens = workspace.tokens(workspace.family())
    manifest = read_manifest(tokens).to_data()
    del manifest["train"]["prose"]
    shutil.rmtree(tokens / "train" / "prose")
    write_json(tokens / MANIFEST_FILE, manifest)


PREPARATIONS = {
    "README.md": with_demo,
    "docs/guides/formats.md": with_tokens,
    "docs/guides/tasks.md": with_animals,
}
"""What was done before to the workspace that a page begins in: two seeds of a tiny family, trained and evaluated."""


@pytest.mark.parametrize("page", OTHERS)
def test_the_blocks_of_a_page_run_in_a_workspace(page, made, reader):
    shutil.copytree(made, reader.root, dirs_exist_ok=True)
    PREPARATIONS.get(page, lambda root: None)(reader.root)
    reader.follow(page)


def test_the_walk_is_the_same_in_shell_and_in_python(made, tmp_path, mixhub_here):
    walks = {block.language: block for block in blocks("docs/reference/api.md") if "pack" in block.text}
    states = {}
    for language, block in walks.items():
        reader = Reader(untrained(made, tmp_path / language, "tiny").root, mixhub_here)
        if language == "python":
            reader.execute(block)
            assert list(reader.names["scores"].index) == ["seed-1"]
        else:
            for line in block.lines():
                reader.type(line, block.where)
        states[language] = [state.to_data() | {"pushed": list(state.pushed)} for state in workflow.status(reader.root)]
    assert states["bash"] == states["python"]
    assert [state["pushed"] for state in states["bash"]] == [["local"], [], []]
