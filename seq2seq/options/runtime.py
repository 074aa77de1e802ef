"""Options of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.options.base import Auto, Precision, number


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how fast: the options that every command shares."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "auto"
    threads: int | Auto = number("auto", 1, 1024)
    deterministic: bool = False
