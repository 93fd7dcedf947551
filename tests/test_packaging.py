"""What pyproject.toml declares is what the package imports."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = CONFIG["project"]


def distribution(requirement):
    """The normalised name of a requirement: `huggingface_hub>=1.31,<3` is `huggingface-hub`."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def imported_packages(folder):
    """Return the top-level packages that modules in a folder import, without the standard library and our own.

    The benchmarks do not count: no test run collects them, and they need the extra `dev`.
    """
    packages = set()
    for path in (path for path in folder.rglob("*.py") if "benchmarks" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                packages |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                packages.add(node.module.split(".")[0])
    # pydantic documents its errors in pydantic_core, and pins the exact version of it.
    return packages - sys.stdlib_module_names - {"mixhub", "tests", "docs", "pydantic_core"}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("mixhub", ["fast", "liger", "tensorboard"]),
        ("tests", ["test", "fast", "tensorboard", "test-formats", "test-results"]),
        ("examples", []),
    ],
)
def test_every_import_is_declared(folder, extras):
    declared = {distribution(one) for one in PROJECT["dependencies"]}
    declared |= {distribution(one) for extra in extras for one in PROJECT["optional-dependencies"][extra]}
    provided_by = packages_distributions()
    undeclared = {
        package
        for package in imported_packages(ROOT / folder)
        if not declared & {distribution(one) for one in provided_by.get(package, [package])}  # of extras: not installed
    }
    assert undeclared == set()


def test_every_dependency_is_imported():
    provided_by = packages_distributions()
    imported = {distribution(one) for name in imported_packages(ROOT / "mixhub") for one in provided_by.get(name, [])}
    assert {distribution(one) for one in PROJECT["dependencies"]} <= imported


def test_a_clone_does_not_shadow_the_package():
    """Without it, setuptools installs a finder that comes after a folder `mixhub` in the current one."""
    assert CONFIG["tool"]["setuptools"]["package-dir"] == {"": "."}
