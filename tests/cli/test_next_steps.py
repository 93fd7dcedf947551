"""The next step that a command prints is one that can be typed as it is."""

from mixhub.spec.base import to_yaml
from mixhub.workspace.paths import Workspace
from tests.tiny import tiny_data, write_tiny_corpus


def test_it_names_a_family_that_is_not_the_workspaces_own(tmp_path, mixhub_here):
    families = {name: {key: value for key, value in tiny_data().items() if key != "name"} for name in ("mine", "other")}
    config = {"format": 1, "family": "mine", "hub": "local", "families": families}
    (tmp_path / "mixhub.yaml").write_text(to_yaml(config))
    workspace = Workspace.open(tmp_path)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    for name, option in (("mine", ""), ("other", " --family other")):
        done = mixhub_here("data", "pack", "--family", name)
        assert done.stdout.splitlines()[-1] == f"next: mixhub train --seed 1{option}", done.stderr
