"""What metrics.jsonl tells, at the right place of the axis."""

import json
import math

import pytest

pytest.importorskip("matplotlib", reason="the extra plot isn't installed")

from seq2seq.config import Config
from seq2seq.errors import ConfigError, DataError
from seq2seq.plotting.history import History
from seq2seq.runs import RunFolder

LINES = [
    {"kind": "train", "update": 50, "epoch": 0.5, "loss": 9.0, "perplexity": math.e**2, "gradient_norm": None},
    {"kind": "train", "update": 100, "epoch": 1.0, "loss": 8.0, "perplexity": math.e, "gradient_norm": 2.5},
    {"kind": "valid", "update": 100, "epoch": 1.0, "loss": 1.5, "bleu": 20.0, "seconds": 120.0},
    {"kind": "valid", "update": 200, "epoch": 2.0, "loss": 1.2, "bleu": 19.0, "seconds": 360.0},
    {"kind": "train", "update": 250, "epoch": 2.5, "loss": 7.0, "perplexity": 1.0, "gradient_norm": 1.5},
]


@pytest.fixture
def run(tmp_path):
    def made(lines, torn="", **trainer):
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir()
        folder.write_config(Config.from_dict({"trainer": trainer}))
        folder.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + torn)
        return folder.path

    return made


def test_curves_hold_the_numbers_of_the_lines(run):
    course = History.read(run(LINES, torn='{"kind": "train", "upd')).course("it", "updates")
    assert course.train["loss"].x == [50, 100, 250]
    assert course.train["loss"].y == pytest.approx([2.0, 1.0, 0.0])  # by the perplexity, which nothing smoothes
    assert math.isnan(course.train["gradient_norm"].y[0])
    assert course.train["gradient_norm"].y[1:] == [2.5, 1.5]
    assert course.valid["bleu"] == ([100, 200], [20.0, 19.0])
    assert course.name == "it"


@pytest.mark.parametrize(("measure", "best"), [("bleu", 100), ("loss", 200), ("perplexity", None)])
def test_the_best_is_what_the_training_took_for_it(run, measure, best):
    assert History.read(run(LINES, best=measure)).course("it", "updates").best == best


def test_epochs(run):
    course = History.read(run(LINES)).course("it", "epochs")
    assert (course.train["loss"].x, course.valid["loss"].x, course.best) == ([0.5, 1.0, 2.5], [1.0, 2.0], 1.0)


def test_minutes_pass_evenly_between_validations_and_after_the_last(run):
    """2 minutes for the first hundred updates, 4 for the second: 1, 2 and 6 + 2 minutes."""
    course = History.read(run(LINES)).course("it", "minutes")
    assert course.train["loss"].x == pytest.approx([1.0, 2.0, 8.0])
    assert course.valid["loss"].x == pytest.approx([2.0, 6.0])
    assert course.best == pytest.approx(2.0)


def test_minutes_need_a_validation(run):
    with pytest.raises(ConfigError, match=r"x=minutes: .* was never validated"):
        History.read(run(LINES[:2])).course("it", "minutes")


def test_a_run_without_lines_is_told(run):
    with pytest.raises(DataError, match=r"metrics\.jsonl has no line yet"):
        History.read(run([]))


def test_lines_that_are_none_are_left_out(run):
    path = run([1, {"kind": "train"}, {"kind": "train", "update": True}, {"kind": "x", "update": 10**400}, LINES[0]])
    history = History.read(path)
    assert [line["update"] for line in history.train] == [50]
