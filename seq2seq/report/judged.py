"""A test set looked at from all sides: its scores, its faults, and every sentence as the page shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from seq2seq.evaluation.metrics import bleu_by_length, check_memory, score_texts, sentence_scores
from seq2seq.evaluation.translated import Translated
from seq2seq.options import MetricConfig
from seq2seq.report.faults import is_short, repetitions, unseen
from seq2seq.report.options import ReportConfig
from seq2seq.report.sentences import bare, differing, regrouped, spread, words_of

if TYPE_CHECKING:
    from seq2seq.report.maps import Map

MOST_CELLS = 10_000  # of a map that goes into the page: a hundred words by a hundred
GROUPS = 5  # of sentences by length, where no others were asked for

Look = Callable[[Sequence[str], Sequence[str]], "list[Map | None]"]  # sources and targets to where the model looked


class Group(NamedTuple):
    """The sentences of some source lengths, and their BLEU; None where there are none."""

    name: str
    sentences: int
    bleu: float | None


class Fault(NamedTuple):
    """How many translations have it, how many references have it measured against these, and of how many."""

    name: str
    hypotheses: int
    references: int
    of: int


class Judged(NamedTuple):
    """A test set's part of the report; `sentences` is what the page's script reads."""

    name: str
    scores: dict[str, Any]
    groups: list[Group]
    faults: list[Fault]
    sentences: list[dict[str, Any]]

    @property
    def maps(self) -> int:
        """Sentences whose attention is in the page."""
        return sum("a" in sentence for sentence in self.sentences)


def judge(test: Translated, metric: MetricConfig, options: ReportConfig, look: Look | None) -> Judged:
    """All that the report says of a test set; without `look`, nothing of attention."""
    check_memory(len(test.sources), options.resamples)
    scores = score_texts(test.hypotheses, [test.references], metric, ter=True, resamples=options.resamples)
    alone = sentence_scores(test.hypotheses, test.references, metric)
    shown = spread([chrf for _, chrf in alone], options.sentences) if look else []
    maps = _maps(look, test.sources, test.hypotheses, shown)
    of_references = _maps(look, test.sources, test.references, shown)
    sentences = [_sentence(i, test, alone[i], maps.get(i)) for i in range(len(test.sources))]
    faults = _said_and_left_out(test, sentences)
    if maps:
        faults.append(Fault("overlooked", _overlooking(maps), _overlooking(of_references), len(maps)))
    return Judged(test.name, scores, _groups(test, metric, options.lengths), faults, sentences)


def fifths(lengths: Sequence[int]) -> list[int]:
    """Source words at which GROUPS groups of sentences begin that are as nearly the same in number as can be."""
    ordered = sorted(lengths)
    edges = {ordered[len(ordered) * k // GROUPS] for k in range(1, GROUPS)}
    return sorted(edge for edge in edges if edge > max(1, ordered[0]))


def _groups(test: Translated, metric: MetricConfig, edges: Sequence[int] | None) -> list[Group]:
    lengths = [len(line.split()) for line in test.sources]
    edges = fifths(lengths) if edges is None else edges
    by_length = bleu_by_length(test.sources, test.hypotheses, test.references, edges, metric)
    limits = pairwise([0, *edges, max(*lengths, *edges, 0) + 1])
    counts = [sum(first <= length < end for length in lengths) for first, end in limits]
    return [Group(name, count, bleu) for (name, bleu), count in zip(by_length.items(), counts, strict=True)]


def _maps(look: Look | None, sources: list[str], targets: list[str], places: list[int]) -> dict[int, Map]:
    """The maps that there are of the sentences at these places."""
    if look is None:
        return {}
    found = look([sources[i] for i in places], [targets[i] for i in places])
    return {i: seen for i, seen in zip(places, found, strict=True) if seen is not None}


def _said_and_left_out(test: Translated, sentences: list[dict[str, Any]]) -> list[Fault]:
    """The faults that texts alone show; they are noted in `sentences` too."""
    sides = [[bare(words_of(line)) for line in side] for side in (test.sources, test.references, test.hypotheses)]
    of_sources, of_references = (sum(map(len, side)) for side in sides[:2])
    ratio = of_references / max(of_sources, 1)
    repeating = shorter = 0  # references
    for sentence, source, reference, hypothesis in zip(sentences, *sides, strict=True):
        expected = ratio * len(source)
        if again := repetitions(hypothesis, reference, source):
            sentence["x"] = again
        if is_short(len(hypothesis), len(reference), expected):
            sentence["l"] = 1
        repeating += bool(repetitions(reference, hypothesis, source))
        shorter += is_short(len(reference), len(hypothesis), expected)
    return [
        Fault("repeated", sum("x" in sentence for sentence in sentences), repeating, len(sentences)),
        Fault("short", sum("l" in sentence for sentence in sentences), shorter, len(sentences)),
    ]


def _overlooking(maps: Mapping[int, Map]) -> int:
    return sum(bool(unseen(seen.seen, seen.source)) for seen in maps.values())


def _sentence(i: int, test: Translated, scores: tuple[float, float], seen: Map | None) -> dict[str, Any]:
    """What the page knows of a sentence, under letters that don't make it larger; what is empty is left out.

    n its number; s, h, r source, hypothesis, reference; b, c BLEU and chrF; d, m the words of hypothesis and reference
    that differ, as 0 and 1; a the attention, packed; o the places of source words that were overlooked; x what is said
    again; l 1 where it is short.
    """
    source, hypothesis, reference = test.sources[i], test.hypotheses[i], test.references[i]
    bleu, chrf = scores
    words, references = words_of(hypothesis), words_of(reference)
    differs, missing = differing(words, references)
    heard, said = source.split(), words
    sentence: dict[str, Any] = {"n": i + 1, "b": round(bleu, 1), "c": round(chrf, 1)}
    if seen is not None and seen.weights.numel() <= MOST_CELLS:
        heard, said = _as_written(seen.source[:-1], source), _as_written(seen.target[:-1], hypothesis)
        sentence["a"] = seen.packed()
        if overlooked := unseen(seen.seen, seen.source):
            sentence["o"] = overlooked
    sides = {"s": _side(source, heard), "h": _side(hypothesis, said), "r": _side(reference, references)}
    marks = {"d": regrouped(differs, words, said), "m": missing}
    return sentence | sides | {key: "".join("01"[mark] for mark in of) for key, of in marks.items() if any(of)}


def _as_written(words: list[str], text: str) -> list[str]:
    """The words of an attention map as they stand in the text: its tokenizer may not know them all."""
    written = text.split()
    return written if len(written) == len(words) else words


def _side(text: str, words: list[str]) -> str | list[Any]:
    """Text alone where a space stands between its words and nowhere else; or [text, words]."""
    return text if " ".join(words) == text else [text, words]
