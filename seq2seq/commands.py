"""Options of commands, apart from the work that they are for: a mistyped one doesn't wait for torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from seq2seq.config import checked
from seq2seq.options import RuntimeConfig, number


@dataclass(frozen=True)
class ModelConfig(RuntimeConfig):
    """What commands have in common that translate by a trained model, or by several as an ensemble."""

    run: str | list[str] | None = None
    checkpoint: Literal["best", "last", "average"] = "best"
    batch_size: int = number(64, 1)
    search: dict[str, Any] = field(default_factory=dict)

    def runs(self) -> list[str]:
        """The folders; the first one's search options and metric are the defaults of all."""
        return [self.run] if isinstance(self.run, str) else self.run or []

    def searched(self) -> dict[str, Any]:
        """The search options that differ from the run's own."""
        return {name: value for name, value in self.search.items() if value is not None}


@dataclass(frozen=True)
class TranslateConfig(ModelConfig):
    """The options of translate.py; each is explained in configs/translate.yaml."""

    input: str = "-"
    output: str = "-"
    resume: bool = False
    input_format: Literal["text", "json"] = "text"
    attention: bool = False

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TranslateConfig:
        return cast(TranslateConfig, checked(cls, plain, _impossible))


def _impossible(config: TranslateConfig) -> list[str]:
    faults = [] if any(config.runs()) else ["which model? set run=FOLDER, the folder that train.py left"]
    if config.resume and config.output == "-":
        faults.append("resume=true goes on with a file, and output=- is none; set output=FILE")
    return faults
