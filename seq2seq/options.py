"""The options of each group, one dataclass each; what an option means stands beside it in configs/.

The defaults here are those in configs/ (a test compares them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from seq2seq.schema import component

Auto = Literal["auto"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Place = Literal["before_rnn", "after_rnn", "none"]


def number(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A field whose numbers lie between `low` and `high`, both included."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class DataConfig:
    source: str = "de"
    target: str = "en"
    train: str | list[str] | None = None
    valid: str | None = None
    test: str | dict[str, str] | None = None
    valid_split: int = number(0, 0)
    max_length: int = number(256, 1)

    def train_prefixes(self) -> list[str]:
        return [self.train] if isinstance(self.train, str) else list(self.train or [])

    def tests(self) -> dict[str, str]:
        """Names of the test sets and their prefixes; an unnamed one is called `test`."""
        return {"test": self.test} if isinstance(self.test, str) else dict(self.test or {})


@dataclass(frozen=True)
class TokenizerConfig:
    name: Literal["bpe", "unigram", "char", "word"] = "bpe"
    vocab_size: int | Auto = number("auto", 1)
    shared: bool = True
    model: str | None = None
    character_coverage: float = number(0.9999, 0.9, 1.0)


@dataclass(frozen=True)
class EncoderConfig:
    name: str
    hidden_size: int = number(256, 1)
    num_layers: int = number(1, 1)
    bidirectional: bool = True
    dropout: float = number(0.3, 0.0, 0.95)

    @property
    def output_size(self) -> int:
        return self.hidden_size * (2 if self.bidirectional else 1)


@component("encoder", "gru")
@dataclass(frozen=True)
class GRUEncoderConfig(EncoderConfig):
    name: str = "gru"


@component("encoder", "lstm")
@dataclass(frozen=True)
class LSTMEncoderConfig(EncoderConfig):
    name: str = "lstm"


@dataclass(frozen=True)
class AttentionConfig:
    """What every attention has: its name, and its paper's place in the decoder. A new one's options derive from it."""

    name: str
    attend: Place = "after_rnn"


@component("attention", "bahdanau")
@dataclass(frozen=True)
class BahdanauConfig(AttentionConfig):
    name: str = "bahdanau"
    attend: Place = "before_rnn"
    key_size: int | Auto = number("auto", 1)


@component("attention", "luong_dot")
@dataclass(frozen=True)
class LuongDotConfig(AttentionConfig):
    name: str = "luong_dot"


@component("attention", "luong_general")
@dataclass(frozen=True)
class LuongGeneralConfig(AttentionConfig):
    name: str = "luong_general"


@component("attention", "luong_concat")
@dataclass(frozen=True)
class LuongConcatConfig(AttentionConfig):
    name: str = "luong_concat"
    key_size: int | Auto = number("auto", 1)


@component("attention", "none")
@dataclass(frozen=True)
class NoAttentionConfig(AttentionConfig):
    name: str = "none"
    attend: Place = "none"


@dataclass(frozen=True)
class DecoderConfig:
    name: str
    hidden_size: int | Auto = number("auto", 1)
    num_layers: int = number(1, 1)
    dropout: float = number(0.3, 0.0, 0.95)
    input_feeding: bool = False
    readout_size: int | Auto = number("auto", 1)
    attend: Place | Auto = "auto"


@component("decoder", "gru")
@dataclass(frozen=True)
class GRUDecoderConfig(DecoderConfig):
    name: str = "gru"


@component("decoder", "lstm")
@dataclass(frozen=True)
class LSTMDecoderConfig(DecoderConfig):
    name: str = "lstm"


@component("optimizer", "adam")
@dataclass(frozen=True)
class AdamConfig:
    name: str = "adam"
    learning_rate: float = number(2e-3, 0.0)
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    epsilon: float = number(1e-8, 0.0)


@component("optimizer", "adamw")
@dataclass(frozen=True)
class AdamWConfig(AdamConfig):
    name: str = "adamw"
    weight_decay: float = number(0.01, 0.0)


@component("optimizer", "sgd")
@dataclass(frozen=True)
class SGDConfig:
    name: str = "sgd"
    learning_rate: float = number(1.0, 0.0)
    momentum: float = number(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class SchedulerConfig:
    name: str
    warmup_updates: int = number(0, 0)


@component("scheduler", "constant")
@dataclass(frozen=True)
class ConstantConfig(SchedulerConfig):
    name: str = "constant"


@component("scheduler", "inverse_sqrt")
@dataclass(frozen=True)
class InverseSqrtConfig(SchedulerConfig):
    name: str = "inverse_sqrt"
    warmup_updates: int = number(4000, 1)


@component("scheduler", "cosine")
@dataclass(frozen=True)
class CosineConfig(SchedulerConfig):
    name: str = "cosine"
    decay_updates: int | Auto = number("auto", 1)
    final_ratio: float = number(0.0, 0.0, 1.0)


@component("scheduler", "plateau")
@dataclass(frozen=True)
class PlateauConfig(SchedulerConfig):
    name: str = "plateau"
    factor: float = number(0.5, 0.0, 1.0)
    patience: int = number(0, 0)
    min_learning_rate: float = number(1e-5, 0.0)


@dataclass(frozen=True)
class TrainerConfig:
    max_epochs: int | None = number(30, 1)
    max_updates: int | None = number(None, 1)
    max_minutes: float | None = number(None, 0.0)
    batch_tokens: int | None = number(None, 1)
    batch_sentences: int | None = number(64, 1)
    accumulate: int = number(1, 1)
    validate_every: int | str = number("1 epoch", 1)
    save_every: int | str = number("1 epoch", 1)
    keep_last: int = number(1, 1)
    best: Literal["loss", "perplexity", "bleu"] = "bleu"
    patience: int | None = number(5, 1)
    label_smoothing: float = number(0.1, 0.0, 0.95)
    clip_norm: float | None = number(1.0, 0.0)
    log_seconds: float = number(10.0, 0.1)
    translate_batch: int = number(64, 1)
    samples: int = number(3, 0)


@dataclass(frozen=True)
class SearchConfig:
    beam_size: int = number(5, 1)
    n_best: int = number(1, 1)
    length_penalty: Literal["none", "average", "gnmt"] = "average"
    length_alpha: float = number(1.0, 0.0)
    min_length: int = number(1, 0)
    max_length: int = number(1000, 1)
    max_source_length: int = number(1000, 1)
    sample: bool = False
    temperature: float = number(1.0, 0.01)
    top_k: int = number(0, 0)
    top_p: float = number(1.0, 0.0, 1.0)
    seed: int = number(1, 0)


@dataclass(frozen=True)
class MetricConfig:
    tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"] = "13a"
    lowercase: bool = False


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how fast: the options that every command shares."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "auto"
    threads: int | Auto = number("auto", 1)
    deterministic: bool = False
