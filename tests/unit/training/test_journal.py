"""Metrics go to metrics.jsonl always, and to TensorBoard where it is installed."""

import json
import logging
import math

import pytest

from seq2seq.runs import RunFolder
from seq2seq.training import journal


def test_every_report_is_a_line_of_json(tmp_path, monkeypatch):
    monkeypatch.setattr(journal.importlib.util, "find_spec", lambda name: None)  # as where the extra is missing
    folder = RunFolder(tmp_path)
    kept = journal.Journal(folder)
    kept.write("train", 5, 0.5, {"loss": 1.25})
    kept.write("valid", 6, 1.0, {"bleu": 30.0})
    kept.close()
    assert [json.loads(line) for line in folder.metrics.read_text().splitlines()] == [
        {"kind": "train", "update": 5, "epoch": 0.5, "loss": 1.25},
        {"kind": "valid", "update": 6, "epoch": 1.0, "bleu": 30.0},
    ]
    assert not folder.tensorboard.exists()


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard isn't installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path)
    kept = journal.Journal(folder)
    kept.write("train", 5, 0.5, {"loss": 1.25})
    kept.write("train", 7, 0.7, {"loss": 1.0})
    kept.close()
    events = EventAccumulator(str(folder.tensorboard)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(5, 1.25), (7, 1.0)]


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setattr(journal.importlib.util, "find_spec", lambda name: None)


def updates(folder):
    return [json.loads(line)["update"] for line in folder.metrics.read_text().splitlines()]


def test_what_is_no_number_is_null(tmp_path, plain):
    """JSON has no NaN, and readers in other languages take none."""
    folder = RunFolder(tmp_path)
    journal.Journal(folder).write("train", 1, 0.1, {"a": None, "b": math.nan, "c": -math.inf, "d": 0.0})
    line = json.loads(folder.metrics.read_text(), parse_constant=pytest.fail)
    assert line == {"kind": "train", "update": 1, "epoch": 0.1, "a": None, "b": None, "c": None, "d": 0.0}


def test_a_training_that_starts_has_no_lines(tmp_path, plain):
    folder = RunFolder(tmp_path)
    kept = journal.Journal(folder)
    assert kept.position() == 0
    kept.write("train", 1, 0.1, {"loss": 1.0})
    assert kept.position() == folder.metrics.stat().st_size > 0
    assert journal.Journal(folder).position() == 0


@pytest.mark.parametrize("torn", ["", '{"kind": "tra'])
def test_lines_of_updates_that_will_be_done_again_are_cut_off(tmp_path, plain, torn):
    folder = RunFolder(tmp_path)
    kept = journal.Journal(folder)
    kept.write("train", 2, 0.1, {"loss": 1.0})
    position = kept.position()
    kept.write("train", 4, 0.2, {"loss": 1.0})
    with folder.metrics.open("a") as file:
        file.write(torn)  # of a line that a kill broke off
    again = journal.Journal(folder, position, 2)
    assert updates(folder) == [2]
    again.write("train", 4, 0.2, {"loss": 1.0})
    assert updates(folder) == [2, 4]


def test_lines_that_are_missing_are_told(tmp_path, plain, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    folder = RunFolder(tmp_path)
    journal.Journal(folder, 100, 2).write("train", 3, 0.2, {"loss": 1.0})
    assert caplog.messages == [
        f"{folder.metrics} has 0 bytes, but had 100 when the checkpoint was saved: lines are missing"
    ]
    assert updates(folder) == [3]


def test_tensorboard_forgets_what_will_be_done_again(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard isn't installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path)
    kept = journal.Journal(folder)
    kept.write("train", 2, 0.2, {"loss": 3.0})
    position = kept.position()
    kept.write("train", 4, 0.4, {"loss": 2.0})
    kept.close()
    again = journal.Journal(folder, position, 2)
    again.write("train", 4, 0.4, {"loss": 1.0})
    again.close()
    events = EventAccumulator(str(folder.tensorboard)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(2, 3.0), (4, 1.0)]
