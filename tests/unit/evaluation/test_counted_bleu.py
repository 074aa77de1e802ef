"""BLEU from counts that are remembered, against sacreBLEU's of the whole corpus."""

import logging
import random

import pytest

from seq2seq.evaluation.metrics import CountedBleu, corpus_bleu
from seq2seq.options import MetricConfig

WORDS = ["a", "b", "The", "dog,", "dog", ".", "runs", "ä"]


def lines(chance, count, longest):
    return [" ".join(chance.choices(WORDS, k=chance.randrange(longest + 1))) for _ in range(count)]


@pytest.mark.parametrize("options", [MetricConfig(), MetricConfig("none", True), MetricConfig("char")], ids=str)
@pytest.mark.parametrize("longest", [1, 6, 12])
def test_it_is_the_bleu_of_the_corpus(options, longest, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("sacrebleu"), "propagate", True)
    chance = random.Random(longest)
    references = lines(chance, 20, longest)
    counted = CountedBleu(references, options)
    found = set()
    translations = lines(chance, 20, longest)
    for _ in range(30):  # most lines are those of the time before
        translations = [chance.choice([line, line, line, other]) for line, other in zip(
            translations, [*lines(chance, 10, longest), *references[10:]], strict=True
        )]  # fmt: skip
        found.add(score := counted.score(translations))
        assert score == pytest.approx(corpus_bleu(translations, references, options), abs=1e-9)
    assert longest == 1 or len(found) > 3  # without n-grams of 4 it is 0
    assert not caplog.records  # sacreBLEU warns of sentence scores


def test_of_nothing_right_and_of_nothing():
    counted = CountedBleu(["a b c d", "b"], MetricConfig("none"))
    assert counted.score(["x y", "z"]) == counted.score(["", ""]) == 0.0
    assert counted.score(["a b c d", "b"]) == pytest.approx(100.0)


def test_a_line_is_counted_once(monkeypatch):
    counted = CountedBleu(["a b c d e", "b c d e f"], MetricConfig("none"))
    asked = []
    count = counted._by_sentence.sentence_score
    monkeypatch.setattr(counted._by_sentence, "sentence_score", lambda *rest: asked.append(rest[0]) or count(*rest))
    for _ in range(3):
        counted.score(["a b c d e", "x"])
    counted.score(["a b c d e", "a b c d e"])  # the same line elsewhere has another reference
    assert asked == ["a b c d e", "x", "a b c d e"]
