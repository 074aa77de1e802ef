"""evaluate.py: a model or a translation scored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.scripts import Command, Corpus, Done, Trained

from seq2seq.data.lines import read_lines


def test_a_model_is_scored_like_the_final_test(
    command: Command, trained: Trained, model: str, corpus: Corpus, here: Path
) -> None:
    source, reference = f"{corpus.tests['a']}.de", f"{corpus.tests['a']}.en"
    words = [model, f"source={source}", f"reference={reference}", "hypothesis=h, [y]", "output=o=,.json", "workers=2"]
    done = command("evaluate", *words)
    assert done.code == 0, done.err
    scores = json.loads((here / "o=,.json").read_text(encoding="utf-8"))
    test = trained.results["test"]["a"]
    same = ("bleu", "bleu_signature", "chrf", "chrf_signature", "exact_match", "sentences")
    assert {name: scores[name] for name in same} == {name: test[name] for name in same}
    assert {"ter", "ter_signature", "loss", "perplexity", "sentences_per_second"} <= scores.keys()
    assert scores["loss"] > 0
    assert f"{scores['bleu']:.2f}" in done.out
    assert all(scores[f"{name}_signature"] in done.out for name in ("bleu", "chrf", "ter"))
    assert read_lines(here / "h, [y]") == read_lines(trained.run / "translations" / "a.hypothesis")
    assert sorted(path.name for path in here.iterdir()) == ["h, [y]", "o=,.json"]


def test_a_translation_is_scored_without_a_model(command: Command, here: Path) -> None:
    (here / "h").write_text("the cat sat on the mat\na dog\n")
    (here / "r,1").write_text("the cat sat on the mat\na big dog\n")
    (here / "r2").write_text("one cat was on the mat\na dog\n")
    one = command("evaluate", "hypothesis=h", "reference=r,1", "output=one.json")
    two = command("evaluate", "hypothesis=h", "reference=['r,1',r2]", "output=two.json")
    assert (one.code, two.code) == (0, 0), one.err + two.err
    first, second = (json.loads((here / name).read_text()) for name in ("one.json", "two.json"))
    assert (first["exact_match"], second["exact_match"]) == (0.5, 1.0)
    assert second["bleu"] == pytest.approx(100.0)
    assert first["bleu"] < 100
    assert first["bleu_signature"].startswith("nrefs:1|")
    assert second["bleu_signature"].startswith("nrefs:2|")
    assert "loss" not in first


def test_the_metric_is_the_users_choice(command: Command, here: Path) -> None:
    (here / "h").write_text("The Cat sat on the mat .\n")
    (here / "r").write_text("the cat sat on the mat .\n")
    words = ["hypothesis=h", "reference=r", "output=o"]
    assert command("evaluate", *words, "metric.lowercase=true", "metric.tokenize=none").code == 0
    scores = json.loads((here / "o").read_text())
    assert scores["bleu"] == pytest.approx(100.0)
    assert "case:lc" in scores["bleu_signature"]
    assert "tok:none" in scores["bleu_signature"]
    bad = command("evaluate", *words, "metric.tokenize=13b")
    assert (bad.code, bad.out) == (1, "")
    assert bad.err.startswith("error: metric.tokenize=13b is not allowed: it must be one of 13a, none, intl, ")
    mistyped = command("evaluate", *words, "+metric.tokenise=13a")
    assert mistyped == Done(1, "", "error: unknown option metric.tokenise: did you mean metric.tokenize?\n")


def test_files_that_are_not_aligned_are_not_scored(command: Command, files: Path) -> None:
    done = command("evaluate", f"hypothesis={files}/uneven.de", f"reference={files}/uneven.en")
    message = f"error: {files}/uneven.de has 3 lines but {files}/uneven.en has 2; they must be aligned\n"
    assert done == Done(1, "", message)


def test_nothing_from_here_is_left_in_the_working_directory() -> None:
    left = {"outputs", "multirun", ".hydra"} & set(os.listdir())
    assert left == set()
