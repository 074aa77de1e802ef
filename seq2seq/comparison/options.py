"""The options of compare.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seq2seq.config import checked
from seq2seq.evaluation.metrics import SEED
from seq2seq.options import lengths_faults, listed, number
from seq2seq.schema import did_you_mean


@dataclass(frozen=True)
class TableConfig:
    """A table's rows: names, and train.py's options for each; those of `common` go before every row's own."""

    name: str = "table"
    common: str = ""
    rows: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CompareConfig:
    """Each is explained in configs/compare.yaml."""

    run: str | list[str] | None = None
    hypothesis: dict[str, str] = field(default_factory=dict)
    test: str | None = None
    group: Literal["seed", "none"] = "seed"
    significance: Literal["ar", "bs", "none"] = "ar"
    trials: int = number(10_000, 100, 1_000_000)
    resamples: int = number(1000, 100, 100_000)
    seed: int = number(SEED, 1)  # sacreBLEU takes 0 for no seed
    metric: dict[str, Any] = field(default_factory=dict)
    table: TableConfig = field(default_factory=TableConfig)
    folder: str | None = None
    only: str | list[str] | None = None
    common: str | None = None
    lengths: list[int] = field(default_factory=lambda: [8, 11])

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CompareConfig:
        return checked(cls, plain, _impossible)

    @property
    def samples(self) -> int:
        """How many times the paired test makes other systems of the two."""
        return self.trials if self.significance == "ar" else self.resamples

    def runs(self) -> list[str]:
        """The folders of finished runs, or of sweeps; none where a table is to be trained."""
        return listed(self.run)

    def asked(self) -> list[str]:
        """The names of the rows to train."""
        return list(self.table.rows) if self.only is None else listed(self.only)

    def shared(self) -> str:
        """The options of every row."""
        return f"{self.table.common} {self.common or ''}".strip()

    def line(self, name: str) -> str:
        """All options of a row, those that it shares first and last what the command line wants of all."""
        return f"{self.table.common} {self.table.rows[name]} {self.common or ''}".strip()


def _impossible(config: CompareConfig) -> list[str]:
    """What can't be, of the half that is asked for and of both."""
    faults = _of_table(config) if config.run is None else _of_runs(config)
    return faults + lengths_faults(config.lengths)


def _of_runs(config: CompareConfig) -> list[str]:
    faults = [
        f"{key} is for the rows of a table to train, and run= compares what is trained; leave one of them out"
        for key, value in (("only", config.only), ("common", config.common))
        if value is not None
    ]
    if not config.runs():
        faults.append("run=[] names no run; set run=[FOLDER,FOLDER], or the folder of a sweep")
    return faults


def _of_table(config: CompareConfig) -> list[str]:
    """Rows that aren't in the table, and options that only finished runs have a use for."""
    faults = [
        f"only={name} is no row of the table{did_you_mean(name, config.table.rows)}"
        for name in config.asked()
        if name not in config.table.rows
    ]
    if not config.asked():
        faults.append("there are no rows to train: choose a table, or add one with +table.rows.NAME='train.py options'")
    metric = any(value is not None for value in config.metric.values())
    for key, given in (("hypothesis", config.hypothesis), ("test", config.test), ("metric", metric)):
        if given:
            faults.append(f"{key} is for finished runs; name them by run=[FOLDER,FOLDER], or the folder of a sweep")
    return faults
