import os
import shutil
from pathlib import Path

import pytest

from mixhub.training.loop import train
from mixhub.training.options import TrainOptions
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family


@pytest.mark.nightly
def test_a_compiled_run_has_the_losses_of_a_plain_one(tokens: Path, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    family = tiny_family(training={"steps": 6})
    folders = {name: RunFolder(tmp_path / name) for name in ("eager", "compile")}
    for name, folder in folders.items():
        options = TrainOptions(device="cpu", kernels=name)
        asked = iter([False, False, True])
        run = family.run(seed=1)
        assert train(family, run, tokens=tokens, folder=folder, options=options, should_stop=asked.__next__) is None
        assert train(family, run, tokens=tokens, folder=folder, options=options) == folder.export(6)
        assert folder.compiled.is_dir() == (name == "compile")
    losses = [[line["loss"] for line in read_metrics(one.metrics) if "loss" in line] for one in folders.values()]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert str(tmp_path) not in os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
