"""Metrics go to metrics.jsonl always, and to TensorBoard where it is installed."""

import json

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
