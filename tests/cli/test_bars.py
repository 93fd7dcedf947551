"""The progress bar of a training run."""

import io
import re
import sys
import time

from mixhub.cli.common import console


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, first, notes, columns="80", what="train seed-1", unit="step"):
    """The states of a bar that starts at `first` of 25,000 units."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress().start(what, 25_000, unit) as bar:
        bar.advance(first)
        for note in notes:
            time.sleep(0.15)
            bar.advance(note=note)
        time.sleep(0.2)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return [line for line in re.split(r"[\r\n]+", text) if what in line]


def test_a_bar_of_eighty_columns_has_loss_speed_mfu_and_time_left(monkeypatch):
    lines = shown(monkeypatch, 0, 4 * ["loss 10.321 58.1k tok/s MFU 48%"])
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r"4/25000 \d+:\d\d:\d\d loss 10\.321 58\.1k tok/s MFU 48%", lines[-1])


def test_the_time_left_of_a_resumed_run_does_not_count_the_steps_before(monkeypatch):
    (hours, minutes) = re.search(r"(\d+):(\d\d):\d\d loss", shown(monkeypatch, 24_000, 4 * ["loss 2.0"])[-1]).groups()
    left = 60 * int(hours) + int(minutes)  # 996 steps of at least 0.15 s
    assert 2 <= left <= 30


def test_the_rate_of_branches_is_in_branches(monkeypatch):
    assert re.search(r" \S+ branches/s ", shown(monkeypatch, 0, 4 * [""], what="weights", unit="branch")[-1])


def test_without_a_terminal_there_is_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with console.progress().start("train seed-1", 10, "step") as bar:
        bar.advance(3, note="loss 2.0")
    assert sys.stderr.getvalue() == ""
