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
from typing import Any

from seq2seq.commands import ModelConfig
from seq2seq.config import checked
from seq2seq.data.lines import read_lines
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.metrics import score_texts, with_changes
from seq2seq.files import holds_text, same_file
from seq2seq.options import MetricConfig
from seq2seq.runs import RunFolder

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class EvaluateConfig(ModelConfig):
    """The options of evaluate.py; each is explained in configs/evaluate.yaml."""

    source: str | None = None
    reference: str | list[str] | None = None
    hypothesis: str | None = None
    output: str | None = None
    metric: dict[str, Any] = field(default_factory=dict)

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

    _refuse_overwriting(config)
    for option, name in (("hypothesis", config.hypothesis if config.runs() else None), ("output", config.output)):
        if name is not None:
            check_output(option, name)
    references = [read_lines(path) for path in config.references()]
    scores = _of_model(config, references) if config.runs() else _of_text(config, references)
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
    return score_texts(hypotheses, references, with_changes(MetricConfig(), config.metric), ter=True)


def _of_model(config: EvaluateConfig, references: list[list[str]]) -> dict[str, Any]:
    from seq2seq.evaluation.translator import Translator

    sources = read_lines(Path(str(config.source)))
    _check_lengths(config, references, len(sources), str(config.source))
    runs = config.runs()
    translator = Translator.load(runs, checkpoint=config.checkpoint, search=config.searched(), runtime=config)
    metric = with_changes(RunFolder.open(Path(runs[0])).read_config().metric, config.metric)

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
        "runs": runs,
        "checkpoint": config.checkpoint,
        "search": dataclasses.asdict(translator.search),
        "metric": dataclasses.asdict(metric),
    }


def check_output(option: str, name: str) -> None:
    """ConfigError where no file can be written there: to be asked before time is spent on what it is to hold."""
    folder = os.path.dirname(name) or "."
    if os.path.isdir(name):
        raise ConfigError(f"{option}={name} is a folder; name a file in it")
    if not os.path.isdir(folder):
        raise ConfigError(f"{option}={name}: there is no folder {folder}; make it, or name another file")
    if not os.access(name if os.path.exists(name) else folder, os.W_OK):
        raise ConfigError(f"{option}={name} can't be written to; name another file")


def write_output(option: str, name: str, text: str) -> None:
    """Writes the file that `option` names; ConfigError where it can't be written."""
    try:
        Path(name).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"{option}={name}: {error.strerror}") from error


def _refuse_overwriting(config: EvaluateConfig) -> None:
    """ConfigError where a file of the user's would be lost: a translation, or one that is read here."""
    hypothesis, output = config.hypothesis, config.output
    if config.runs() and hypothesis is not None and holds_text(hypothesis):
        raise ConfigError(
            f"hypothesis={hypothesis} exists already, and with run=FOLDER it is where the model's translation is "
            "written; name a new file, or delete this one; to score it as it is, leave run and source out"
        )
    for name in [*map(str, config.references()), config.source, hypothesis]:
        if output is not None and name is not None and same_file(name, output):
            raise ConfigError(f"output={output} would overwrite {name}, which this scores; name another file")


def _check_lengths(config: EvaluateConfig, references: list[list[str]], lines: int, name: str) -> None:
    for path, reference in zip(config.references(), references, strict=True):
        if len(reference) != lines:
            raise DataError(f"{name} has {lines:,} lines but {path} has {len(reference):,}; they must be aligned")
    if lines == 0:
        raise DataError(f"{name} is empty: there is nothing to score")
