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
    of the sentences (Koehn 2004), so that `bleu` ± `bleu_interval` covers it.

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
    """p of the difference in BLEU, chrF and TER, by one of sacreBLEU's paired tests.

    `ar`: approximate randomisation (Riezler & Maxwell 2005), two-sided; `bs`: paired bootstrap (Koehn 2004).

    sacreBLEU counts the samples that differ by more than the translations do, which makes equal ones significantly
    different. Here what scores the same has p = 1. Where n sentences differ, two of the 2^n ways to exchange them, none
    and all, differ by no less: p is at least 2^(1-n).
    """
    from sacrebleu.significance import PairedTest

    metrics = _metrics(options, ter=True)
    systems: list[tuple[str, Sequence[str]]] = [("baseline", list(baseline)), ("system", list(hypotheses))]
    with _seeded(seed):
        told: Any = PairedTest(systems, metrics, [list(r) for r in references], test_type=test, n_samples=samples)()
    _, *results = told[1].values()  # the systems' names, and each metric's results for both
    differing = sum(one != other for one, other in zip(baseline, hypotheses, strict=True))
    least = 2.0 ** min(0, 1 - differing)
    return {
        name: 1.0 if first.score == second.score else round(max(second.p_value, least), 6)
        for name, (first, second) in zip(metrics, results, strict=True)
    }


def check_memory(sentences: int, resamples: int, trials: int) -> None:
    """ConfigError where sacreBLEU would take more memory than anyone expects: it makes all resamples at once."""
    needed = sentences * max(resamples * 18 * 4, trials * 8)  # chrF's 18 numbers a sentence; all trials' signs
    if needed > MOST_BYTES:
        fitting = MOST_BYTES // sentences
        raise ConfigError(
            f"resamples={resamples} and trials={trials} of {sentences:,} sentences need {needed / 2**30:.1f} GiB of "
            f"memory; set resamples={min(resamples, fitting // 72)} trials={min(trials, fitting // 8)}"
        )


def with_changes(options: MetricConfig, changes: Mapping[str, Any]) -> MetricConfig:
    """`options` with what `changes` has other than null; ConfigError where that can't be."""
    given = {name: value for name, value in changes.items() if value is not None}
    metric: MetricConfig = checked(MetricConfig, {**dataclasses.asdict(options), **given}, lambda _: [], where="metric")
    return metric


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
        name = f"{first}+" if following is None else f"{max(1, first)}-{last}"
        bleu = corpus_bleu([hypotheses[i] for i in rows], [references[i] for i in rows], options) if rows else None
        scores[name] = None if bleu is None else round(bleu, 4)
    return scores


def exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of hypotheses that equal one of their references."""
    matches = sum(h in options for h, options in zip(hypotheses, zip(*references, strict=True), strict=True))
    return matches / len(hypotheses)


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
