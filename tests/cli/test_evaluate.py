"""`mixhub evaluate`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixhub.cli import main
from mixhub.evaluation.task_index import builtin_index
from mixhub.hubserver import import_folder
from mixhub.workflow import score_tables
from mixhub.workspace.paths import Workspace
from tests.evaluation.making import TIMES, contents, family, write_export
from tests.evaluation.suite_documents import write_dataset_repos
from tests.made import copied, publish
from tests.refusals import printed_codes

ROOT = Path(__file__).parents[2]
ASKED = ("--tasks", "copa,sciq", "--num-fewshot", "0,1", "--limit", 4, "--datasets-hub", "local")
CELLS = ["copa.0shot", "copa.1shot", "sciq.0shot", "sciq.1shot"]
CHECK = re.compile(
    r"check: 10 requests of \d cells? by lm-eval's own backend: largest difference \d\.\de-\d\d nats "
    r"\((copa|sciq) [01]-shot, document \d, choice \d\), is_greedy differs in 0"
)


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    status: int
    out: str
    errors: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong; a hint may follow, and nothing else."""
        assert self.status == 2, self
        last = [line for line in self.errors.splitlines() if line.startswith(("error: ", "hint: "))]
        assert last == self.errors.splitlines()[-len(last) :], self
        assert [line.partition(":")[0] for line in last] in (["error"], ["error", "hint"]), self
        return last[0]

    @property
    def code(self) -> str:
        """The code of that line."""
        (code,) = printed_codes(self.error)
        return code


def start(cwd: Path, *arguments: object, **environ: str) -> Answer:
    """`mixhub evaluate ARGUMENTS` in this process, with nothing of ours in the environment unless it is given."""
    logger = logging.getLogger("mixhub")
    handlers, level = list(logger.handlers), logger.level
    out, errors, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, chdir(cwd), redirect_stdout(out), redirect_stderr(errors):
        for name in [name for name in os.environ if name.startswith(("MIXHUB_", "HF_ENDPOINT"))]:
            patch.delenv(name)
        for name, value in {"OMP_WAIT_POLICY": "PASSIVE", "XDG_CACHE_HOME": str(cwd / ".cache"), **environ}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["mixhub", "evaluate", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            logger.handlers[:], logger.level = handlers, level
    return Answer(status, out.getvalue(), errors.getvalue())


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Which files there are, and whether they were touched."""
    found = ((path.relative_to(folder).as_posix(), path.stat()) for path in folder.rglob("*") if path.is_file())
    return {name: (stat.st_mtime_ns, stat.st_size) for name, stat in found if ".locks/" not in name}


def names(folder: Path) -> list[str]:
    """The cells of a folder."""
    return sorted(path.name.removesuffix(".json") for path in folder.glob("*.json"))


@pytest.fixture(scope="session")
def hubbed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two trained runs, whose hub has the datasets of copa and sciq. Not to be changed."""
    workspace = copied(made, tmp_path_factory.mktemp("hubbed"))
    repos = write_dataset_repos(tmp_path_factory.mktemp("repos"))
    root = tmp_path_factory.mktemp("two")
    for repo_id in ("aps/super_glue", "allenai/sciq"):
        shutil.copytree(repos[repo_id], root / repo_id)
    import_folder(root, workspace.hub, "dataset")
    return workspace.root


@pytest.fixture
def place(hubbed: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return copied(hubbed, tmp_path).root


@pytest.fixture
def suite_place(place: Path) -> Path:
    """Whose family is evaluated on sciq too, which is on the hub."""
    path = place / "mixhub.yaml"
    config = yaml.safe_load(path.read_text())
    config["families"]["tiny"]["evaluation"]["tasks"].append({"name": "sciq", "title": "SciQ"})
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    shutil.rmtree(place / "results")
    return place


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is no run of a workspace. Not to be changed."""
    of = family()
    return write_export(tmp_path_factory.mktemp("models") / "stranger", of, of.runs()[0])


@pytest.fixture(scope="session")
def measured(hubbed: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """The model's four cells, checked. Not to be changed."""
    root = copied(hubbed, tmp_path_factory.mktemp("measured")).root
    answer = start(root, model, "--output", "out", *ASKED, "--check", 10)
    return root, answer


@pytest.fixture
def measured_copy(measured: tuple[Path, Answer], tmp_path: Path) -> Path:
    shutil.copytree(measured[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_a_model_is_measured_and_checked(measured):
    root, answer = measured
    assert answer.status == 0, answer
    lines = [line.rstrip() for line in answer.out.splitlines()]
    assert "stranger@local" in lines[0]
    header = next(line for line in lines if line.strip().startswith("task "))
    assert header.split() == ["task", "metric", "0-shot", "1-shot"]
    table = {line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] in (["copa"], ["sciq"])}
    assert [own[0] for own in (table["copa"], table["sciq"])] == ["acc", "acc_norm"]
    for task, own in table.items():
        told = [json.loads((root / "out" / "stranger" / f"{task}.{k}shot.json").read_text()) for k in (0, 1)]
        assert own[1:] == [f"{100 * cell['results'][task][f'{own[0]},none']:.2f}" for cell in told]
    assert "stranger@local: 4 cells in out/stranger" in lines
    assert "cut short by a limit, so in none of the scores: 4 of 4 cells" in lines
    assert CHECK.fullmatch(lines[-1]), lines[-1]
    assert names(root / "out" / "stranger") == CELLS
    assert re.search(r"copa 0-shot: acc \d\.\d{4}, 4 documents, \d+\.\d s; \d of 4 cells", answer.errors)


def test_a_second_start_measures_nothing(measured, measured_copy, model):
    before = state(measured_copy / "out")
    answer = start(measured_copy, model, "--output", "out", *ASKED)
    assert (answer.status, answer.errors) == (0, "")
    assert state(measured_copy / "out") == before
    assert answer.out.splitlines() == measured[1].out.splitlines()[:-1]


def test_two_shards_give_what_one_process_does(measured, measured_copy, model):
    shutil.rmtree(measured_copy / "out")
    shutil.rmtree(measured_copy / "cache")
    first = start(measured_copy, model, "--output", "out", *ASKED, "--shard", "1/2")
    some = names(measured_copy / "out" / "stranger")
    assert first.status == 0
    assert 0 < len(some) < 4
    assert re.search(rf"missing \({4 - len(some)} of 4 cells\): ", first.out)
    assert start(measured_copy, model, "--output", "out", *ASKED, "--shard", "2/2").status == 0
    assert contents(measured_copy / "out" / "stranger") == contents(measured[0] / "out" / "stranger")
    for path in (measured[0] / "out" / "stranger").glob("*.json"):
        times = rf'"(?:{"|".join(TIMES)})": [^\n]*'
        here, there = ((folder / "out" / "stranger" / path.name).read_text() for folder in (measured_copy, measured[0]))
        assert re.sub(times, "", here) == re.sub(times, "", there)


MISTAKES: list[tuple[list[object], str, str]] = [
    (["MODEL", "--output", "out", "--tasks", "hellaswagg"], "unknown-task", "'hellaswagg' in lm-eval"),
    (["--seed", 1, "--tasks", "tiny_choise"], "unknown-task", "'tiny_choise' in tiny's evaluation"),
    (["MODEL", "--output", "out", "--shard", "3/2"], "option-value", "--shard = '3/2'"),
    (["MODEL", "--output", "out", "--shard", "0/2"], "option-value", "--shard = '0/2'"),
    (["MODEL", "--output", "out", "--shard", "x"], "option-value", "--shard = 'x'"),
    (["MODEL", "--output", "out", "--num-fewshot", "5-1"], "option-value", "--num-fewshot = '5-1'"),
    (["MODEL", "--output", "out", "--num-fewshot", "-1"], "option-value", "--num-fewshot = '-1'"),
    (["--seed", 1, "--tasks", ","], "option-value", "--tasks = ','"),
    (["--seed", 1, "--num-fewshot", "3"], "option-value", "--num-fewshot = 3"),
    (["MODEL"], "option-missing", "stranger"),
    (["MODEL", "--output", "out", "--seed", 1], "option-conflict", "--seed"),
    (["MODEL", "--output", "out", "--all"], "option-conflict", "--all"),
    (["--all", "--seed", 1], "option-conflict", "--all"),
    (["--seed", 1, "--output", "out"], "option-missing", "--output needs a MODEL"),
    (["--seed", 1, "--hub", "local"], "option-missing", "--hub needs a MODEL"),
    (["--seed", 1, "--prefetch", "--check", 5], "option-conflict", "--prefetch"),
    (["no folder", "--output", "out"], "option-value", "MODEL = 'no folder'"),
    (["acme/tiny@", "--output", "out"], "option-value", "MODEL = 'acme/tiny@'"),
    (["MODEL", "--output", "out", "--datasets-hub", "loca"], "hub-address", "--datasets-hub = 'loca'"),
    (["MODEL", "--output", "out", "--device", "tpu"], "option-value", "--device = 'tpu'"),
    (["MODEL", "--output", "out", "--dtype", "int8"], "option-value", "--dtype = 'int8'"),
    ([".", "--output", "out", "--tasks", "copa"], "file-missing", ".: "),
]


@pytest.mark.parametrize(
    ("arguments", "code", "value"), MISTAKES, ids=[" ".join(map(str, arguments)) for arguments, _, _ in MISTAKES]
)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(place, model, arguments, code, value):
    builtin_index()  # built once, and kept in this process
    before = state(place)
    answer = start(place, *(model if argument == "MODEL" else argument for argument in arguments))
    assert answer.code == code
    assert value in answer.error
    assert len(answer.errors.splitlines()) <= 2
    assert state(place) == before
    assert not (place / "out").exists()


def test_a_dataset_that_no_hub_has(place, model):
    answer = start(place, model, "--output", "out", "--tasks", "piqa", "--num-fewshot", 0, "--datasets-hub", "local")
    assert answer.code == "dataset-missing"
    assert "task piqa: dataset baber/piqa" in answer.error
    hint = answer.errors.splitlines()[-1]
    for part in (
        "hf download --repo-type dataset baber/piqa --local-dir DIR/baber/piqa",
        "mixhub hub import DIR --repo-type dataset",
        "--datasets-hub local",
    ):
        assert part in hint
    assert not (place / "out").exists()


def test_a_hub_of_datasets_that_does_not_answer(place, model):
    asked = ("--output", "out", "--tasks", "sciq", "--num-fewshot", 0)
    answer = start(place, model, *asked, HF_ENDPOINT="http://127.0.0.1:9")
    assert answer.code == "dataset-missing"
    assert "http://127.0.0.1:9" in answer.error


OFFLINE = """
    import os, socket, sys

    def refuse(*arguments):
        print("asked the network for", arguments, file=sys.stderr)
        os._exit(7)

    socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.socket.sendto = refuse

    from mixhub.cli import main

    sys.argv[1:1] = ["evaluate"]
    main()
"""


def offline(cwd: Path, *arguments: object) -> Answer:
    """The command in a process that ends with status 7 when it asks the network for anything."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIXHUB_", "HF_ENDPOINT"))}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(OFFLINE), *map(str, arguments)],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(result.returncode, result.stdout, result.stderr)


def test_after_prefetch_evaluation_asks_no_network(suite_place):
    prefetched = start(suite_place, "--prefetch", "--datasets-hub", "local")
    assert prefetched.status == 0, prefetched
    folder = re.escape(str(suite_place / "cache" / "datasets"))
    assert re.search(
        rf"^\d+ requests built; documents in {folder}; evaluation now works offline$", prefetched.out, re.M
    )
    assert not (suite_place / "results").exists()
    requests = state(suite_place / "cache" / "requests")
    answer = offline(suite_place, "--seed", 1, "--datasets-hub", "local")
    assert answer.status == 0, answer
    assert names(suite_place / "results" / "tiny" / "seed-1") == ["sciq.0shot", "tiny_choice.0shot"]
    assert state(suite_place / "cache" / "requests") == requests
    assert "next: mixhub push --seed 1" in answer.out


def test_such_a_process_ends_when_the_network_is_asked(place):
    asked = ("acme/tiny@main", "--output", "out", "--hub", "http://127.0.0.1:9")
    assert offline(place, *asked).status == 7  # else the test above could not fail


def test_all_runs_that_are_trained(place):
    shutil.rmtree(place / "results")
    answer = start(place, "--all")
    assert answer.status == 0, answer
    assert "skipped, because they have no export of step 12: seed-3" in answer.out.splitlines()
    rows = [line.split() for line in answer.out.splitlines() if re.match(r" *(score|seed-\d+) ", line)]
    assert rows[0] == ["score", "Choice", "Average"]
    assert [row[0] for row in rows[1:]] == ["seed-1", "seed-2"]
    for run in ("seed-1", "seed-2"):
        assert f"{run}: 1 cell in {place}/results/tiny/{run}" in answer.out
        assert names(place / "results" / "tiny" / run) == ["tiny_choice.0shot"]
    assert answer.out.splitlines()[-1] == "next: mixhub card render"
    before = state(place / "results")
    again = start(place, "--all")
    assert (again.status, again.errors, state(place / "results")) == (0, "", before)


def test_another_seed_of_shots_has_a_folder_of_its_own(place):
    results = place / "results" / "tiny" / "seed-1"
    before = state(results)
    answer = start(place, "--seed", 1, "--fewshot-seed", 7)
    assert answer.status == 0, answer
    assert names(results / "fewshot-seed-7") == ["tiny_choice.0shot"]
    told = json.loads((results / "fewshot-seed-7" / "tiny_choice.0shot.json").read_text())
    assert told["mixhub"]["fewshot_seed"] == 7
    assert {name: seen for name, seen in state(results).items() if "fewshot-seed-7" not in name} == before
    assert f"1 cell in {results}/fewshot-seed-7" in answer.out
    assert (start(place, "--seed", 1).status, names(results)) == (0, ["tiny_choice.0shot"])


def test_a_revision_of_a_repo_is_measured(workspace, endpoint):
    publish(workspace, endpoint)
    answer = start(workspace.root, "tester/tiny@seed-1", "--output", "out", "--hub", endpoint.url)
    assert answer.status == 0, answer
    assert re.search(r"^tester/tiny@seed-1: commit [0-9a-f]{40}$", answer.out, re.M)
    (own,) = (workspace.root / "results" / "tiny" / "seed-1").glob("*.json")
    here, there = (
        json.loads(path.read_text()) for path in (workspace.root / "out" / "tester__tiny@seed-1" / own.name, own)
    )
    assert here["mixhub"]["weights_sha256"] == there["mixhub"]["weights_sha256"]
    assert (here["mixhub"]["family"], here["mixhub"]["revision"]) == ("tester/tiny", "seed-1")
    assert here["results"] == there["results"]
    missing = start(workspace.root, "tester/tiny@seed-4", "--output", "other", "--hub", endpoint.url)
    assert missing.code == "revision-not-found"
    assert "'seed-4'" in missing.error
    assert not (workspace.root / "other").exists()


def test_a_revision_from_the_local_hub(workspace):
    from mixhub.endpoint import HubChoice
    from mixhub.hub.remote.connect import open_hub

    with open_hub(HubChoice("local", "the test"), workspace) as endpoint:
        publish(workspace, endpoint)
    answer = start(workspace.root, "tester/tiny@seed-2", "--output", "out", "--hub", "local")
    assert answer.status == 0, answer
    assert answer.out.splitlines()[0].startswith("hub: local (http://127.0.0.1:")
    assert names(workspace.root / "out" / "tester__tiny@seed-2") == ["tiny_choice.0shot"]


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[..., Path]:
    def make(**changes: Any) -> Path:
        of = family()
        return write_export(tmp_path / "damaged", of, of.runs()[0], **changes)

    return make


def test_weights_that_are_not_finite_write_nothing(place, damaged):
    answer = start(place, damaged(poison=float("nan")), "--output", "out", *ASKED)
    assert answer.code == "figure-not-finite"
    assert re.search(r"(copa|sciq) [01]-shot", answer.error)
    assert state(place / "out") == {}


def test_weights_that_were_cut_off_write_nothing(place, damaged):
    folder = damaged()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    answer = start(place, folder, "--output", "out", *ASKED)
    assert answer.code == "model-unloadable"
    assert str(folder) in answer.error
    assert not (place / "out").exists() or state(place / "out") == {}


def test_cells_by_lm_evals_own_backend_say_so(measured, place, model):
    asked = ("--tasks", "copa", "--num-fewshot", 0, "--limit", 4, "--datasets-hub", "local")
    answer = start(place, model, "--output", "out", *asked, "--backend", "stock")
    assert answer.status == 0, answer
    told, ours = (
        json.loads((root / "out" / "stranger" / "copa.0shot.json").read_text()) for root in (place, measured[0])
    )
    assert (told["mixhub"]["backend"], ours["mixhub"]["backend"]) == ("stock", "mixhub")
    assert told["results"]["copa"]["acc,none"] == ours["results"]["copa"]["acc,none"]
    assert "backend: stock" not in answer.errors


def test_documents_come_from_the_hub_that_is_asked_and_never_from_the_copy_of_another(hubbed, tmp_path, model):
    """Two hubs have a repo of the same name with other documents; neither the cache nor a cell is taken for the other.

    Documents are kept in the user's own cache, since there is no workspace.
    """
    from mixhub.hubserver import serve

    repos = write_dataset_repos(tmp_path / "repos")
    for path in repos["allenai/sciq"].rglob("*.jsonl"):
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    (tmp_path / "other" / "allenai").mkdir(parents=True)
    (repos["allenai/sciq"]).rename(tmp_path / "other" / "allenai" / "sciq")
    import_folder(tmp_path / "other", tmp_path / "second", "dataset")
    asked = (model, "--output", "out", "--tasks", "sciq", "--num-fewshot", 0, "--limit", 4)
    found = []
    with serve(hubbed / "hub") as one, serve(tmp_path / "second") as other:
        for url in (one.url, other.url, one.url):
            answer = start(tmp_path, *asked, HF_ENDPOINT=url)
            assert answer.status == 0, answer
            cell = tmp_path / "out" / "stranger" / "sciq.0shot.json"
            found.append(json.loads(cell.read_text())["mixhub"]["dataset"]["fingerprint"])
            named = start(tmp_path, *asked, "--datasets-hub", url)
            assert (named.status, named.errors) == (0, "")  # the same hub, so the cell stays
    assert found[0] == found[2] != found[1]
    answer = start(tmp_path, *asked, "--datasets-hub", "https://127.0.0.1:9")
    assert answer.status == 0, answer  # the documents cannot be had, so they are not compared
    assert "could not compare" in answer.errors
    shutil.rmtree(tmp_path / "out")
    assert start(tmp_path, *asked, "--datasets-hub", "https://127.0.0.1:9").code == "dataset-missing"


def test_a_model_without_a_workspace(measured, tmp_path, model):
    """Documents are then kept in the user's own cache, and come from wherever `--datasets-hub` says."""
    answer = start(tmp_path, model, "--output", "out", "--tasks", "sciq", "--num-fewshot", 0, "--datasets-hub", "local")
    assert not list(tmp_path.rglob("*.json"))
    assert answer.code == "workspace-required"
    assert "--datasets-hub" in answer.error


def test_help_shows_all_options(mixhub_here, tmp_path):
    shown = mixhub_here("evaluate", "--help", COLUMNS="160")
    assert shown.returncode == 0
    for option in (
        *("MODEL", "--seed", "--index", "--all", "--tasks", "--num-fewshot", "--limit", "--device", "--dtype"),
        *("--fewshot-seed", "--shard", "--prefetch", "--check", "--backend", "--datasets-hub", "--output", "--hub"),
        *("--family", "--workspace"),
    ):
        assert re.search(rf"{option}\b", shown.stdout), option


def test_a_check_of_cells_that_another_model_made_fails(measured_copy, tmp_path, model):
    """A figure that was changed by hand, or by a bug, is found: the check can fail."""
    path = measured_copy / "out" / "stranger" / "copa.0shot.samples.jsonl"
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    for sample in samples:
        sample["resps"] = [[[str(float(own[0][0]) - 1), own[0][1]]] for own in sample["resps"]]
    text = "".join(json.dumps(sample) + "\n" for sample in samples)
    path.write_text(text)
    told = path.with_name("copa.0shot.json")
    data = json.loads(told.read_text())
    from mixhub.workspace.lineage import file_sha256

    data["mixhub"]["samples_sha256"] = file_sha256(path)
    told.write_text(json.dumps(data))
    asked = ("--tasks", "copa", "--num-fewshot", 0, "--limit", 4)
    answer = start(measured_copy, model, "--output", "out", *asked, "--check", 8)
    assert answer.code == "crosscheck-differs"


def test_workspaces_are_found_by_option(place, model, tmp_path):
    answer = start(tmp_path, "--workspace", place, "--seed", 1)
    assert answer.status == 0, answer
    assert Workspace.open(place).root == place


def test_an_interrupted_training_says_how_to_continue(place, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixhub.workflow.make.series.train", interrupted)
    monkeypatch.setattr(sys, "argv", ["mixhub", "train", "--seed", "1", "-w", str(place)])
    run_folder = Workspace.open(place).run_folder(Workspace.open(place).family().runs()[0])
    shutil.rmtree(run_folder.checkpoints)
    shutil.rmtree(run_folder.exports)
    for step in (None, 2, 4):
        if step is not None:
            run_folder.checkpoint(step).mkdir(parents=True)
            (run_folder.checkpoint(step) / "state.json").write_text("{}")
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 130
        said = capsys.readouterr().out
        assert "same command" in said
        assert re.findall(r"step is (\d+)", said) == ([] if step is None else [str(step)])


def test_training_without_a_corpus_is_refused_before_torch_is_imported(place):
    (place / "runs").rename(place / "other")
    shutil.rmtree(Workspace.open(place).tokens(Workspace.open(place).family()))
    code = f"""
        import sys
        from mixhub.cli import main
        sys.argv = ["mixhub", "train", "--seed", "1", "-w", {str(place)!r}]
        try:
            main()
        finally:
            print([name for name in ("torch", "transformers", "accelerate") if name in sys.modules])
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "[]\n"), ended.stderr
    assert printed_codes(ended.stderr) == ["tokens-missing"]
    assert not (place / "runs").exists()


def test_all_missing_datasets_are_reported_at_once(place, model):
    asked = ("--output", "out", "--tasks", "piqa,copa,race", "--num-fewshot", 0, "--limit", 4)
    answer = start(place, model, *asked, "--datasets-hub", "local")
    assert (answer.status, printed_codes(answer.errors)) == (2, ["dataset-missing", "dataset-missing"])
    assert ("baber/piqa" in answer.errors, "race" in answer.errors, "super_glue" in answer.errors) == (
        True,
        True,
        False,
    )


def test_only_the_requested_cells_are_shown(suite_place):
    asked = ("--seed", 1, "--tasks", "sciq", "--num-fewshot", 0, "--datasets-hub", "local")
    shown = start(suite_place, *asked)
    assert (shown.status, "SciQ" in shown.out, "Choice" in shown.out) == (0, True, False), shown
    assert "first" not in shown.out
    (table, *_) = score_tables(workspace=suite_place)
    assert [note for note in table.notes if note.startswith("40 of 40 requests") and note.endswith(": sciq 0-shot")]
    limited = start(suite_place, "--seed", 2, *asked[2:], "--limit", 4)
    assert (limited.status, "first 4 documents" in limited.out, "Choice" in limited.out) == (0, True, False), limited
