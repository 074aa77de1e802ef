"""A test set from all sides, on sentences small enough to count by hand."""

import base64

import pytest
import torch
from sacrebleu import sentence_bleu, sentence_chrf

from seq2seq.errors import ConfigError
from seq2seq.evaluation.metrics import sentence_scores
from seq2seq.evaluation.translated import Translated
from seq2seq.options import MetricConfig
from seq2seq.report.judged import Fault, fifths, judge
from seq2seq.report.maps import Map
from seq2seq.report.options import ReportConfig

TEST = Translated(
    "t",
    ["ein Hund", "ein Mann sitzt dort", "ja", "der rote  Ball rollt"],
    ["a dog", "a man sits there", "yes", "the red ball rolls"],
    ["a dog", "a man a man sits", "", "the ball"],
)


def options(**changes: object) -> ReportConfig:
    return ReportConfig.from_dict({"run": "r", "resamples": 10, **changes})


def look(sources: list[str], targets: list[str]) -> list[Map | None]:
    """Every target word looks at the source's first word alone."""
    maps: list[Map | None] = []
    for source, target in zip(sources, targets, strict=True):
        words = [*source.split(), "</s>"], [*target.split(), "</s>"]
        weights = torch.zeros(len(words[1]), len(words[0]))
        weights[:, 0] = 1
        maps.append(Map(*words, weights) if target else None)
    return maps


def test_every_sentence_has_its_own_scores() -> None:
    expected = [
        (sentence_bleu(said, [reference]).score, sentence_chrf(said, [reference]).score)
        for said, reference in zip(TEST.hypotheses, TEST.references, strict=True)
    ]
    own = sentence_scores(TEST.hypotheses, TEST.references, MetricConfig())
    assert [score for pair in own for score in pair] == pytest.approx([score for pair in expected for score in pair])
    assert own[0] == pytest.approx((100, 100))  # two words are no four-gram, and all that there is to say


def test_faults_and_marks_are_those_of_the_sentences() -> None:
    judged = judge(TEST, MetricConfig(), options(), look)
    first, second, third, fourth = judged.sentences
    assert judged.faults == [
        Fault("repeated", 1, 0, 4),  # a man a man
        Fault("short", 2, 0, 4),  # nothing for "yes", and two words for four
        Fault("overlooked", 2, 2, 3),  # a row of words after the first
    ]
    assert (second["x"], "x" in first, third["l"], fourth["l"]) == (["a man"], False, 1, 1)
    assert "d" not in first
    assert "m" not in first
    assert (second["d"].count("1"), second["m"]) == (2, "0001")
    assert (fourth["m"], "d" in fourth) == ("0101", False)
    assert (second["o"], fourth["o"], "o" in first) == ([1, 2, 3], [1, 2, 3], False)
    assert judged.maps == 3
    assert base64.b64decode(first["a"]) == bytes([255, 0, 0] * 3)
    assert fourth["s"] == ["der rote  Ball rollt", ["der", "rote", "Ball", "rollt"]]  # two spaces: its words apart


def test_maps_are_of_as_many_sentences_as_asked_for_or_of_none() -> None:
    assert judge(TEST, MetricConfig(), options(sentences=2), look).maps <= 2
    without = judge(TEST, MetricConfig(), options(), None)
    assert without.maps == 0
    assert [fault.name for fault in without.faults] == ["repeated", "short"]


def test_groups_of_lengths_hold_every_sentence_once() -> None:
    for edges in (None, [2, 4], [50]):
        groups = judge(TEST, MetricConfig(), options(lengths=edges), None).groups
        assert sum(group.sentences for group in groups) == 4
    groups = judge(TEST, MetricConfig(), options(lengths=[2, 4]), None).groups
    assert [(group.name, group.sentences) for group in groups] == [("1-1", 1), ("2-3", 1), ("4+", 2)]
    assert fifths(range(1, 101)) == [21, 41, 61, 81]
    assert fifths([3] * 50) == []


def test_resampling_that_needs_too_much_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"resamples=100000 of 2,000 sentences .* set resamples=\d+$"):
        judge(Translated("t", *[["x"] * 2000] * 3), MetricConfig(), options(resamples=100_000), None)
