"""What pages name exists: paths, functions, commands, options, codes, variables, families, and all that is public."""

import importlib
import json
import re
from collections import Counter

import pytest
import typer
import yaml

import mixhub
from docs import hooks
from mixhub import workflow
from mixhub.cli.app import app
from mixhub.codes import all_codes
from mixhub.evaluation.requests import FORMAT as REQUESTS_FORMAT
from mixhub.spec import Evaluation, catalog
from mixhub.spec.base import parse_yaml
from mixhub.training.checkpoints.state import State
from mixhub.workspace.cells import Provenance
from mixhub.workspace.lineage import Lineage
from mixhub.workspace.manifest import Manifest
from mixhub.workspace.paths import WorkspaceConfig
from tests.docs.blocks import PAGES, ROOT, blocks, mixhub_calls

_FOLDERS = "mixhub|tests|docs|examples|model_cards"


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def commands():
    """Every command by the words that call it, with its options."""
    known = {}
    for name, command in typer.main.get_command(app).commands.items():
        for words, each in getattr(command, "commands", {"": command}).items():
            options = {option for parameter in each.params for option in (*parameter.opts, *parameter.secondary_opts)}
            known[f"{name} {words}".strip()] = options | {"--help"}
    return known


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_that_a_page_shows_exist_and_have_the_options(page):
    known = commands()
    inline = [(page, text.split()) for text in re.findall(r"`mixhub ([a-z][^`\n]*)`", read(page))]
    for where, words in [*mixhub_calls(page), *inline]:
        if words[0] == "COMMAND":
            continue
        name = next((name for name in (" ".join(words[:2]), words[0]) if name in known), None)
        assert name or words[0].startswith("-"), (where, words)
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= known.get(name, {"--help", "--version"}), (where, words)


def test_what_a_page_shows_as_yaml_can_be_pasted(tmp_path):
    """It is strict YAML without gaps; a workspace, and a family's suite, are valid as they stand."""
    shown = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]
    assert shown
    for block in shown:
        data = parse_yaml(block.text, block.where)
        assert isinstance(data, dict), block.where
        assert "…" not in block.text, block.where
        if "families" in data:
            folder = tmp_path / block.where.replace("/", "-")
            folder.mkdir()
            (folder / "mixhub.yaml").write_text(block.text)
            opened = workflow.open_workspace(folder)
            assert {opened.family(name).name for name in data["families"]} == set(data["families"]), block.where
        if "evaluation" in data:
            Evaluation.from_data(data["evaluation"], block.where)


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_and_names_in_a_page_exist(page):
    text = read(page)
    for path in re.findall(rf"`((?:{_FOLDERS})/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`((?:mixhub|tests)(?:\.\w+)+)[`(]", text):
        if not (ROOT / name).exists() and name != "mixhub.yaml":
            assert resolved(name), name
    for link in re.findall(
        r"\]\(([^)#:]+)(?:#[^)]*)?\)", re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    ):
        assert ((ROOT / page).parent / link).exists(), link


def resolved(name):
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES)
def test_python_compiles_and_output_fits_a_terminal(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, block.where, "exec")
        if block.language == "text" and not block.file:
            assert max(map(len, block.text.splitlines())) <= 80, block.where


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") and page != "docs/errors.md"])
def test_the_codes_that_a_page_lists_exist(page):
    listed = re.findall(r"^- ((?:`[a-z0-9-]+`(?:, )?)+):", read(page), re.M)
    assert {code for line in listed for code in re.findall(r"`([^`]+)`", line) if "-" in code} <= set(all_codes())


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("", lambda loader, tag, node: None)
    nav = yaml.load(read("mkdocs.yml"), Loader)["nav"]
    named = set(re.findall(r"[\w/-]+\.md", json.dumps(nav)))
    assert named == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}


def test_every_command_has_its_help_on_the_page_and_a_row_in_the_table():
    page = read("docs/reference/commands.md")
    assert sorted(re.findall(r"^\| `mixhub ([a-z ]+)` \|", page, re.M)) == sorted(commands())
    built = hooks.on_page_markdown(page)
    assert re.findall(r"^## mixhub (.+)$", built, re.M) == hooks.command_names()
    for name in commands():
        assert f"Usage: mixhub {name} " in built, name


def test_every_field_is_on_the_page():
    built = hooks.on_page_markdown(read("docs/reference/mixhub-yaml.md"))
    for field in ("namespace", "training.learning_rate", "evaluation.tasks[].chance", "card.license"):
        assert f"| `{field}` |" in built


@pytest.mark.parametrize(("page", "module"), [("api", mixhub), ("workflow", workflow)])
def test_every_public_name_is_in_the_reference(page, module):
    named = re.findall(rf"^::: {module.__name__}\.(\w+)$", read(f"docs/reference/{page}.md"), re.M)
    assert sorted(named) == sorted(set(module.__all__) - {"__version__"})


def test_every_environment_variable_is_in_the_reference():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mixhub").rglob("*.py"))
    read_here = set(re.findall(r"\bMIXHUB_[A-Z_]*[A-Z]\b", code))
    assert read_here <= set(re.findall(r"MIXHUB_[A-Z_]*[A-Z]", read("docs/reference/environment.md")))


@pytest.mark.parametrize(
    ("row", "schema"),
    [
        ("`mixhub.yaml`", WorkspaceConfig),
        ("`manifest.json` of token shards", Manifest),
        ("`state.json` of a checkpoint", State),
        ("`lineage.json` of an export", Lineage),
        ("results", Provenance),
    ],
)
def test_the_versions_of_formats_are_those_of_the_code(row, schema):
    (line,) = re.findall(rf"^\| {re.escape(row)} \| (.*)$", read("docs/reference/files.md"), re.M)
    assert f"version {schema.model_fields['format'].default}" in line


def test_the_version_of_built_requests_is_that_of_the_code():
    assert f"\n| requests in `cache/` | version {REQUESTS_FORMAT} |" in read("docs/reference/files.md")


def test_every_published_family_is_in_the_readme():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", read("README.md"), re.M)
    assert rows == catalog.published()


def test_the_version_is_in_the_changelog_and_the_citation():
    assert f"\n## [{mixhub.__version__}] - " in read("CHANGELOG.md")
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (mixhub.__version__, "MIT")


def test_the_readme_is_short():
    lines = read("README.md").splitlines()
    assert len(lines) <= 150
    assert max(len(line) for line in lines if not line.startswith("![")) <= 120


def test_no_other_block_is_skipped():
    skipped = Counter(
        page
        for page in PAGES
        for block in blocks(page)
        if block.language in ("bash", "python") and not block.file and not block.is_run
    )
    assert skipped == {
        "README.md": 3,
        "CONTRIBUTING.md": 1,
        "docs/index.md": 1,
        "docs/guides/clusters.md": 4,
        "docs/guides/hubs.md": 3,
        "docs/guides/models.md": 2,
        "docs/guides/published.md": 1,
        "docs/guides/results.md": 3,
        "docs/guides/tasks.md": 2,
        "docs/tutorials/check.md": 1,
        "docs/tutorials/compare.md": 1,
        "docs/tutorials/evaluate.md": 2,
        "docs/tutorials/release.md": 1,
        "docs/tutorials/replicate.md": 2,
        "docs/tutorials/train.md": 1,
    }
