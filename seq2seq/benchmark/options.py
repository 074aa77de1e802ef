"""What benchmark.py is asked to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from seq2seq.config import Config, checked
from seq2seq.errors import ConfigError
from seq2seq.options import Auto, Precision, number
from seq2seq.options.base import numbers
from seq2seq.schema import Faults

Comparison = Literal["models", "precision", "plain", "objectives", "search", "beams", "corpus", "lengths", "latency"]

NEEDING_RUN = {"objectives", "search", "latency"}
REFUSING_RUN = {  # and why
    "models": "it measures models of its own",
    "corpus": "it makes corpora of its own",
    "lengths": "it makes batches of its own",
}
REFUSING_TEXT = {"corpus", "lengths"}


@dataclass(frozen=True)
class MeasureConfig:
    """How much is measured; each option is explained in configs/benchmark.yaml."""

    source_length: int = number(15, 1, 10_000)
    target_length: int = number(15, 1, 10_000)
    vocab_size: int = number(8000, 5, 1_000_000)
    updates: int = number(10, 1, 1_000_000)
    warmup: int = number(5, 0, 1_000_000)
    repeats: int = number(3, 1, 1000)
    sentences: int = number(256, 1, 1_000_000)
    beams: list[int] | Auto = numbers("auto", 1, 1000, most=20, least=1)
    translate_precision: Precision = "auto"
    workers: int = number(0, 0, 1024)
    thresholds: list[float] = numbers([1.0, 2.0, 3.0], 0.001, 1000.0, most=20)
    shortlists: list[int] = numbers([1500, 3000], 1, 10_000_000, most=20)
    matrix_size: int | Auto = number("auto", 1, 32_768)
    pairs: list[int] = numbers([1000, 10_000, 100_000, 1_000_000], 1, 10_000_000, most=20, least=1)
    lines: list[int] = numbers([250, 1000, 4000], 1, 1_000_000, most=20, least=1)
    lengths: list[int] = numbers([16, 32, 64, 128, 256], 1, 10_000, most=20, least=1)


@dataclass(frozen=True)
class _Asked:
    compare: Comparison | None = None
    output: str | None = None
    benchmark: MeasureConfig = MeasureConfig()


@dataclass(frozen=True)
class BenchmarkConfig:
    """A training config's model, data and machine, and what to measure of them; `compare` None: that one model."""

    config: Config
    measure: MeasureConfig
    compare: Comparison | None
    output: str | None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> BenchmarkConfig:
        """Raises ConfigError, as `Config.from_dict`; also where a comparison can't use what was given to it."""
        names = {field.name for field in fields(_Asked)}
        asked = checked(_Asked, {key: plain[key] for key in names & plain.keys()}, lambda _: [])
        config = Config.from_dict({key: value for key, value in plain.items() if key not in names})
        faults = Faults()
        faults.extend(_impossible(config, asked))
        if faults:
            raise ConfigError("\n".join(faults))
        return cls(config, asked.benchmark, asked.compare, asked.output)

    def beams(self, default: list[int]) -> list[int]:
        """The beam sizes that were asked for."""
        return default if isinstance(self.measure.beams, str) else self.measure.beams


def _impossible(config: Config, asked: _Asked) -> list[str]:
    compare, faults = asked.compare, []
    if compare in NEEDING_RUN and config.run is None:
        faults.append(f"compare={compare} needs a trained model: set run=FOLDER, the folder that train.py left")
    if compare in REFUSING_RUN and config.run is not None:
        faults.append(f"compare={compare} can't use run={config.run}: {REFUSING_RUN[compare]}; leave run out")
    if compare in REFUSING_TEXT and (config.data.train_prefixes() or config.data.tests()):
        faults.append(f"compare={compare} can't use data.train or data.test: {REFUSING_RUN[compare]}; leave them out")
    if sorted(set(asked.benchmark.lengths)) != asked.benchmark.lengths:
        faults.append(f"benchmark.lengths={asked.benchmark.lengths} must rise, such as [16,32,64]")
    return faults
