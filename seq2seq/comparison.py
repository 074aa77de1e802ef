"""compare.py: several trainings under the same conditions, in one table."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seq2seq.config import Config, checked
from seq2seq.data.corpus import read_lines
from seq2seq.errors import ConfigError
from seq2seq.evaluation.metrics import bleu_by_length
from seq2seq.runs import RunFolder, write_atomically
from seq2seq.schema import did_you_mean
from seq2seq.training.train import train

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
    only: list[str] | None = None
    common: str | None = None
    lengths: list[int] = field(default_factory=lambda: [8, 11])

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CompareConfig:
        config: CompareConfig = checked(cls, plain, _impossible)
        return config

    def rows(self) -> dict[str, str]:
        """The rows that are asked for, each with all its options in one line."""
        rows = self.table.rows if self.only is None else {name: self.table.rows[name] for name in self.only}
        return {name: " ".join((self.table.common, own, self.common or "")) for name, own in rows.items()}


def compare(options: CompareConfig, compose: Callable[[str], Config]) -> dict[str, Any]:
    """Trains the rows that aren't there yet, and writes table.md and table.json; `compose` makes options a config.

    Raises:
        ConfigError: a row's options, before anything is trained; a folder of other options, or of a run cut short.
    """
    folder = Path(options.folder or f"runs/compare/{options.table.name}")
    lines, configs = options.rows(), {}
    for name, line in lines.items():
        try:
            configs[name] = compose(line).replace(run=str(folder / name))
        except ConfigError as error:
            raise ConfigError(f"row {name}: {error}") from error
        if not configs[name].data.tests():
            raise ConfigError(f"row {name}: without a test set there is nothing to compare; set data.test=PREFIX")
    commands = _trained(folder, lines)
    for number, (name, config) in enumerate(configs.items(), start=1):
        if name not in commands:
            LOGGER.info("row %s, %d of %d: train.py %s", name, number, len(configs), lines[name])
            train(config)
            commands[name] = lines[name]
        rows = [_row(row, commands[row], folder / row, options) for row in options.table.rows if row in commands]
        results = {"table": options.table.name, "common": options.table.common, "rows": rows}
        _write(folder, results)  # after every row, so that nothing is lost
    LOGGER.info("written: %s and table.json", folder / "table.md")
    return results


def show(results: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    rows: Sequence[Mapping[str, Any]] = results["rows"]
    groups = list(rows[0]["bleu_by_length"])
    head = ["row", "options", "parameters", "training tokens/s", "sentences/s", "seconds", "BLEU", *groups]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        lines.append(
            [
                row["name"],
                f"`{row['options']}`",
                f"{row['parameters']:,}",
                f"{row['target_tokens_per_second']:,.0f}",
                f"{row['sentences_per_second']:,.0f}",
                f"{row['seconds']:.0f}",
                f"{row['bleu']:.1f}",
                *("" if score is None else f"{score:.1f}" for score in row["bleu_by_length"].values()),
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _write(folder: Path, results: Mapping[str, Any]) -> None:
    content = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / "table.json", lambda file: file.write_text(content, encoding="utf-8"))
    write_atomically(folder / "table.md", lambda file: file.write_text(show(results), encoding="utf-8"))


def _trained(folder: Path, lines: Mapping[str, str]) -> dict[str, str]:
    """The rows that were trained before, and the options they were trained with: for those asked for, just these."""
    table = folder / "table.json"
    known = json.loads(table.read_text(encoding="utf-8"))["rows"] if table.is_file() else []
    commands = {row["name"]: row["command"] for row in known}
    for name, line in lines.items():
        if commands.get(name, line) != line:
            raise ConfigError(f"{folder / name} was trained with {commands[name]!r}, not {line!r}; set another folder=")
        if name not in commands and (folder / name).exists():
            raise ConfigError(f"{folder / name} is a training that was cut short; delete it, or set another folder=")
    return commands


def _row(name: str, command: str, path: Path, options: CompareConfig) -> dict[str, Any]:
    """What the table says of a finished run, on its first test set."""
    run = RunFolder.open(path)
    results = run.read_json("results.json")
    test, scores = next(iter(results["test"].items()))
    sources, references, hypotheses = (
        read_lines(run.translations / f"{test}.{part}") for part in ("source", "reference", "hypothesis")
    )
    by_length = bleu_by_length(sources, hypotheses, references, options.lengths, run.read_config().metric)
    return {
        "name": name,
        "options": options.table.rows[name],
        "command": command,
        "test": test,
        "bleu": scores["bleu"],
        "bleu_signature": scores["bleu_signature"],
        "bleu_by_length": by_length,
        "parameters": results["model"]["parameters"],
        "sentences_per_second": scores["sentences_per_second"],
        **{key: results["train"][key] for key in ("target_tokens_per_second", "seconds", "epochs", "stop_reason")},
    }


def _impossible(config: CompareConfig) -> list[str]:
    """Rows that aren't in the table, and lengths that are no limits."""
    faults = [
        f"only={name} is no row of the table{did_you_mean(name, config.table.rows)}"
        for name in config.only or []
        if name not in config.table.rows
    ]
    if not config.table.rows:
        faults.append("the table has no rows: choose a table, or add one with +table.rows.NAME='train.py options'")
    if config.lengths != sorted(set(config.lengths)) or min(config.lengths, default=2) < 2:
        faults.append(f"lengths={config.lengths} must be rising numbers of words, the first at least 2, such as [8,11]")
    return faults
