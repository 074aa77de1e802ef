"""Runs named by what tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seq2seq.comparison.finished import FinishedRun
from seq2seq.comparison.names import differing, named, spelled
from seq2seq.config import Config
from seq2seq.runs import RunFolder


def names(*options: dict[str, Any]) -> list[str]:
    runs = [
        FinishedRun(RunFolder(Path(f"runs/{'abc'[i]}")), Config.from_dict({"run": f"{i}", **one}), {})
        for i, one in enumerate(options)
    ]
    return named(runs)


def test_a_component_is_named_and_its_defaults_go_without_saying() -> None:
    """Bahdanau's attention stands before the RNN, Luong's after it: that is in the name already."""
    bahdanau, luong = {"attention": {"name": "bahdanau"}}, {"attention": {"name": "luong_general"}}
    assert names(bahdanau, luong) == ["attention=bahdanau", "attention=luong_general"]
    moved = {"attention": {"name": "luong_general", "attend": "before_rnn"}}
    assert names(bahdanau, moved) == ["attention=bahdanau", "attention=luong_general attention.attend=before_rnn"]
    sharp = [{"attention": {**one["attention"], "temperature": 0.5}} for one in (bahdanau, luong)]
    assert names(*sharp) == names(bahdanau, luong)


def test_an_option_that_differs_is_named_for_all_and_the_seed_last() -> None:
    found = names({"seed": 1}, {"seed": 2, "trainer": {"clip_norm": 0.5}}, {"seed": 2})
    assert found == ["clip_norm=1.0 seed=1", "clip_norm=0.5 seed=2", "clip_norm=1.0 seed=2"]


def test_a_key_is_as_short_as_it_can_be() -> None:
    found = names({"encoder": {"name": "lstm", "dropout": 0.1}}, {"encoder": {"name": "lstm", "dropout": 0.4}})
    assert found == ["encoder.dropout=0.1", "encoder.dropout=0.4"]  # the decoder has one too
    assert names({"data": {"train": "/x/raw/train"}}, {"data": {"train": "/x/tok/train"}}) == [
        "train=raw/train",
        "train=tok/train",
    ]


def test_the_machine_is_named_only_where_nothing_else_differs() -> None:
    assert names({"threads": 1}, {"threads": 2}) == ["threads=1", "threads=2"]
    assert names({"threads": 1, "seed": 1}, {"threads": 2, "seed": 2}) == ["seed=1", "seed=2"]


def test_where_options_do_not_tell_or_tell_too_much_the_folder_does() -> None:
    assert names({}) == ["a"]
    assert names({}, {}) == ["a", "b"]
    long = {"trainer": {"label_smoothing": 0.25, "max_minutes": 12.5, "max_updates": 12345}, "embedding_size": 1024}
    assert names({}, long) == ["a", "b"]
    assert "max_updates=12345" in spelled(differing([Config(), Config.from_dict(long)]))[1]


def test_what_has_no_effect_is_no_difference() -> None:
    assert differing([Config(), Config.from_dict({"run": "x", "trainer": {"log_every": 7}})]) == [{}, {}]
