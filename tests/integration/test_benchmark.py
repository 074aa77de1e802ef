"""benchmark.py: a trained model measured, and processes of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.scripts import Command, Done, Trained, script

from seq2seq.benchmark import training
from seq2seq.benchmark.objectives import OBJECTIVES
from seq2seq.config import Config
from seq2seq.training.objectives import Objective

QUICK = ["threads=1", "device=cpu", "precision=fp32", "benchmark.repeats=1", "benchmark.updates=1"]
QUICK += ["benchmark.warmup=0", "benchmark.sentences=3", "benchmark.matrix_size=16", "output=speed.json"]
FRESH = ["embedding_size=8", "benchmark.vocab_size=20", "trainer.batch_sentences=4"]


def rows(folder: Path) -> list[dict]:
    return json.loads((folder / "speed.json").read_text(encoding="utf-8"))["rows"]


def test_precisions_of_a_run_are_scored_on_its_test_set(
    command: Command, trained: Trained, model: str, here: Path
) -> None:
    beam = 3  # the run's own
    done = command("benchmark", "compare=precision", model, f"benchmark.beams=[{beam}]", *QUICK)
    assert done.code == 0, done.err
    found = {row["precision"]: row for row in rows(here)}
    assert {"fp32", "bf16"} <= found.keys()
    assert all(row["name"] == f"translation, beam {beam}" for row in found.values())
    test = trained.results["test"]["a"]
    assert found["fp32"]["bleu"] == pytest.approx(test["bleu"], abs=1e-3)
    assert found["fp32"]["changed"] == 0
    assert all(row["sentences"] == test["sentences"] == 15 for row in found.values())
    assert all(0 <= row["changed"] <= 15 for row in found.values())
    assert [path.name for path in here.iterdir()] == ["speed.json"]


def test_beams_of_a_run(command: Command, model: str, here: Path) -> None:
    words = ["benchmark.beams=[1,2]", "benchmark.lines=[4]", "search.beam_size=2", *QUICK]
    done = command("benchmark", "compare=beams", model, *words)
    assert done.code == 0, done.err
    assert [(row["beam"], row["sentences"]) for row in rows(here)] == [(1, 3), (2, 3), (2, 4)]


def test_workers_change_speed_alone(command: Command, model: str, here: Path) -> None:
    words = ["benchmark.beams=[2]", "benchmark.workers=2", "trainer.translate_batch=4"]
    done = command("benchmark", "compare=precision", model, *words, *QUICK)
    assert done.code == 0, done.err
    found = {(row["name"], row["precision"]): row for row in rows(here)}
    for name in ("fp32", "int8"):
        alone, spread = (found[f"translation, beam 2{more}", name] for more in ("", ", 2 workers"))
        assert (alone["bleu"], alone["changed"]) == (spread["bleu"], spread["changed"])


def test_searches_of_a_run(command: Command, model: str, here: Path) -> None:
    words = ["benchmark.beams=[3]", "benchmark.thresholds=[0.001,100]", "benchmark.shortlists=[1000]"]
    done = command("benchmark", "compare=search", model, *words, *QUICK)
    assert done.code == 0, done.err
    found = {row["name"]: row for row in rows(here)}
    more = ["", ", beam_threshold 0.001", ", beam_threshold 100"]
    assert [*found] == [f"beam 3{lists}{behind}" for lists in ("", ", shortlist 1000") for behind in more]
    assert found["beam 3"]["changed"] == found["beam 3, beam_threshold 100"]["changed"] == 0
    assert found["beam 3"]["bleu"] == found["beam 3, beam_threshold 100"]["bleu"]


def test_objectives_of_a_run(command: Command, model: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    build = training.build_objective

    def recorded(config: Config, *others: Any) -> Objective:
        trained.append(config.objective.name)
        return build(config, *others)

    monkeypatch.setattr(training, "build_objective", recorded)
    done = command("benchmark", "compare=objectives", model, "trainer.batch_sentences=2", *QUICK)
    assert done.code == 0, done.err
    found = rows(here)
    assert [row["name"] for row in found] == [*OBJECTIVES]
    assert trained == ["cross_entropy", "r_drop", "scheduled_sampling", "minimum_risk", "minimum_risk"]
    assert found[0]["times"] == 1
    for row in found:
        assert row["times"] == pytest.approx(row["milliseconds"]["median"] / found[0]["milliseconds"]["median"])


def test_a_run_without_a_test_set(command: Command, trained: Trained, here: Path) -> None:
    shutil.copytree(trained.run, here / "r")
    (here / "r" / "results.json").unlink()
    done = command("benchmark", "compare=beams", "run=r", *QUICK)
    message = "error: run=r was scored on no test set: set data.test=PREFIX to have text to translate\n"
    assert done == Done(1, "", message)


def test_what_a_comparison_needs_is_said_in_a_line(command: Command, here: Path) -> None:
    done = command("benchmark", "compare=latency")
    message = "error: compare=latency needs a trained model: set run=FOLDER, the folder that train.py left\n"
    assert done == Done(1, "", message)
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_latency(command: Command, model: str, here: Path) -> None:
    done = command("benchmark", "compare=latency", model, *QUICK)
    assert done.code == 0, done.err
    found = {row["name"]: row["milliseconds"]["median"] for row in rows(here)}
    shell = ["python -c 'import torch'", "translate.py --help", "translate.py, fp32"]
    assert list(found)[-3:] == [f"shell: {name}" for name in shell]
    assert "loaded model, fp32" in found
    assert min(found[f"shell: {name}"] for name in shell) > found["loaded model, fp32"] > 0


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(here: Path, model: str) -> None:
    """Of the script as a user runs it: once a trained model, once the lengths of fresh ones."""
    done = script("benchmark", model, *QUICK, cwd=here)
    assert done.code == 0, done.err
    (row,) = rows(here)
    assert 50e6 < row["peak_bytes"] < 2e9
    assert {"beam_1", "beam_5", "tokens_per_second", "share"} <= row.keys()
    done = script("benchmark", "compare=lengths", "benchmark.lengths=[2,60]", *QUICK, *FRESH, cwd=here)
    assert done.code == 0, done.err
    found = rows(here)
    assert [(row["source"], row["target"]) for row in found] == [(2, 60), (60, 60), (2 + 58, 2), (60, 60)]
    assert all(50e6 < row["peak_bytes"] < 2e9 for row in found)
    assert found[1]["kept_bytes"] > found[0]["kept_bytes"] > 0
