"""Several trainings under the same conditions, in one table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.comparison.comparison import Column, Comparison, Table, by_length, machines, number, score
from seq2seq.comparison.finished import FinishedRun
from seq2seq.comparison.options import CompareConfig
from seq2seq.config import Config
from seq2seq.errors import ConfigError, Seq2SeqError
from seq2seq.evaluation.metrics import bleu_by_length, score_texts
from seq2seq.runs import RunFolder
from seq2seq.training.resume import WITHOUT_EFFECT, differences

LOGGER = logging.getLogger("seq2seq")


def train_table(options: CompareConfig, compose: Callable[[str], Config]) -> Comparison:
    """Trains the rows that aren't there yet, and writes table.md and table.json; `compose` makes options a config.

    A row that fails lets the others run. One that was cut short is gone on with; one that was trained with other
    options is never mixed in.

    Raises:
        ConfigError: a row's options or folder, before anything is trained.
        Seq2SeqError: what went wrong with rows, at the end.
    """
    folder = Path(options.folder or f"runs/compare/{options.table.name}")
    asked = options.asked()
    rows = {}
    for name in options.table.rows:  # those not asked for are shown where they are trained already
        if name in asked or (folder / name / "results.json").is_file():
            rows[name] = Training(name, folder / name, _composed(name, folder, options, compose))
    for name in asked:
        rows[name].check()
    figures = {name: row.figures(options) for name, row in rows.items() if row.is_done()}
    failures = []
    for place, name in enumerate(asked, start=1):
        if name not in figures:
            LOGGER.info("row %s, %d of %d: train.py %s", name, place, len(asked), options.line(name))
            try:
                rows[name].train()
                figures[name] = rows[name].figures(options)
            except Seq2SeqError as error:
                LOGGER.error("row %s: %s", name, error)
                failures.append(f"row {name}: {error}")
        # after every row, so that nothing is lost; in the table's order
        comparison = _comparison(options, {name: figures[name] for name in rows if name in figures})
        comparison.write(folder)
    if failures:
        raise Seq2SeqError("\n".join(failures))
    LOGGER.info("written: %s and table.json", folder / "table.md")
    return comparison


@dataclass(frozen=True)
class Training:
    """One training of the table."""

    name: str
    path: Path
    config: Config

    def check(self) -> None:
        """ConfigError where the row can't be compared, or its folder is of another training."""
        if not self.config.data.tests():
            raise ConfigError(f"row {self.name}: without a test set there is nothing to compare; set data.test=PREFIX")
        if (self.path / "config.json").is_file() and (key := self._difference()) is not None:
            raise ConfigError(f"{self.path} was trained with another {key}; set another folder=, or delete it")
        if self.path.exists() and not (self.path / "config.json").is_file() and any(self.path.iterdir()):
            raise ConfigError(f"{self.path} is there already and holds no run; set another folder=")

    def is_done(self) -> bool:
        """Whether it is trained, with just these options."""
        return (self.path / "results.json").is_file() and self._difference() is None

    def _difference(self) -> str | None:
        """An option that the training in the folder has other than the row, and that its results depend on."""
        changed = differences(RunFolder.open(self.path).read_config(), self.config)
        return next((key for key in changed if key not in WITHOUT_EFFECT), None)

    def train(self) -> None:
        """From where a training of it was cut short, if one was."""
        from seq2seq.training.train import train

        train(self.config.replace(resume="auto"))

    def figures(self, options: CompareConfig) -> dict[str, Any]:
        """What the table says of it, on its first test set."""
        run = FinishedRun.open(self.path)
        test, metric = run.translated(next(iter(self.config.data.tests()))), self.config.metric
        return {
            "name": self.name,
            "options": options.table.rows[self.name],
            "test": test.name,
            **score_texts(test.hypotheses, [test.references], metric, resamples=options.resamples, seed=options.seed),
            "bleu_by_length": bleu_by_length(test.sources, test.hypotheses, test.references, options.lengths, metric),
            **run.facts(test.name),
        }


def _composed(name: str, folder: Path, options: CompareConfig, compose: Callable[[str], Config]) -> Config:
    try:
        return compose(options.line(name)).replace(run=str(folder / name))
    except (ConfigError, ValueError) as error:  # ValueError: quotes that don't close
        raise ConfigError(f"row {name}: {error}") from error


def _comparison(options: CompareConfig, figures: Mapping[str, Mapping[str, Any]]) -> Comparison:
    rows = list(figures.values())
    results = {"table": options.table.name, "common": options.shared(), "rows": rows}
    columns = [
        Column("row", lambda row: row["name"]),
        Column("options", lambda row: f"`{row['options']}`"),
        number("parameters", "parameters", ",.0f"),
        number("tokens/s", "target_tokens_per_second", ",.0f"),
        number("sentences/s", "sentences_per_second", ",.0f"),
        number("epochs", "epochs", ".1f"),
        number("seconds", "seconds", ".0f"),
        score("BLEU", "bleu", "interval"),
        *by_length(rows),
    ]
    notes = ["No row is trained yet."]
    if rows:
        notes = [
            f"All rows: `{results['common']}`. Training: {machines(rows)}. Tokens: of the target, in training, padding "
            "not counted. Sentences: of the test set's translation. Seconds: of training with its validations. BLEU: "
            f"on `{rows[0]['test']}` ({rows[0]['bleu_signature']}), ± half the 95 % interval of {options.resamples:,} "
            "bootstrap resamples of its sentences, in all and by words of the source sentence."
        ]
    return Comparison(results, [Table(columns, rows, notes, left=2)])
