"""compare.py: several trainings under the same conditions, in one table."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seq2seq.config import Config, checked
from seq2seq.data.lines import read_lines
from seq2seq.errors import ConfigError, Seq2SeqError
from seq2seq.evaluation.metrics import bleu_by_length
from seq2seq.files import write_atomically
from seq2seq.runs import RunFolder
from seq2seq.schema import did_you_mean
from seq2seq.training.resume import WITHOUT_EFFECT, differences

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class TableConfig:
    """A table's rows: names, and train.py's options for each; those of `common` go before every row's own."""

    name: str = "table"
    common: str = ""
    rows: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CompareConfig:
    """The options of compare.py; each is explained in configs/compare.yaml."""

    table: TableConfig = field(default_factory=TableConfig)
    folder: str | None = None
    only: str | list[str] | None = None
    common: str | None = None
    lengths: list[int] = field(default_factory=lambda: [8, 11])

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CompareConfig:
        config: CompareConfig = checked(cls, plain, _impossible)
        return config

    def asked(self) -> list[str]:
        """The names of the rows to train."""
        if self.only is None:
            return list(self.table.rows)
        return [self.only] if isinstance(self.only, str) else self.only

    def shared(self) -> str:
        """The options of every row."""
        return f"{self.table.common} {self.common or ''}".strip()

    def line(self, name: str) -> str:
        """All options of a row, those that it shares first and last what the command line wants of all."""
        return f"{self.table.common} {self.table.rows[name]} {self.common or ''}".strip()


def compare(options: CompareConfig, compose: Callable[[str], Config]) -> dict[str, Any]:
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
            rows[name] = Row(name, folder / name, _composed(name, folder, options, compose))
    for name in asked:
        rows[name].check()
    failures = []
    for number, name in enumerate(asked, start=1):
        if not rows[name].is_done():
            LOGGER.info("row %s, %d of %d: train.py %s", name, number, len(asked), options.line(name))
            try:
                rows[name].train()
            except Seq2SeqError as error:
                LOGGER.error("row %s: %s", name, error)
                failures.append(f"row {name}: {error}")
        _write(folder, _results(options, rows))  # after every row, so that nothing is lost
    if failures:
        raise Seq2SeqError("\n".join(failures))
    LOGGER.info("written: %s and table.json", folder / "table.md")
    return _results(options, rows)


@dataclass(frozen=True)
class Row:
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

    def results(self, options: CompareConfig) -> dict[str, Any]:
        """What the table says of it, on its first test set."""
        run = RunFolder.open(self.path)
        results = run.read_json("results.json")
        test, scores = next(iter(results["test"].items()))
        sources, references, hypotheses = (
            read_lines(run.translations / f"{test}.{part}") for part in ("source", "reference", "hypothesis")
        )
        return {
            "name": self.name,
            "options": options.table.rows[self.name],
            "test": test,
            "bleu": scores["bleu"],
            "bleu_signature": scores["bleu_signature"],
            "bleu_by_length": bleu_by_length(sources, hypotheses, references, options.lengths, self.config.metric),
            "parameters": results["model"]["parameters"],
            "sentences_per_second": scores["sentences_per_second"],
            **{key: results["train"][key] for key in ("target_tokens_per_second", "seconds", "epochs", "stop_reason")},
            **{key: results[key] for key in ("device", "precision", "threads")},
        }


def show(results: Mapping[str, Any]) -> str:
    """The table in Markdown, and what its columns mean."""
    rows: Sequence[Mapping[str, Any]] = results["rows"]
    if not rows:
        return "no row is trained yet\n"
    first = rows[0]
    head = ["row", "options", "parameters", "tokens/s", "sentences/s", "epochs", "seconds", "BLEU"]
    head += list(first["bleu_by_length"])
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        lines.append(
            [
                row["name"],
                f"`{row['options']}`",
                f"{row['parameters']:,}",
                f"{row['target_tokens_per_second']:,.0f}",
                f"{row['sentences_per_second']:,.0f}",
                f"{row['epochs']:.1f}",
                f"{row['seconds']:.0f}",
                f"{row['bleu']:.1f}",
                *("" if score is None else f"{score:.1f}" for score in row["bleu_by_length"].values()),
            ]
        )
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    conditions = sorted({row["device"] for row in rows})  # with precision and threads
    return table + (
        f"\nAll rows: `{results['common']}`. Training: {'; '.join(conditions)}. Tokens: of the target, in training, "
        "padding not counted. Sentences: of the test set's translation. Seconds: of training with its validations. "
        f"BLEU: on `{first['test']}` ({first['bleu_signature']}), in all and by words of the source sentence.\n"
    )


def _composed(name: str, folder: Path, options: CompareConfig, compose: Callable[[str], Config]) -> Config:
    try:
        return compose(options.line(name)).replace(run=str(folder / name))
    except (ConfigError, ValueError) as error:  # ValueError: quotes that don't close
        raise ConfigError(f"row {name}: {error}") from error


def _results(options: CompareConfig, rows: Mapping[str, Row]) -> dict[str, Any]:
    """Of all rows that are there, in the table's order."""
    done = [row.results(options) for row in rows.values() if row.is_done()]
    return {"table": options.table.name, "common": options.shared(), "rows": done}


def _write(folder: Path, results: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / "table.json", lambda file: file.write_text(content, encoding="utf-8"))
    write_atomically(folder / "table.md", lambda file: file.write_text(show(results), encoding="utf-8"))


def _impossible(config: CompareConfig) -> list[str]:
    """Rows that aren't in the table, and lengths that are no limits."""
    faults = [
        f"only={name} is no row of the table{did_you_mean(name, config.table.rows)}"
        for name in config.asked()
        if name not in config.table.rows
    ]
    if not config.asked():
        faults.append("there are no rows to train: choose a table, or add one with +table.rows.NAME='train.py options'")
    if config.lengths != sorted(set(config.lengths)) or min(config.lengths, default=2) < 2:
        faults.append(f"lengths={config.lengths} must be rising numbers of words, the first at least 2, such as [8,11]")
    return faults
