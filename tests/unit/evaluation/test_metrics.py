"""Scores, their intervals and paired tests, beside ones computed here from the formulas."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from itertools import product

import pytest

from seq2seq.errors import ConfigError
from seq2seq.evaluation.metrics import bleu_by_length, check_memory, paired_p, score_texts, with_changes
from seq2seq.options import MetricConfig

PLAIN = MetricConfig(tokenize="none")
Counts = tuple[int, ...]  # of a sentence: hypothesis' and reference's words, n-grams that match, n-grams; n from 1 to 4


def ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def counts(hypothesis: str, reference: str) -> Counts:
    h, r = hypothesis.split(), reference.split()
    matches = [sum((ngrams(h, n) & ngrams(r, n)).values()) for n in range(1, 5)]
    return (len(h), len(r), *matches, *(max(0, len(h) - n + 1) for n in range(1, 5)))


def bleu(sentences: Sequence[Counts]) -> float:
    """Papineni et al. (2002): the geometric mean of clipped precisions, and the brevity penalty."""
    h, r, *rest = (sum(column) for column in zip(*sentences, strict=True))
    precisions = [match / total for match, total in zip(rest[:4], rest[4:], strict=True)]
    return 100 * min(1.0, math.exp(1 - r / h)) * math.exp(sum(map(math.log, precisions)) / 4)


def spoilt(lines: Sequence[str], share: float, seed: int) -> list[str]:
    """The lines with about this share of their words replaced."""
    generator = random.Random(seed)
    return [" ".join("x" if generator.random() < share else word for word in line.split()) for line in lines]


@pytest.fixture(scope="module")
def references() -> list[str]:
    generator = random.Random(1)
    words = [f"w{i}" for i in range(50)]
    return [" ".join(generator.choices(words, k=generator.randint(4, 20))) for _ in range(80)]


def test_an_interval_is_that_of_resampled_sentences(references: list[str]) -> None:
    hypotheses = [line if i % 3 else spoilt([line], 0.7, i)[0] for i, line in enumerate(references)]
    scores = score_texts(hypotheses, [references], PLAIN, ter=True, resamples=1000)
    sentences = [counts(h, r) for h, r in zip(hypotheses, references, strict=True)]
    assert scores["bleu"] == pytest.approx(bleu(sentences), abs=1e-3)
    generator = random.Random(2)
    resampled = sorted(bleu(generator.choices(sentences, k=len(sentences))) for _ in range(1000))
    half = (resampled[974] - resampled[25]) / 2
    assert 3 < half < 30
    assert scores["bleu_interval"] == pytest.approx(half, rel=0.12)  # some three standard errors of such a quantile
    assert all(scores[f"{name}_interval"] > 0 for name in ("chrf", "ter"))
    assert "|bs:1000|seed:12345|" in scores["bleu_signature"]
    assert "bleu_interval" not in score_texts(hypotheses, [references], PLAIN)


def test_intervals_narrow_with_the_root_of_the_number_of_sentences(references: list[str]) -> None:
    hypotheses = [line if i % 3 else spoilt([line], 0.7, i)[0] for i, line in enumerate(references)]
    one = score_texts(hypotheses, [references], PLAIN, resamples=400)["bleu_interval"]
    four = score_texts(hypotheses * 4, [references * 4], PLAIN, resamples=400)["bleu_interval"]
    assert one / four == pytest.approx(2, rel=0.25)


def test_the_seed_is_ours_and_the_environment_stays_as_it_was(
    references: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hypotheses = spoilt(references, 0.3, 1)

    def interval(seed: int) -> float:
        return float(score_texts(hypotheses, [references], PLAIN, resamples=100, seed=seed)["bleu_interval"])

    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    first = interval(7)
    assert "SACREBLEU_SEED" not in os.environ
    monkeypatch.setenv("SACREBLEU_SEED", "none")  # sacreBLEU's word for another seed each time
    assert interval(7) == first
    assert os.environ["SACREBLEU_SEED"] == "none"
    assert interval(8) != first
    with pytest.raises(ConfigError):
        score_texts(hypotheses, [references], MetricConfig(tokenize="ja-mecab"), resamples=100)
    assert os.environ["SACREBLEU_SEED"] == "none"


@pytest.mark.parametrize("test", ["ar", "bs"])
def test_equal_translations_do_not_differ_and_unequal_ones_do(references: list[str], test: str) -> None:
    good, bad = spoilt(references, 0.1, 1), spoilt(references, 0.5, 2)

    def p(one: list[str], other: list[str]) -> dict[str, float]:
        return paired_p(one, other, [references], PLAIN, test, samples=300)  # type: ignore[arg-type]

    assert p(good, list(good)) == {"bleu": 1, "chrf": 1, "ter": 1}
    assert max(p(good, bad).values()) < 0.01
    assert max(p(bad, good).values()) < 0.01
    assert min(p(good, spoilt(references, 0.1, 3)).values()) > 0.05  # as good, and other words
    assert p(good, [bad[0], *good[1:]]) == {"bleu": 1, "chrf": 1, "ter": 1}  # a sentence shows nothing
    assert min(p(good, [*bad[:3], *good[3:]]).values()) >= 0.25  # 2 of the 2^3 ways to exchange three are as far apart


def test_p_of_randomisation_is_the_share_of_exchanges_that_differ_as_much(references: list[str]) -> None:
    """By the definition: all 1,024 ways to exchange the ten sentences in which they may differ."""
    references = references[:14]
    one = spoilt(references, 0.2, 1)
    other = [*spoilt(references, 0.2, 3)[:10], *one[10:]]
    stats = [[counts(h, r) for h, r in zip(lines, references, strict=True)] for lines in (one, other)]
    observed = abs(bleu(stats[0]) - bleu(stats[1]))
    as_far = 0
    for exchanged in product([False, True], repeat=10):
        swaps = [*exchanged, *[False] * 4]
        first = [stats[swap][i] for i, swap in enumerate(swaps)]
        second = [stats[not swap][i] for i, swap in enumerate(swaps)]
        as_far += abs(bleu(first) - bleu(second)) >= observed - 1e-9
    exact = as_far / 1024
    assert 0.05 < exact < 0.95
    found = paired_p(one, other, [references], PLAIN, "ar", samples=4000)["bleu"]
    assert found == pytest.approx(exact, abs=0.03)


def edited(references: list[str], one: int, other: int, both: int) -> tuple[list[str], list[str]]:
    """Two systems that have a word wrong in so many sentences: one alone, the other alone, and both, another word."""
    wrong = [line.replace("c", "x", 1) for line in references]
    changed = [line.replace("c", "y", 1) for line in references]
    first = [*wrong[:one], *references[one : one + other], *wrong[one + other : one + other + both]]
    second = [*references[:one], *changed[one : one + other + both]]
    rest = references[one + other + both :]
    return [*first, *rest], [*second, *rest]


@pytest.mark.parametrize(("one", "other", "both"), [(2, 0, 10), (10, 4, 0), (9, 2, 5)])
def test_exchanges_that_tie_are_as_far_apart(one: int, other: int, both: int) -> None:
    """All edits weigh the same here, so that the p of TER is that of a coin thrown for each sentence."""
    references = [f"a{i} b{i} c{i} d{i} e{i} f{i} g{i}" for i in range(20)]
    signs = product([-1, 1], repeat=one + other)
    exact = sum(abs(sum(thrown)) >= one - other for thrown in signs) / 2 ** (one + other)
    found = paired_p(*edited(references, one, other, both), [references], PLAIN, "ar", samples=4000)
    assert found == pytest.approx(dict.fromkeys(found, exact), abs=0.03)


def test_p_of_randomisation_does_not_depend_on_what_is_handled_together(
    references: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    systems = spoilt(references, 0.2, 1), spoilt(references, 0.2, 2)
    whole = paired_p(*systems, [references], PLAIN, "ar", samples=300)
    monkeypatch.setattr("seq2seq.evaluation.metrics.CELLS", 1)
    assert paired_p(*systems, [references], PLAIN, "ar", samples=300) == whole
    assert 0.02 < whole["bleu"] < 0.98


def test_what_would_take_too_much_memory_is_refused() -> None:
    check_memory(10_000, 1000)
    with pytest.raises(ConfigError, match=r"resamples=100000 of 1,000 sentences need 6\.7 GiB of memory; set "):
        check_memory(1000, 100_000)


def test_without_edges_all_lengths_are_one_group() -> None:
    assert bleu_by_length(["a b", ""], ["x", "y"], ["x", "z"], [], PLAIN).keys() == {"1+"}


def test_what_is_null_changes_no_metric() -> None:
    lower = MetricConfig(lowercase=True)
    assert with_changes(lower, {"tokenize": None, "lowercase": None}) == lower
    assert with_changes(lower, {"tokenize": "none", "lowercase": False}) == MetricConfig(tokenize="none")
    with pytest.raises(ConfigError, match=r"unknown option metric\.tokenise: did you mean metric\.tokenize\?"):
        with_changes(lower, {"tokenise": "none"})
