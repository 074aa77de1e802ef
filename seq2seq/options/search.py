"""Options of the search and of its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.options.base import LONGEST, number


@dataclass(frozen=True)
class SearchConfig:
    beam_size: int = number(5, 1, 1000)
    beam_threshold: float = number(0.0, 0.0, 1000.0)
    n_best: int = number(1, 1, 1000)
    length_penalty: Literal["none", "average", "gnmt"] = "average"
    length_alpha: float = number(1.0, 0.0, 10.0)
    coverage_penalty: float = number(0.0, 0.0, 100.0)
    min_length: int = number(1, 0, LONGEST)
    max_length: int = number(1000, 1, LONGEST)
    max_source_length: int = number(1000, 1, LONGEST)
    block_ngram: int = number(0, 0, 1000)
    repetition_penalty: float = number(1.0, 1.0, 100.0)
    shortlist: int = number(0, 0, 10_000_000)
    sample: bool = False
    temperature: float = number(1.0, 0.01, 1000.0)
    top_k: int = number(0, 0, 10_000_000)
    top_p: float = number(1.0, 0.001, 1.0)
    seed: int = number(1, 0)


@dataclass(frozen=True)
class MetricConfig:
    tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"] = "13a"
    lowercase: bool = False
