"""Reports go to metrics.jsonl always, and to whatever else is given; a resumed training's go on where they were."""

import json
import logging
import math

import pytest

from seq2seq.options import TrainerConfig
from seq2seq.runs import RunFolder
from seq2seq.training import tensorboard
from seq2seq.training.journal import Journal, Lines

ALONE = TrainerConfig(tensorboard=False)


class Heard:
    """A writer that remembers what it was told."""

    samples = 2

    def __init__(self):
        self.told = []

    def write(self, kind, update, epoch, numbers):
        self.told.append((kind, update, epoch, dict(numbers)))

    def show(self, update, samples):
        self.told.append((update, list(samples)))

    def close(self):
        self.told.append("closed")


def updates(folder):
    return [json.loads(line)["update"] for line in folder.metrics.read_text().splitlines()]


def test_every_report_is_a_line_of_json(tmp_path):
    folder = RunFolder(tmp_path)
    kept = Journal.open(folder, ALONE)
    kept.write("train", 5, 0.5, {"loss": 1.25})
    kept.write("valid", 6, 1.0, {"bleu": 30.0})
    kept.show(6, [])
    kept.close()
    assert [json.loads(line) for line in folder.metrics.read_text().splitlines()] == [
        {"kind": "train", "update": 5, "epoch": 0.5, "loss": 1.25},
        {"kind": "valid", "update": 6, "epoch": 1.0, "bleu": 30.0},
    ]
    assert kept.samples == 0
    assert not folder.tensorboard.exists()


def test_every_writer_gets_all_reports(tmp_path):
    heard = Heard()
    journal = Journal(Lines(tmp_path / "metrics.jsonl"), heard)
    assert journal.samples == 2
    journal.write("train", 3, 0.3, {"loss": math.nan, "skipped": 0})
    journal.show(3, ["a", "b"])
    journal.close()
    assert heard.told == [("train", 3, 0.3, {"loss": None, "skipped": 0}), (3, ["a", "b"]), "closed"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_what_is_no_number_is_null(tmp_path):
    """JSON has no NaN, and readers in other languages take none."""
    folder = RunFolder(tmp_path)
    Journal.open(folder, ALONE).write("train", 1, 0.1, {"a": None, "b": math.nan, "c": -math.inf, "d": 0.0})
    line = json.loads(folder.metrics.read_text(), parse_constant=pytest.fail)
    assert line == {"kind": "train", "update": 1, "epoch": 0.1, "a": None, "b": None, "c": None, "d": 0.0}


def test_a_training_that_starts_has_no_lines(tmp_path):
    folder = RunFolder(tmp_path)
    kept = Journal.open(folder, ALONE)
    assert kept.position() == 0
    kept.write("train", 1, 0.1, {"loss": 1.0})
    assert kept.position() == folder.metrics.stat().st_size > 0
    assert Journal.open(folder, ALONE).position() == 0


@pytest.mark.parametrize("torn", ["", '{"kind": "tra'])
def test_lines_of_updates_that_will_be_done_again_are_cut_off(tmp_path, torn):
    folder = RunFolder(tmp_path)
    kept = Journal.open(folder, ALONE)
    kept.write("train", 2, 0.1, {"loss": 1.0})
    position = kept.position()
    kept.write("train", 4, 0.2, {"loss": 1.0})
    with folder.metrics.open("a") as file:
        file.write(torn)  # of a line that a kill broke off
    again = Journal.open(folder, ALONE, position, 2)
    assert updates(folder) == [2]
    again.write("train", 4, 0.2, {"loss": 1.0})
    assert updates(folder) == [2, 4]


def test_lines_that_are_missing_are_told(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    folder = RunFolder(tmp_path)
    Journal.open(folder, ALONE, 100, 2).write("train", 3, 0.2, {"loss": 1.0})
    assert caplog.messages == [
        f"{folder.metrics} has 0 bytes, but had 100 when the checkpoint was saved: lines are missing"
    ]
    assert updates(folder) == [3]


def test_without_tensorboard_auto_writes_the_lines_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)  # as where the extra is missing
    folder = RunFolder(tmp_path)
    journal = Journal.open(folder, TrainerConfig())
    journal.write("train", 1, 0.1, {"loss": 1.0})
    assert (journal.samples, updates(folder)) == (0, [1])
    assert not folder.tensorboard.exists()
