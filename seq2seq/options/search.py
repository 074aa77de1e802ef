"""Options of the search and of its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.options.base import number


@dataclass(frozen=True)
class SearchConfig:
    beam_size: int = number(5, 1)
    n_best: int = number(1, 1)
    length_penalty: Literal["none", "average", "gnmt"] = "average"
    length_alpha: float = number(1.0, 0.0)
    coverage_penalty: float = number(0.0, 0.0, 100.0)
    min_length: int = number(1, 0)
    max_length: int = number(1000, 1)
    max_source_length: int = number(1000, 1)
    block_ngram: int = number(0, 0)
    repetition_penalty: float = number(1.0, 1.0, 100.0)
    sample: bool = False
    temperature: float = number(1.0, 0.01)
    top_k: int = number(0, 0)
    top_p: float = number(1.0, 0.001, 1.0)
    seed: int = number(1, 0)


@dataclass(frozen=True)
class MetricConfig:
    tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"] = "13a"
    lowercase: bool = False
