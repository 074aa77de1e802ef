"""Log lines and bars: what a terminal, a pipe and train.log get."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2seq import progress
from seq2seq.progress import LOGGER, LogFile, Progress, log_to_terminal


@pytest.fixture(autouse=True)
def _untouched_logger() -> Iterator[None]:
    handlers, level, propagate = list(LOGGER.handlers), LOGGER.level, LOGGER.propagate
    LOGGER.handlers = []
    yield
    LOGGER.handlers, LOGGER.propagate = handlers, propagate
    LOGGER.setLevel(level)


def test_lines_go_to_stderr_once_and_warnings_say_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_terminal()
    log_to_terminal()
    LOGGER.info("all is well")
    LOGGER.warning("line %d is odd", 3)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "all is well\nwarning: line 3 is odd\n")


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_terminal()
    with Progress("train", 10, "updates", every=0.0) as bar:
        bar.update(4)
        bar.update(2)
        bar.say("six done", "brief")
    assert bar.done == 6
    assert capsys.readouterr().err == "six done\n"


def test_on_a_terminal_lines_go_to_the_file_and_their_gist_behind_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    log_to_terminal()
    with LogFile() as log, Progress("train", 10, "updates", every=0.0) as bar:
        log.write_to(tmp_path / "train.log")
        bar.update(4)
        bar.say("the whole line", "the gist")
    err = capsys.readouterr().err
    assert "the whole line" not in err
    assert "the gist" in err
    assert "4/10" in err
    assert "the whole line" in (tmp_path / "train.log").read_text()


def test_a_bar_that_is_not_wanted_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    with Progress("translate", 10, "lines", every=1.0, shown=False) as bar:
        bar.update(5)
    assert capsys.readouterr().err == ""


def test_a_line_is_due_after_its_time_and_then_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Progress("train", None, "updates", every=10.0) as bar:
        assert not bar.due
        now = 110.0
        assert bar.due
        bar.say("line")
        assert not bar.due


def test_the_file_gets_what_came_before_it_was_known(tmp_path: Path) -> None:
    file, handlers = tmp_path / "train.log", list(LOGGER.handlers)
    with LogFile() as log:
        LOGGER.info("before, with ü")
        log.write_to(file)
        LOGGER.warning("after")
    LOGGER.info("too late")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "INFO before, with ü",
        "WARNING after",
    ]
    assert LOGGER.handlers == handlers


def test_without_a_file_nothing_is_written_and_nothing_stays_behind(capsys: pytest.CaptureFixture[str]) -> None:
    LOGGER.addHandler(logging.NullHandler())  # else logging itself would show warnings
    handlers = list(LOGGER.handlers)
    with LogFile():
        LOGGER.info("a run that fails before it has a folder")
    assert LOGGER.handlers == handlers
    assert capsys.readouterr().err == ""
