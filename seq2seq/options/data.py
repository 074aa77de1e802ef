"""Options of the data and the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.options.base import LONGEST, Auto, number


@dataclass(frozen=True)
class DataConfig:
    source: str = "de"
    target: str = "en"
    train: str | list[str] | None = None
    valid: str | None = None
    test: str | dict[str, str] | None = None
    valid_split: int = number(0, 0, LONGEST)
    reverse_source: bool = False
    bpe_dropout: float = number(0.0, 0.0, 0.9)
    unigram_alpha: float = number(0.0, 0.0, 10.0)
    max_length: int = number(256, 1, LONGEST)
    cache: str = "runs/encoded"
    workers: int | Auto = number("auto", 0, 1024)

    def train_prefixes(self) -> list[str]:
        return [self.train] if isinstance(self.train, str) else list(self.train or [])

    def tests(self) -> dict[str, str]:
        """Names of the test sets and their prefixes; an unnamed one is called `test`."""
        return {"test": self.test} if isinstance(self.test, str) else dict(self.test or {})


@dataclass(frozen=True)
class TokenizerConfig:
    name: Literal["bpe", "unigram", "char", "word"] = "bpe"
    vocab_size: int | Auto = number("auto", 1, 10_000_000)
    shared: bool = True
    model: str | None = None
    character_coverage: float = number(0.9999, 0.9, 1.0)
