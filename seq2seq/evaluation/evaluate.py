"""evaluate.py: scores of a model on a test set, or of a translation that is already there."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seq2seq.commands import BatchConfig
from seq2seq.config import checked
from seq2seq.data.lines import read_aligned
from seq2seq.evaluation.metrics import score_texts, with_changes
from seq2seq.options import MetricConfig, listed
from seq2seq.outputs import check_outputs, refuse_existing, write_lines, write_results
from seq2seq.runs import RunFolder

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class EvaluateConfig(BatchConfig):
    """The options of evaluate.py; each is explained in configs/evaluate.yaml."""

    source: str | None = None
    reference: str | list[str] | None = None
    hypothesis: str | None = None
    output: str | None = None
    metric: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> EvaluateConfig:
        return checked(cls, plain, _impossible)

    def references(self) -> list[Path]:
        """The files, one or several; each is a translation of the whole set."""
        return [Path(name) for name in listed(self.reference)]


def _impossible(config: EvaluateConfig) -> list[str]:
    faults = []
    if not config.reference:
        faults.append("what to score against? set reference=FILE (or reference=[A,B] for several)")
    if config.runs() and config.source is None:
        faults.append("run needs source=FILE to translate")
    if not config.runs() and config.hypothesis is None:
        faults.append("what to score? set run=FOLDER source=FILE for a model, or hypothesis=FILE for a translation")
    if not config.runs() and config.source is not None:
        faults.append("source is only read together with run=FOLDER")
    return faults


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Scores, as plain data; also written to config.output where that is set.

    Raises:
        ConfigError, DataError, CheckpointError: before anything is translated, where the files tell.
    """
    from seq2seq.runtime import versions

    _check_outputs(config)
    scores = _of_model(config) if config.runs() else _of_text(config)
    scores["versions"] = versions()
    if config.output is not None:
        write_results("output", config.output, scores)
    return scores


def show(scores: Mapping[str, Any]) -> str:
    """The scores as a table."""
    lines = [
        f"BLEU         {scores['bleu']:7.2f}  {scores['bleu_signature']}",
        f"chrF         {scores['chrf']:7.2f}  {scores['chrf_signature']}",
        f"TER          {scores['ter']:7.2f}  {scores['ter_signature']}",
        f"exact match  {100 * scores['exact_match']:7.2f}  % of {scores['sentences']:,} sentences",
    ]
    if "loss" in scores:
        lines += [
            f"loss         {scores['loss']:7.4f}  a target token, end of sentence counted",
            f"perplexity   {scores['perplexity']:7.3f}",
            f"speed        {scores['sentences_per_second']:7.1f}  sentences a second ({scores['device']})",
        ]
    return "\n".join(lines) + "\n"


def _of_text(config: EvaluateConfig) -> dict[str, Any]:
    hypotheses, *references = read_aligned(Path(str(config.hypothesis)), *config.references())
    return score_texts(hypotheses, references, with_changes(MetricConfig(), config.metric), ter=True)


def _of_model(config: EvaluateConfig) -> dict[str, Any]:
    from seq2seq.evaluation.translator import Translator

    sources, *references = read_aligned(Path(str(config.source)), *config.references())
    runs = config.runs()
    translator = Translator.load(runs, checkpoint=config.checkpoint, search=config.searched(), runtime=config)
    metric = with_changes(RunFolder.open(Path(runs[0])).read_config().metric, config.metric)

    start = time.monotonic()
    with translator.spread(config.workers) as spread:
        translations = spread.translate(sources, batch_size=config.batch_size, progress=True)
    seconds = time.monotonic() - start
    hypotheses = [translation.text for translation in translations]
    if config.hypothesis is not None:
        write_lines("hypothesis", config.hypothesis, hypotheses)

    pairs = translator.score(sources, references[0], batch_size=config.batch_size)
    loss = -sum(pair.log_prob for pair in pairs) / sum(len(pair.token_log_probs) for pair in pairs)
    return {
        **score_texts(hypotheses, references, metric, ter=True),
        "loss": round(loss, 6),
        "perplexity": round(math.exp(min(loss, 700)), 4),
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(sources) / max(seconds, 1e-9), 2),
        "device": translator.runtime.describe(),
        "workers": config.workers,
        "runs": runs,
        "checkpoint": config.checkpoint,
        "search": dataclasses.asdict(translator.search),
        "metric": dataclasses.asdict(metric),
    }


def _check_outputs(config: EvaluateConfig) -> None:
    """ConfigError where a file can't be written, or one of the user's would be lost."""
    read = [*map(str, config.references()), config.source]
    if not config.runs():
        check_outputs({"output": config.output}, [*read, config.hypothesis])
        return
    if config.hypothesis is not None:
        refuse_existing("hypothesis", config.hypothesis, "to score it as it is, leave run and source out")
    check_outputs({"hypothesis": config.hypothesis, "output": config.output}, read)
