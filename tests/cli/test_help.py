"""Help is instant, and every command and option has it."""

import re
import subprocess
import sys

import pytest
import typer

from mixhub.cli.app import COMMANDS, app

HEAVY = (
    *("torch", "transformers", "huggingface_hub", "lm_eval", "datasets", "pandas", "jinja2", "accelerate", "numpy"),
    *("matplotlib", "yaml", "rich", "markdown_it", "mixhub.spec", "mixhub.workspace"),
)
GROUPS = ("card", "data", "hub", "plot")


def commands():
    """Every command by the words that call it."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {sub}": each for sub, each in below.items()} if below else {name: command}
    return found


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["push", "--help"], ["hub", "serve", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    heavy = HEAVY if len(arguments) > 1 else (*HEAVY, "pydantic")  # Typer itself imports it for options
    code = f"""
import sys
sys.argv = ["mixhub", *{arguments!r}]
from mixhub.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


@pytest.mark.parametrize(("path", "command"), commands().items(), ids=commands())
def test_every_command_and_option_says_what_it_is(path, command):
    assert command.help, path
    for parameter in command.params:
        if parameter.name != "help":
            assert parameter.help, (path, parameter.name)


def test_the_list_of_commands_is_what_their_own_help_says(mixhub_here):
    listed = mixhub_here("--help", COLUMNS="200").stdout
    for name, command in typer.main.get_command(app).commands.items():
        first = " ".join(command.help.split("\n\n")[0].split())
        assert f"  {name:<10}{first}" in re.sub(r"\n {10,}", " ", listed), name


def test_the_next_command_is_suggested(mixhub_here):
    refused = mixhub_here("psuh", "--seed", 1)
    assert refused.returncode == 2
    assert "No such command 'psuh'. Did you mean 'push'?" in refused.stderr


def test_each_command_has_a_module_of_its_own():
    assert len(set(COMMANDS.values())) == len(COMMANDS)
    assert {name for name in COMMANDS if any(path.startswith(f"{name} ") for path in commands())} == set(GROUPS)
