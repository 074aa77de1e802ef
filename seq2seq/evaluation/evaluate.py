"""evaluate.py: scores of a model on a test set, or of a translation that is already there."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seq2seq.config import checked
from seq2seq.data.lines import read_lines
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.metrics import score_texts
from seq2seq.options import MetricConfig, RuntimeConfig, number
from seq2seq.runs import RunFolder

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class EvaluateConfig(RuntimeConfig):
    """The options of evaluate.py; each is explained in configs/evaluate.yaml."""

    run: str | None = None
    checkpoint: Literal["best", "last"] = "best"
    source: str | None = None
    reference: str | list[str] | None = None
    hypothesis: str | None = None
    output: str | None = None
    batch_size: int = number(64, 1)
    metric: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> EvaluateConfig:
        config: EvaluateConfig = checked(cls, plain, _impossible)
        return config

    def references(self) -> list[Path]:
        names = [self.reference] if isinstance(self.reference, str) else self.reference or []
        return [Path(name) for name in names]


def _impossible(config: EvaluateConfig) -> list[str]:
    faults = []
    if not config.reference:
        faults.append("what to score against? set reference=FILE (or reference=[A,B] for several)")
    if config.run is not None and config.source is None:
        faults.append("run needs source=FILE to translate")
    if config.run is None and config.hypothesis is None:
        faults.append("what to score? set run=FOLDER source=FILE for a model, or hypothesis=FILE for a translation")
    if config.run is None and config.source is not None:
        faults.append("source is only read together with run=FOLDER")
    return faults


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Scores, as plain data; also written to config.output where that is set.

    Raises:
        ConfigError, DataError, CheckpointError: before anything is translated, where the files tell.
    """
    from seq2seq.runtime import versions

    _refuse_overwriting(config)
    references = [read_lines(path) for path in config.references()]
    scores = _of_text(config, references) if config.run is None else _of_model(config, references)
    scores["versions"] = versions()
    if config.output is not None:
        write_output("output", config.output, json.dumps(scores, ensure_ascii=False, indent=2) + "\n")
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


def _of_text(config: EvaluateConfig, references: list[list[str]]) -> dict[str, Any]:
    hypotheses = read_lines(Path(str(config.hypothesis)))
    _check_lengths(config, references, len(hypotheses), str(config.hypothesis))
    return score_texts(hypotheses, references, _metric(config, MetricConfig()), ter=True)


def _of_model(config: EvaluateConfig, references: list[list[str]]) -> dict[str, Any]:
    from seq2seq.evaluation.translator import Translator

    sources = read_lines(Path(str(config.source)))
    _check_lengths(config, references, len(sources), str(config.source))
    changes = {name: value for name, value in config.search.items() if value is not None}
    translator = Translator.load(str(config.run), checkpoint=config.checkpoint, search=changes, runtime=config)
    metric = _metric(config, RunFolder.open(Path(str(config.run))).read_config().metric)

    start = time.monotonic()
    translations = translator.translate(sources, batch_size=config.batch_size, progress=True)
    seconds = time.monotonic() - start
    hypotheses = [translation.text for translation in translations]
    if config.hypothesis is not None:
        write_output("hypothesis", config.hypothesis, "".join(f"{line}\n" for line in hypotheses))

    pairs = translator.score(sources, references[0], batch_size=config.batch_size)
    loss = -sum(pair.log_prob for pair in pairs) / sum(len(pair.token_log_probs) for pair in pairs)
    return {
        **score_texts(hypotheses, references, metric, ter=True),
        "loss": round(loss, 6),
        "perplexity": round(math.exp(min(loss, 700)), 4),
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(sources) / max(seconds, 1e-9), 2),
        "device": translator.runtime.describe(),
        "search": dataclasses.asdict(translator.search),
        "metric": dataclasses.asdict(metric),
    }


def write_output(option: str, name: str, text: str) -> None:
    """Writes the file that `option` names; ConfigError where it can't be written."""
    try:
        Path(name).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"{option}={name}: {error.strerror}") from error


def _refuse_overwriting(config: EvaluateConfig) -> None:
    """ConfigError where a file of the user's would be lost: a translation, or one that is read here."""
    hypothesis, output = config.hypothesis, config.output
    if config.run is not None and hypothesis is not None and _holds_text(hypothesis):
        raise ConfigError(
            f"hypothesis={hypothesis} exists already, and with run=FOLDER it is where the model's translation is "
            "written; name a new file, or delete this one; to score it as it is, leave run and source out"
        )
    for name in [*map(str, config.references()), config.source, hypothesis]:
        if output is not None and name is not None and _same_file(name, output):
            raise ConfigError(f"output={output} would overwrite {name}, which this scores; name another file")


def _holds_text(name: str) -> bool:
    return os.path.isfile(name) and os.path.getsize(name) > 0  # an empty one, such as mktemp makes, is free to use


def _same_file(name: str, other: str) -> bool:
    if os.path.exists(name) and os.path.exists(other):
        return os.path.isfile(name) and os.path.samefile(name, other)
    return os.path.realpath(name) == os.path.realpath(other)


def _metric(config: EvaluateConfig, default: MetricConfig) -> MetricConfig:
    changes = {name: value for name, value in config.metric.items() if value is not None}
    metric: MetricConfig = checked(
        MetricConfig, {**dataclasses.asdict(default), **changes}, lambda _: [], where="metric"
    )
    return metric


def _check_lengths(config: EvaluateConfig, references: list[list[str]], lines: int, name: str) -> None:
    for path, reference in zip(config.references(), references, strict=True):
        if len(reference) != lines:
            raise DataError(f"{name} has {lines:,} lines but {path} has {len(reference):,}; they must be aligned")
    if lines == 0:
        raise DataError(f"{name} is empty: there is nothing to score")
