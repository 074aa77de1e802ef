"""plot.py: draws the curves of trainings, or a map of attention, into a file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.comparison.names import named
from seq2seq.data.lines import read_lines
from seq2seq.errors import ConfigError, DataError
from seq2seq.plotting.history import History
from seq2seq.plotting.options import PlotConfig

if TYPE_CHECKING:
    from seq2seq.plotting.figures.saving import Figure

LOGGER = logging.getLogger("seq2seq")


def plot(config: PlotConfig) -> Path:
    """Draws what `config` asks for; returns the picture's path.

    Raises:
        ConfigError: matplotlib isn't installed, or the picture can't be written under its name; both are looked at
            before anything is read.
        CheckpointError, DataError: what is to be drawn isn't there.
    """
    from seq2seq.plotting.figures.saving import check_name, save

    check_name(config.picture)
    save({"curves": _curves, "attention": _attention}[config.kind](config), config.picture)
    return config.picture


def _curves(config: PlotConfig) -> Figure:
    from seq2seq.plotting.figures.curves import curves

    histories = [History.read(Path(name)) for name in config.runs()]
    names = named(histories)
    courses = [history.course(name, config.x) for name, history in zip(names, histories, strict=True)]
    measures = {history.config.trainer.best for history in histories}
    return curves(courses, config.x, " or ".join(sorted(map(_spoken, measures))))


def _attention(config: PlotConfig) -> Figure:
    line = _sentence(config)
    from seq2seq.evaluation.translator import Translator

    changes = {"n_best": config.rank, **config.searched()}
    translator = Translator.load(config.runs(), checkpoint=config.checkpoint, search=changes, runtime=config)
    if not translator.members.attends:
        raise ConfigError(f"run={','.join(config.runs())} has no attention to draw; use a model with attention")
    translation = translator.translate([line], attention=True)[0]
    if len(translation.hypotheses) < config.rank:
        raise ConfigError(
            f"rank={config.rank}: the search found {len(translation.hypotheses)} that differ; set a larger "
            "search.beam_size, search.beam_threshold=0, or a smaller rank"
        )
    figure = translation.plot(hypothesis=config.rank - 1, units=config.units)
    for number, hypothesis in enumerate(translation.hypotheses, start=1):
        LOGGER.info("%s %d: %.4f  %s", "*" if number == config.rank else " ", number, hypothesis.score,
                    hypothesis.text)  # fmt: skip
    return figure


def _sentence(config: PlotConfig) -> str:
    """The one to translate. DataError where there is none, or nothing in it."""
    from seq2seq.evaluation.source import is_blank

    place, sentence = "text", config.text
    if sentence is None:
        lines = read_lines(Path(str(config.source)))
        if config.line > len(lines):
            raise DataError(f"line={config.line}: {config.source} has {len(lines):,} lines")
        place, sentence = f"{config.source}, line {config.line},", lines[config.line - 1]
    if is_blank(sentence):
        raise DataError(f"{place} is blank: a blank line is not translated and has no attention; choose another one")
    return sentence


def _spoken(measure: str) -> str:
    return "BLEU" if measure == "bleu" else measure
