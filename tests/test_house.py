"""The contracts of who may import whom speak of every module there is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
WINGS = {"card", "cli", "data", "evaluate", "hub", "hubserver", "train"}


def contracts():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def modules(folder, package):
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return {f"{package}.{name}" for name in names if not name.startswith("__")}


def test_every_core_module_is_in_the_first_contract():
    core = modules(ROOT / "mixhub", "mixhub") - {f"mixhub.{wing}" for wing in WINGS}
    assert set(contracts()[0]["source_modules"]) == core


def test_only_the_opening_may_start_the_embedded_hub():
    named = set(contracts()[-1]["source_modules"])
    hub = modules(ROOT / "mixhub" / "hub", "mixhub.hub") - {"mixhub.hub.remote.connect"}
    assert named == hub | {"mixhub.card", "mixhub.evaluate"}
