"""The structure of the package: its limits, imports, and the codes of errors and findings."""

import re

from mixhub import errors
from mixhub.codes import all_codes, page
from tests import structure


def test_no_limit_of_the_house_is_broken():
    assert list(structure.violations()) == []


def test_modules_at_the_top_import_nothing_but_each_other_and_the_spec():
    for path in structure.PACKAGE.glob("*.py"):
        if not path.name.startswith("__"):
            assert {name for name in structure.imports(path) if name.count(".") > 1} <= {"mixhub.spec.base"}, path


def test_every_error_and_finding_has_a_code():
    assert [f"{use.where}: {use.name}" for use in structure.code_uses() if not use.is_given] == []


def test_every_code_is_explained_and_used():
    named = {code for use in structure.code_uses() for code in use.codes}
    named |= {kind.code for kind in vars(errors).values() if isinstance(kind, type) and "code" in vars(kind)}
    known = all_codes()
    assert named - set(known) == set()
    assert set(known) - named - structure.texts() == set()


def test_a_code_is_explained_once():
    explained = re.findall(r"^\| `([a-z0-9-]+)` \|", page(), re.MULTILINE)
    assert sorted(explained) == sorted(all_codes())


def test_codes_read_as_codes():
    for name, code in all_codes().items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name
        assert code.meaning.endswith((".", "?")), name
        assert code.remedy, name


def test_the_page_of_errors_is_that_of_the_code():
    assert (structure.ROOT / "docs" / "errors.md").read_text() == page(), "python -m mixhub.codes > docs/errors.md"
