"""Options of commands, apart from the work that they are for: a mistyped one doesn't wait for torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from seq2seq.config import checked
from seq2seq.options import RuntimeConfig, number


@dataclass(frozen=True)
class TranslateConfig(RuntimeConfig):
    """The options of translate.py; each is explained in configs/translate.yaml."""

    run: str | None = None
    checkpoint: Literal["best", "last"] = "best"
    input: str = "-"
    output: str = "-"
    resume: bool = False
    input_format: Literal["text", "json"] = "text"
    batch_size: int = number(64, 1)
    attention: bool = False
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TranslateConfig:
        return cast(TranslateConfig, checked(cls, plain, _impossible))


def _impossible(config: TranslateConfig) -> list[str]:
    faults = [] if config.run else ["which model? set run=FOLDER, the folder that train.py left"]
    if config.resume and config.output == "-":
        faults.append("resume=true goes on with a file, and output=- is none; set output=FILE")
    return faults
