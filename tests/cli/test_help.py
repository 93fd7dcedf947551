"""Help is instant, and every command and option has it."""

import subprocess
import sys

import pytest
import typer

from mixhub.cli.app import app

HEAVY = (
    *("torch", "transformers", "huggingface_hub", "lm_eval", "datasets", "pandas", "jinja2", "accelerate", "numpy"),
    *("matplotlib", "langcodes"),
)


def commands():
    def walk(group, path):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            else:
                yield (*path, name), command

    return list(walk(typer.main.get_command(app), ()))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["push", "--help"], ["hub", "serve", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = f"""
import sys
sys.argv = ["mixhub", *{arguments!r}]
from mixhub.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
loaded = [name for name in {HEAVY!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_importing_mixhub_imports_nothing_heavy():
    code = f"import sys, mixhub; assert not [name for name in {HEAVY!r} if name in sys.modules]"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("path", "command"), commands(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_option_says_what_it_is(path, command):
    assert command.help, path
    for parameter in command.params:
        if parameter.name != "help":
            assert parameter.help, (path, parameter.name)


def test_the_commands_are_those_of_the_readme():
    assert {" ".join(path) for path, _ in commands()} == {
        "demo",
        "families",
        "init",
        "status",
        "data pack",
        "train",
        "evaluate",
        "results",
        "audit",
        "card render",
        "card check",
        "card diff",
        *("plot scores", "plot difference", "plot shots", "plot mixture", "plot losses"),
        "adopt",
        "check",
        "push",
        "verify",
        "withdraw",
        "generate",
        "hub serve",
        "hub import",
    }
