"""sacreBLEU's metrics, each with its signature; the only place that knows sacreBLEU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seq2seq.errors import ConfigError, DataError
from seq2seq.options import MetricConfig

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU


def score_texts(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: MetricConfig, *, ter: bool = False
) -> dict[str, Any]:
    """BLEU and chrF (0 to 100) with signatures, exact match (0 to 1), and TER where asked for.

    Args:
        hypotheses: one line a sentence.
        references: one or several translations of the whole set.

    Raises:
        DataError: nothing to score, or sides of unequal length.
        ConfigError: `metric.tokenize` needs a package that isn't installed.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    if not hypotheses:
        raise DataError("there are no lines to score")
    for reference in references:
        if len(reference) != len(hypotheses):
            raise DataError(f"{len(hypotheses):,} hypotheses can't be scored against {len(reference):,} references")
    metrics: dict[str, Any] = {
        "bleu": _bleu(options),
        "chrf": CHRF(lowercase=options.lowercase),
    }
    if ter:
        metrics["ter"] = TER(case_sensitive=not options.lowercase)
    scores: dict[str, Any] = {}
    for name, metric in metrics.items():
        scores[name] = round(float(metric.corpus_score(list(hypotheses), [list(r) for r in references]).score), 4)
        scores[f"{name}_signature"] = str(metric.get_signature())
    scores["exact_match"] = round(exact_match(hypotheses, references), 6)
    scores["sentences"] = len(hypotheses)
    return scores


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], options: MetricConfig) -> float:
    """BLEU alone, 0 to 100."""
    return float(_bleu(options).corpus_score(list(hypotheses), [list(references)]).score)


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


def _bleu(options: MetricConfig) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    try:
        # force: lines that look tokenised are scored as they are, without a warning each time
        return BLEU(tokenize=options.tokenize, lowercase=options.lowercase, force=True)
    except (ImportError, RuntimeError) as error:
        language = options.tokenize.partition("-")[0]
        raise ConfigError(
            f"metric.tokenize={options.tokenize} needs more of sacreBLEU: pip install 'sacrebleu[{language}]'"
        ) from error
