"""Help is instant, and every command and option has it; the README shows commands and options that exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mixhub.cli.app import COMMANDS, app

HEAVY = (
    *("torch", "transformers", "huggingface_hub", "lm_eval", "datasets", "pandas", "jinja2", "accelerate", "numpy"),
    *("matplotlib", "langcodes", "yaml", "rich", "markdown_it", "mixhub.spec", "mixhub.workspace"),
)
README = Path(__file__).parents[2] / "README.md"
GROUPS = ("card", "data", "hub", "plot")


def commands():
    """Every command by the words that call it."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {sub}": each for sub, each in below.items()} if below else {name: command}
    return found


def shown_commands():
    """Lines of the README's code blocks that call mixhub, without their comments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README.read_text(), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines for words in calls(shlex.split(line, comments=True))]


def calls(words):
    """The calls of mixhub in a line, which may be several with && between."""
    for part in " ".join(shlex.quote(word) for word in words).split("'&&'"):
        found = shlex.split(part)
        if found[:1] == ["mixhub"]:
            yield found[1:]


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


def test_the_list_of_commands_is_what_their_own_help_says(mixhub):
    listed = mixhub("--help", COLUMNS="200").stdout
    for name, command in typer.main.get_command(app).commands.items():
        first = " ".join(command.help.split("\n\n")[0].split())
        assert f"  {name:<10}{first}" in re.sub(r"\n {10,}", " ", listed), name


def test_the_next_command_is_suggested(mixhub):
    refused = mixhub("psuh", "--seed", 1)
    assert refused.returncode == 2
    assert "No such command 'psuh'. Did you mean 'push'?" in refused.stderr


def test_an_old_option_works_and_is_not_shown(mixhub):
    shown = mixhub("push", "--help").stdout
    assert "--private" in shown
    assert "--from" not in shown


def test_each_command_has_a_module_of_its_own():
    assert len(set(COMMANDS.values())) == len(COMMANDS)
    assert {name for name in COMMANDS if any(path.startswith(f"{name} ") for path in commands())} == set(GROUPS)


def test_the_readme_names_every_command_and_no_other():
    text = README.read_text()
    table = re.search(r"^\| command \| what it does \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.M)
    named = re.findall(r"`mixhub ([a-z ]+?)`", table[1])
    assert sorted(named) == sorted(commands())


def test_the_options_that_the_readme_shows_exist():
    known = commands()
    shown = shown_commands()
    assert len(shown) > 40
    for words in shown:
        name = " ".join(words[:2]) if words[0] in GROUPS else words[0]
        assert name in known, words
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words
