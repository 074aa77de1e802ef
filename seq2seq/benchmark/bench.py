"""What every mode is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from seq2seq.benchmark.material import Material
from seq2seq.benchmark.options import BenchmarkConfig, MeasureConfig
from seq2seq.config import Config
from seq2seq.options import RuntimeConfig
from seq2seq.runtime import Runtime

Row = dict[str, Any]  # name, and by column's key a Spread, a number, text, or nothing


class Column(NamedTuple):
    """A column of the table: the key in its rows, the title, and how its numbers are shown."""

    key: str
    title: str
    format: str = ""
    unit: float = 1  # what one is in the rows' unit: 2**20 shows bytes as MiB


class Table(NamedTuple):
    """The figures of a comparison, and what is to be known to read them."""

    columns: Sequence[Column]
    rows: list[Row]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Bench:
    """The options, the machine as they resolve it for training, and the material, made when it is first asked for."""

    options: BenchmarkConfig
    runtime: Runtime

    @property
    def config(self) -> Config:
        """With a run's model, if there is one."""
        return self.material.config

    @property
    def measure(self) -> MeasureConfig:
        return self.options.measure

    @cached_property
    def material(self) -> Material:
        return Material.make(self.options.config, self.options.measure)

    @cached_property
    def translate_precision(self) -> str:
        config = self.options.config
        asked = RuntimeConfig(config.device, self.measure.translate_precision, config.threads, config.deterministic)
        return Runtime.resolve(asked, training=False).precision

    @property
    def square(self) -> int:
        """The size of the large product: a GPU needs more than a CPU to show its rate."""
        size = self.measure.matrix_size
        return (8192 if self.runtime.device.type == "cuda" else 2048) if isinstance(size, str) else size


def with_parts(config: Config, parts: dict[str, Any]) -> Config:
    """`config` with other components or options, through the strict constructor."""
    return Config.from_dict({**config.to_dict(), **parts})
