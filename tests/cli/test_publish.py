"""`mixhub push` and `mixhub promote`: what they print of plans, and as JSON."""

import json
from dataclasses import replace

import pytest

from mixhub.cli.release.plans import change_lines
from mixhub.hub.publish.plan import FileChange, Plan
from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.refusals import error_codes


@pytest.fixture
def other(tmp_path):
    """Another hub, which is empty."""
    with serve(tmp_path / "other") as hub:
        yield hub


def lines(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_plan_is_one_document(mixhub_here, workspace):
    shown = mixhub_here("push", "--all", "--tag", "v1", "--dry-run", "--json", cwd=workspace.root)
    data = json.loads(shown.stdout)
    assert data["hub"].startswith("local (http://127.0.0.1:")
    assert [(plan["branch"], plan["is_new"], plan["tag"]) for plan in data["branches"]] == [
        ("seed-1", True, "seed-1-v1"),
        ("seed-2", True, "seed-2-v1"),
    ]
    assert (data["main"]["branch"], data["main"]["tag"], data["main_follows"]) == ("main", "v1", True)
    changes = {change["path"]: change for change in data["branches"][0]["changes"]}
    size = (workspace.export(workspace.family().run(seed=1), 12) / "model.safetensors").stat().st_size
    assert changes["model.safetensors"] == {"path": "model.safetensors", "action": "add", "size": size}
    assert data["branches"][0]["bytes_to_send"] == sum(change["size"] for change in changes.values())
    assert [line.partition(":")[0] for line in shown.stderr.splitlines()] == [
        "skipped, because they have no export of step 12",
        "hub",
    ]
    assert not workspace.push_receipts.exists()


def test_what_is_wrong_is_in_the_error(mixhub_here, workspace):
    (workspace.export(workspace.family().run(seed=1), 12) / "generation_config.json").unlink()
    refused = mixhub_here("push", "--all", "--dry-run", "--json", cwd=workspace.root)
    assert refused.returncode == 2
    error = json.loads(refused.stdout)["error"]
    assert [(found["code"], found["where"]) for found in error["fields"]["findings"]] == [("file-missing", "seed-1")]
    shown = mixhub_here("push", "--all", "--dry-run", cwd=workspace.root)
    assert error_codes(shown) == ["file-missing"]
    assert "tester/tiny, branch seed-1 (new): cannot be published" in shown.stdout.splitlines()
    assert any(line.startswith("tester/tiny, branch seed-2 (new): ") for line in shown.stdout.splitlines())


def test_promotion(mixhub_here, workspace, other):
    root = workspace.root
    assert error_codes(mixhub_here("promote", "--from", "local", "--all", "--hub", "local", cwd=root)) == [
        "option-conflict"
    ]
    lines(mixhub_here("push", "--all", cwd=root))
    asked = ("--from", "local", "--all", "--hub", other.url)
    plan = json.loads(mixhub_here("promote", *asked, "--dry-run", "--json", cwd=root).stdout)
    assert (plan["hub"], plan["waiting"]) == (other.url, [])
    assert plan["from"].startswith("local (")
    assert [(one["branch"], one["is_new"]) for one in plan["branches"]] == [("seed-1", True), ("seed-2", True)]
    first = lines(mixhub_here("promote", "--from", "local", "--seed", 1, "--hub", other.url, cwd=root))
    assert first[-1].startswith("main stays unchanged until these match local (")
    assert first[-1].endswith(": seed-2")
    told = lines(mixhub_here("promote", *asked, cwd=root))
    pushed = [line.partition(" = ")[0] for line in told if "tester/tiny@" in line]
    assert pushed == [
        "nothing to send: tester/tiny@seed-1",
        "pushed and verified: tester/tiny@seed-2",
        "pushed and verified: tester/tiny@main",
    ]
    again = lines(mixhub_here("promote", *asked, cwd=root))
    assert [line.partition(":")[0] for line in again if "tester/tiny@" in line] == ["nothing to send"] * 3
    assert LOCAL_TOKEN not in "\n".join(told)


def test_checks_and_verifications_are_one_document(mixhub_here, workspace):
    (workspace.export(workspace.family().run(seed=1), 12) / "generation_config.json").unlink()
    checked = mixhub_here("check", "--all", "--json", cwd=workspace.root)
    runs = json.loads(checked.stdout)["runs"]
    assert checked.returncode == 1
    assert [(run["branch"], [finding["code"] for finding in run["findings"]]) for run in runs] == [
        ("seed-1", ["file-missing"]),
        ("seed-2", []),
    ]
    lines(mixhub_here("push", "--seed", 2, cwd=workspace.root))
    verified = mixhub_here("verify", "--json", cwd=workspace.root)
    data = json.loads(verified.stdout)
    assert verified.returncode == 1
    assert data["repo_id"] == "tester/tiny"
    assert [(finding["where"], finding["code"]) for finding in data["findings"]] == [
        ("seed-1", "branch-missing"),
        ("seed-3", "branch-missing"),
    ]
    assert {finding["where"]: finding["level"] for finding in data["findings"]} == {
        "seed-1": "error",  # has an export
        "seed-3": "warning",  # only planned
    }
    unknown = mixhub_here("verify", "tiny/nothing", "--json", cwd=workspace.root)
    assert json.loads(unknown.stdout)["error"]["code"] == error_codes(unknown)[0] == "repo-not-found"


def test_many_files_of_a_folder_are_one_line():
    """But deletions apart from additions, so that they are not buried."""
    changes = [FileChange("config.json", "add", 1), *(FileChange(f"results/{n}.json", "add", 1000) for n in range(78))]
    changes += [FileChange(f"results/{n}.parquet", "delete", 10) for n in range(16)]
    changes += [FileChange("plots/one.png", "replace", 5), FileChange("plots/two.png", "keep", 5)]
    plan = Plan("tester/tiny", "seed-1", {}, tuple(changes), None, False, None)
    assert [line.split() for line in change_lines(plan)] == [
        ["add", "config.json", "1", "B"],
        ["add", "results/:", "78", "files,", "78.0", "kB"],
        ["delete", "results/:", "16", "files,", "160", "B"],
        ["replace", "plots/one.png", "5", "B"],
    ]
    copied = replace(plan, copied={change.path: "a" * 40 for change in changes})
    assert list(change_lines(copied))[1].endswith(", copied from aaaaaaaaaaaa")
