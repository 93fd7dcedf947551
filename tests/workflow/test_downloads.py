"""Text of a dataset repo on a real hub: which files come, from where a killed download goes on, and what is refused."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.errors import CorpusError, HubError, RepoNotFoundError, UnknownNameError, UsageError
from mixhub.hubserver import import_folder, serve
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workflow import Wanted, download_data
from mixhub.workflow.data.downloads import BYTES_PER_TOKEN, MARGIN
from mixhub.workspace.downloads import read_downloads
from mixhub.workspace.lineage import DatasetPart, read_lineage
from mixhub.workspace.paths import Workspace
from tests.faults import faulty
from tests.refusals import error_codes, refused
from tests.tiny import tiny_data, write_rows

REPO = "acme/words"
NUMBERS = {"prose": 12, "sums": 3, "two-part": 3}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with a dataset of three domains; files have ten documents."""
    source = tmp_path_factory.mktemp("source")
    texts = [f"the cat {number} sat on the mat and the dog ran under the tree" for number in range(10)]
    for domain, count in NUMBERS.items():
        for number in range(1, count + 1):
            write_rows(source / REPO / "train" / f"{domain}-{number}.jsonl", [f"{domain} {number} {t}" for t in texts])
        write_rows(source / REPO / "valid" / f"{domain}-1.jsonl", texts)
    (source / REPO / "README.md").write_text("Text.\n")
    with serve(tmp_path_factory.mktemp("datasets") / "hub") as running:
        (made,) = import_folder(source, running.root, "dataset")
        yield running, made.commit, source / REPO


@pytest.fixture
def workspace(tmp_path):
    return make(tmp_path / "ws")


def make(root, **training):
    """A workspace of the tiny family whose budget is about two files of prose."""
    data = tiny_data(data={"corpus": "words", "dataset": REPO})
    data["training"] |= {"steps": 2, "warmup_steps": 0, **training}
    name = data.pop("name")
    root.mkdir()
    (root / "mixhub.yaml").write_text(to_yaml({"family": name, "families": {name: data}}))
    return Workspace.open(root)


def files(workspace):
    corpus = workspace.path("data", "words")
    return sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*") if path.is_file())


def all_files():
    train = [f"train/{domain}-{n}.jsonl" for domain, count in NUMBERS.items() for n in range(1, count + 1)]
    return sorted(["download.json", *train, "valid/prose-1.jsonl", "valid/sums-1.jsonl"])


def test_all_files_that_the_family_reads_come_and_nothing_else(hub, workspace):
    running, commit, source = hub
    done = download_data(workspace, hub=running.url)
    assert files(workspace) == all_files()
    for name in all_files()[1:]:
        assert (workspace.path("data", "words") / name).read_bytes() == (source / name).read_bytes()
    assert (done.commit, len(done.missing), done.train) == (commit, 20, DatasetPart(repo_id=REPO, files=18, of=18))
    record = read_downloads(workspace.path("data", "words"))
    assert {file.commit for file in record.files.values()} == {commit}
    assert record.datasets[REPO]["train/prose"] == 12


def test_a_file_that_is_there_is_not_fetched_again(hub, workspace):
    running, _, source = hub
    (workspace.path("data", "words") / "train").mkdir(parents=True)
    shutil.copy(source / "train" / "sums-1.jsonl", workspace.path("data", "words") / "train")
    with faulty(running.url) as proxy:
        assert len(download_data(workspace, hub=proxy.url).missing) == 19
        assert proxy.count("GET", "train/sums-1.jsonl") == 0
        before = len(proxy.requests)
        (workspace.path("data", "words") / "train" / "prose-3.jsonl").write_text("cut")
        assert [file.path for file in download_data(workspace, hub=proxy.url).missing] == ["train/prose-3.jsonl"]
        assert not any("prose-4" in request for request in proxy.requests[before:])
    assert (workspace.path("data", "words") / "train" / "prose-3.jsonl").stat().st_size > 3


def test_a_dry_run_lists_and_writes_nothing(hub, workspace):
    plan = download_data(workspace, hub=hub[0].url, dry_run=True)
    assert len(plan.files) == len(plan.missing) == 20
    assert plan.needed == sum((hub[2] / file.path).stat().st_size for file in plan.files)
    assert not workspace.path("data").exists()


def test_domains_can_be_chosen_with_and_without_prefix(hub, workspace):
    download_data(workspace, Wanted(domains=["train_sums", "two-part"]), hub=hub[0].url)
    assert {name.split("-")[0] for name in files(workspace)} == {
        "download.json",
        "train/sums",
        "train/two",
        "valid/sums",
        "valid/two",
    }
    with refused("unknown-domain", UnknownNameError, name="sms") as caught:
        download_data(workspace, Wanted(domains=["sms"]), hub=hub[0].url)
    assert caught.value.nearest == "sums"


def test_for_a_budget_only_as_many_files_come_as_it_needs(hub, workspace):
    done = download_data(workspace, Wanted(for_budget=True), hub=hub[0].url)
    size = (hub[2] / "train" / "prose-1.jsonl").stat().st_size
    needed = 0.5 * workspace.family().training.tokens * BYTES_PER_TOKEN * MARGIN
    prose = [file for file in done.files if (file.split, file.domain) == ("train", "prose")]
    assert [file.number for file in prose] == list(range(1, len(prose) + 1))
    assert sum(file.remote.size for file in prose) >= needed > sum(file.remote.size for file in prose) - size * 1.1
    assert len([file for file in done.files if file.split == "valid"]) == 2
    assert done.train == DatasetPart(repo_id=REPO, files=len(done.files) - 2, of=18)
    assert done.short == ()


def test_a_part_of_the_files_needs_consent_where_the_order_depends_on_all(hub, tmp_path):
    loader = {"ranks": 2, "micro_batch_size": 2, "chunk_sequences": 2}
    workspace = make(tmp_path / "ws", order="regmix", loader=loader)
    with refused("subset-unconfirmed", UsageError, of=18):
        download_data(workspace, Wanted(for_budget=True), hub=hub[0].url)
    assert not workspace.path("data").exists()
    assert not download_data(workspace, Wanted(for_budget=True, subset=True), hub=hub[0].url).train.is_whole
    with refused("option-missing", UsageError, option="--for"):
        download_data(workspace, Wanted(subset=True), hub=hub[0].url)
    long = make(tmp_path / "long", order="regmix", loader=loader, steps=1000)
    done = download_data(long, Wanted(for_budget=True), hub=hub[0].url)
    assert done.train.is_whole
    assert done.short == ("prose", "sums", "two-part")


def test_the_part_is_in_manifest_lineage_and_card(hub, workspace):
    part = download_data(workspace, Wanted(for_budget=True), hub=hub[0].url).train
    manifest = workflow.pack(workspace)
    assert manifest.datasets == (part,)
    assert manifest.train["sums"].datasets[0].of == 3
    lineage = read_lineage(workflow.train(workspace, seed=1, options=workflow.TrainOptions(device="cpu")).export)
    assert lineage.datasets == (part,)
    family, revision = (path.read_text() for path in workflow.render_card(workspace)[:2])
    for text in (family, revision):
        assert f"{part.files} of 18 files of [acme/words]" in text


def test_the_command_shows_sizes_and_the_next_command(hub, workspace, mixhub_here):
    url = hub[0].url
    shown = mixhub_here("data", "download", "--for", "tiny", "--dry-run", "--hub", url, cwd=workspace.root).stdout
    assert "train/prose-1.jsonl" in shown
    assert "of the 18 files" in shown
    assert not workspace.path("data").exists()
    done = mixhub_here("data", "download", "--domain", "sums", "--hub", url, cwd=workspace.root)
    assert done.stdout.splitlines()[-1] == "next: mixhub data pack"
    refusal = mixhub_here("data", "download", "--for", "tiny", "--family", "human-1b", cwd=workspace.root)
    assert error_codes(refusal) == ["option-conflict"]


def test_text_that_was_not_downloaded_leaves_no_mark(hub, workspace):
    shutil.copytree(hub[2], workspace.path("data", "words"))
    manifest = workflow.pack(workspace)
    assert manifest.datasets is None
    assert "datasets" not in str(manifest.to_data())


def test_a_cut_download_goes_on(hub, workspace, waits):
    running = hub[0]
    with faulty(running.url) as proxy:
        proxy.fails("GET", "train/sums-2.jsonl", status=503)
        with pytest.raises(HubError):
            download_data(workspace, hub=proxy.url)
        assert "train/prose-12.jsonl" in files(workspace)
        assert "train/sums-2.jsonl" not in files(workspace)
        proxy.faults.clear()
        before = len(proxy.requests)
        done = download_data(workspace, hub=proxy.url)
        assert not any("train/prose-1." in request for request in proxy.requests[before:])
    assert len(done.missing) < 20
    assert files(workspace) == all_files()


def test_a_body_that_is_cut_is_not_taken_for_the_file(hub, workspace, waits):
    running, _, source = hub
    with faulty(running.url) as proxy:
        proxy.fails("GET", "train/sums-2.jsonl", cut=True, times=1)
        try:
            download_data(workspace, hub=proxy.url)
        except HubError:
            download_data(workspace, hub=proxy.url)
    name = "train/sums-2.jsonl"
    assert (workspace.path("data", "words") / name).read_bytes() == (source / name).read_bytes()


def test_other_bytes_than_the_hub_lists_do_not_enter_the_corpus(hub, workspace, monkeypatch):
    import huggingface_hub

    real = huggingface_hub.hf_hub_download

    def damaged(*arguments, **options):
        path = Path(real(*arguments, **options))
        path.write_bytes(b"X" + path.read_bytes()[1:])
        return path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", damaged)
    with refused("dataset-file-differs", HubError, dataset=REPO):
        download_data(workspace, hub=hub[0].url)
    assert not any(name.startswith("train/") for name in files(workspace))


def test_a_disk_without_room_is_refused_before_any_byte(hub, workspace, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    with refused("disk-too-small", CorpusError, free=1000):
        download_data(workspace, hub=hub[0].url)
    assert not workspace.path("data").exists()


def test_a_file_of_the_users_is_not_replaced(hub, workspace):
    write_rows(workspace.path("data", "words", "train", "sums-1.jsonl"), ["my own text"])
    with refused("corpus-file-foreign", CorpusError):
        download_data(workspace, hub=hub[0].url)
    assert files(workspace) == ["train/sums-1.jsonl"]


@pytest.mark.parametrize(
    ("wanted", "code", "kind"),
    [
        (Wanted(repo="acme/none"), "repo-not-found", RepoNotFoundError),
        (Wanted(revision="nope"), "dataset-revision-missing", HubError),
    ],
)
def test_what_the_hub_does_not_have(hub, workspace, wanted, code, kind):
    with refused(code, kind):
        download_data(workspace, wanted, hub=hub[0].url)
    assert not workspace.path("data").exists()


def test_a_dataset_of_another_layout_or_without_a_domain(hub, workspace, tmp_path):
    running = hub[0]
    (tmp_path / "s" / "acme" / "other").mkdir(parents=True)
    (tmp_path / "s" / "acme" / "other" / "all.jsonl").write_text('{"text": "x"}\n')
    write_rows(tmp_path / "s" / "acme" / "part" / "train" / "prose-1.jsonl", ["x"])
    import_folder(tmp_path / "s", running.root, "dataset")
    with refused("dataset-layout", CorpusError, dataset="acme/other"):
        download_data(workspace, Wanted(repo="acme/other"), hub=running.url)
    with refused("domains-missing", CorpusError) as caught:
        download_data(workspace, Wanted(repo="acme/part"), hub=running.url)
    assert ("valid", "prose") in caught.value.fields["missing"]


def test_a_family_without_a_dataset_needs_a_repo(hub, workspace):
    config = read_yaml(workspace.root / "mixhub.yaml")
    config["families"]["tiny"]["data"]["dataset"] = None
    (workspace.root / "mixhub.yaml").write_text(to_yaml(config))
    with refused("option-missing", UsageError):
        download_data(workspace.root, hub=hub[0].url)
    assert download_data(workspace.root, Wanted(repo=REPO), hub=hub[0].url).train.is_whole
