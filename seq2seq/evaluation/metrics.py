"""sacreBLEU's metrics, each with its signature, intervals and paired tests; the only place that knows sacreBLEU."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from seq2seq.config import checked
from seq2seq.errors import ConfigError, DataError
from seq2seq.options import MetricConfig

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

SEED = 12345  # of resampling: sacreBLEU's own
MOST_BYTES = 4 * 2**30  # that resampling may take
CELLS = 2**22  # sentences times samples of randomisation that are handled together
Systems = tuple[Sequence[str], Sequence[str]]  # the translations of a baseline, and of what is compared with it


def score_texts(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    options: MetricConfig,
    *,
    ter: bool = False,
    resamples: int = 0,
    seed: int = SEED,
) -> dict[str, Any]:
    """BLEU and chrF (0 to 100) with signatures, exact match (0 to 1), and TER where asked for.

    With `resamples`, each has an interval too: half of the central 95 % of the scores of that many bootstrap resamples
    of the sentences (Koehn 2004), to be written as `bleu` ± `bleu_interval`.

    Args:
        hypotheses: one line a sentence.
        references: one or several translations of the whole set.

    Raises:
        DataError: nothing to score, or sides of unequal length.
        ConfigError: `metric.tokenize` needs a package that isn't installed.
    """
    if not hypotheses:
        raise DataError("there are no lines to score")
    for reference in references:
        if len(reference) != len(hypotheses):
            raise DataError(f"{len(hypotheses):,} hypotheses can't be scored against {len(reference):,} references")
    scores: dict[str, Any] = {}
    for name, metric in _metrics(options, ter).items():
        with _seeded(seed):
            score = metric.corpus_score(list(hypotheses), [list(r) for r in references], n_bootstrap=resamples)
        scores[name] = round(float(score.score), 4)
        if resamples:
            scores[f"{name}_interval"] = round(float(score._ci), 4)
        scores[f"{name}_signature"] = str(metric.get_signature())
    scores["exact_match"] = round(exact_match(hypotheses, references), 6)
    scores["sentences"] = len(hypotheses)
    return scores


def paired_p(
    baseline: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    options: MetricConfig,
    test: Literal["ar", "bs"],
    samples: int,
    seed: int = SEED,
) -> dict[str, float]:
    """p of the difference in BLEU, chrF and TER, from so many samples.

    `ar`: two-sided approximate randomisation (Riezler & Maxwell 2005), p = (c + 1) / (samples + 1) with the c samples
    in which the systems, sentences exchanged between them by a coin, differ by no less than they do. sacreBLEU draws
    the same samples and leaves ties out: its p is far too small where few sentences differ in what is counted, and
    smallest where none does.

    `bs`: sacreBLEU's paired bootstrap (Koehn 2004), which leaves them out too: here what scores the same has p = 1, and
    where n sentences differ, p is at least the 2^(1-n) that randomisation could come to.
    """
    metrics = _metrics(options, ter=True)
    found = _TESTS[test](metrics, (list(baseline), list(hypotheses)), [list(r) for r in references], samples, seed)
    return {name: round(p, 6) for name, p in found.items()}


def check_memory(sentences: int, resamples: int) -> None:
    """ConfigError where sacreBLEU would take more memory than anyone expects: it makes all resamples at once."""
    each = sentences * 18 * 4  # chrF's 18 numbers a sentence
    if each * resamples > MOST_BYTES:
        raise ConfigError(
            f"resamples={resamples} of {sentences:,} sentences need {each * resamples / 2**30:.1f} GiB of memory; set "
            f"resamples={MOST_BYTES // each}"
        )


def with_changes(options: MetricConfig, changes: Mapping[str, Any]) -> MetricConfig:
    """`options` with what `changes` has other than null; ConfigError where that can't be."""
    given = {name: value for name, value in changes.items() if value is not None}
    return checked(MetricConfig, {**dataclasses.asdict(options), **given}, lambda _: [], where="metric")


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], options: MetricConfig) -> float:
    """BLEU alone, 0 to 100."""
    return float(_bleu(options).corpus_score(list(hypotheses), [list(references)]).score)


class CountedBleu:
    """`corpus_bleu` of many translations of one set: what a line's n-grams match is counted once and remembered."""

    def __init__(self, references: Sequence[str], options: MetricConfig) -> None:
        self._bleu = _bleu(options)
        self._by_sentence = _bleu(options, effective_order=True)  # the counts are the same
        self._references = references
        self._known: list[dict[str, list[int]]] = [{} for _ in references]

    def score(self, hypotheses: Sequence[str]) -> float:
        """BLEU, 0 to 100."""
        counted = (self._counts(i, line) for i, line in enumerate(hypotheses))
        length, reference_length, *numbers = (sum(column) for column in zip(*counted, strict=True))
        orders = len(numbers) // 2
        score = self._bleu.compute_bleu(
            correct=numbers[:orders],
            total=numbers[orders:],
            sys_len=length,
            ref_len=reference_length,
            smooth_method=self._bleu.smooth_method,
        )
        return float(score.score)

    def _counts(self, sentence: int, line: str) -> list[int]:
        """Words of the line and its reference, matching n-grams, and all of the line's; both by n."""
        known = self._known[sentence]
        if line not in known:
            found = self._by_sentence.sentence_score(line, [self._references[sentence]])
            known[line] = [found.sys_len, found.ref_len, *found.counts, *found.totals]
        return known[line]


def sentence_scores(
    hypotheses: Sequence[str], references: Sequence[str], options: MetricConfig
) -> list[tuple[float, float]]:
    """BLEU and chrF of every sentence alone, 0 to 100; BLEU counts n-grams no longer than the sentence."""
    from sacrebleu.metrics.chrf import CHRF

    bleu, chrf = _bleu(options, effective_order=True), CHRF(lowercase=options.lowercase)
    return [
        (float(bleu.sentence_score(line, [reference]).score), float(chrf.sentence_score(line, [reference]).score))
        for line, reference in zip(hypotheses, references, strict=True)
    ]


def smoothed_bleu(options: MetricConfig) -> Callable[[str, str], float]:
    """BLEU of one hypothesis and its reference, 0 to 1, with 1 added to the counts of all but words.

    So is the smoothing of Lin & Och (2004, "ORANGE"); sacreBLEU's `add-k`.
    """
    metric = _bleu(options, effective_order=True, smooth="add-k")  # with these counts, its order is always 4
    return lambda hypothesis, reference: float(metric.sentence_score(hypothesis, [reference]).score) / 100


def bleu_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    edges: Sequence[int],
    options: MetricConfig,
) -> dict[str, float | None]:
    """BLEU of the sentences of each length: the source's words between spaces, in groups that begin at `edges`.

    [8, 11] makes the groups "1-7", "8-10" and "11+"; None where a group has no sentence.
    """
    lengths = [len(source.split()) for source in sources]
    scores: dict[str, float | None] = {}
    for first, following in zip([0, *edges], [*edges, None], strict=True):
        last = math.inf if following is None else following - 1
        rows = [i for i, length in enumerate(lengths) if first <= length <= last]
        name = f"{max(1, first)}+" if following is None else f"{max(1, first)}-{last}"
        bleu = corpus_bleu([hypotheses[i] for i in rows], [references[i] for i in rows], options) if rows else None
        scores[name] = None if bleu is None else round(bleu, 4)
    return scores


def exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of hypotheses that equal one of their references."""
    matches = sum(h in options for h, options in zip(hypotheses, zip(*references, strict=True), strict=True))
    return matches / len(hypotheses)


def _randomised(
    metrics: Mapping[str, Any], systems: Systems, references: list[list[str]], samples: int, seed: int
) -> dict[str, float]:
    """Approximate randomisation, by what each metric counts in a sentence."""
    found = {}
    for name, metric in metrics.items():
        one, other = (metric._extract_corpus_statistics(lines, references) for lines in systems)
        found[name] = _exchanged(metric, one, other, samples, seed)
    return found


def _exchanged(metric: Any, one: list[Any], other: list[Any], samples: int, seed: int) -> float:
    """p by the counts of each sentence (sentences, counts), exchanged and summed up anew."""
    from numpy import array
    from numpy.random import default_rng

    first, second = array(one, dtype=float), array(other, dtype=float)
    total = first.sum(0) + second.sum(0)

    def apart(counts: Any) -> float:
        scores = [float(metric._aggregate_and_compute([part]).score) for part in (counts, total - counts)]
        return abs(scores[0] - scores[1])

    observed = apart(first.sum(0)) - 1e-9  # so that rounding doesn't tell the observed one from itself
    generator, as_far = default_rng(seed), 0
    most = 32 * max(1, CELLS // (32 * len(one)))  # a multiple of 32: the draws are those of a single, sacreBLEU's call
    for start in range(0, samples, most):
        chosen = generator.integers(2, size=(min(most, samples - start), len(one)), dtype=bool)
        as_far += sum(apart(counts) >= observed for counts in second.sum(0) + chosen.astype(float) @ (first - second))
    return (as_far + 1) / (samples + 1)


def _resampled(
    metrics: Mapping[str, Any], systems: Systems, references: list[list[str]], samples: int, seed: int
) -> dict[str, float]:
    """sacreBLEU's paired bootstrap, and its limits."""
    from sacrebleu.significance import PairedTest

    named = [("baseline", systems[0]), ("system", systems[1])]
    with _seeded(seed):
        told: Any = PairedTest(named, metrics, references, test_type="bs", n_samples=samples)()
    _, *results = told[1].values()  # the systems' names, and each metric's results for both
    least = 2.0 ** min(0, 1 - sum(one != other for one, other in zip(*systems, strict=True)))
    return {
        name: 1.0 if first.score == second.score else max(second.p_value, least)
        for name, (first, second) in zip(metrics, results, strict=True)
    }


_TESTS = {"ar": _randomised, "bs": _resampled}


def _metrics(options: MetricConfig, ter: bool) -> dict[str, Any]:
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    metrics: dict[str, Any] = {"bleu": _bleu(options), "chrf": CHRF(lowercase=options.lowercase)}
    if ter:
        metrics["ter"] = TER(case_sensitive=not options.lowercase)
    return metrics


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """sacreBLEU takes its seed from the environment, and from nowhere else; what stands there comes back."""
    name = "SACREBLEU_SEED"
    before = os.environ.get(name)
    os.environ[name] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _bleu(options: MetricConfig, effective_order: bool = False, smooth: str = "exp") -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    try:
        # force: lines that look tokenised are scored as they are, without a warning each time
        return BLEU(
            tokenize=options.tokenize,
            lowercase=options.lowercase,
            smooth_method=smooth,
            effective_order=effective_order,
            force=True,
        )
    except (ImportError, RuntimeError) as error:
        language = options.tokenize.partition("-")[0]
        raise ConfigError(
            f"metric.tokenize={options.tokenize} needs more of sacreBLEU: pip install 'sacrebleu[{language}]'"
        ) from error
