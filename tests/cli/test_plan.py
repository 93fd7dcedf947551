import json
import subprocess
import sys

import pytest

from tests.refusals import error_codes
from tests.tiny import tiny_workspace


@pytest.fixture
def mixhub(mixhub_here):
    return mixhub_here


def test_a_plan_fits_eighty_columns_and_trains_nothing(mixhub, tmp_path):
    (tmp_path / "mixhub.yaml").write_text("format: 1\nfamily: human-1b\n")
    planned = mixhub("train", "--plan", "--seed", "1", COLUMNS="80")
    assert planned.returncode == 0, planned.stderr
    assert max(map(len, planned.stdout.splitlines())) <= 80
    for expected in ("1,337,026,560", "1,048,576", "8 × A100-40G", "64 × H100", "2.6 days"):
        assert expected in planned.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mixhub.yaml"]


def test_a_plan_as_json(mixhub, tmp_path):
    tiny_workspace(tmp_path)
    planned = mixhub("train", "--plan", "--json", "--mfu", "0.25")
    assert planned.returncode == 0, planned.stderr
    data = json.loads(planned.stdout)
    assert (data["family"], data["steps"], data["mfu"]) == ("tiny", 12, 0.25)
    assert {one["name"]: one["divides"] for one in data["machines"]} == {
        "1 × H100": True, "8 × A100-40G": False, "8 × A100-80G": False, "64 × H100": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--mfu", "0.4"], "option-missing"),
        (["--json"], "option-missing"),
        (["--plan", "--mfu", "40"], "option-value"),
        (["--plan", "--seed", "9"], "unknown-seed"),
    ],
)
def test_mistakes_are_refused(mixhub, tmp_path, options, code):
    tiny_workspace(tmp_path)
    assert error_codes(mixhub("train", *options)) == [code]


def test_a_model_of_another_kind_is_refused(mixhub, tmp_path):
    tiny_workspace(tmp_path, architecture={"model_type": "gpt_neox"})
    assert error_codes(mixhub("train", "--plan")) == ["architecture-untrainable"]


def test_a_plan_does_not_load_torch(tmp_path):
    tiny_workspace(tmp_path)
    code = "import sys; from mixhub import workflow as w; w.plan_training('.'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
