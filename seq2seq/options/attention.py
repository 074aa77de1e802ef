"""Options of the attentions: those that all share, and each score's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from seq2seq.options.base import LARGEST_SIZE, LONGEST, MOST_HEADS, Auto, number, numbers, resolve
from seq2seq.schema import component

Activation = Literal["tanh", "sigmoid", "relu"]
OwnPlace = Literal["before_rnn", "after_rnn"]


@dataclass(frozen=True)
class AttentionConfig:
    """What every attention has: its name, its paper's place in the decoder, and all that can be done to its scores.

    The options of an attention of one's own derive from it.
    """

    reads_source: ClassVar[bool] = True  # whether the score depends on the keys
    same_size: ClassVar[bool] = False  # whether the query and the memory must be of one size

    name: str
    attend: OwnPlace = "after_rnn"
    value_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    normalizer: Literal["softmax", "sparsemax", "entmax15"] = "softmax"
    temperature: float = number(1.0, 0.01, 1000.0)
    dropout: float = number(0.0, 0.0, 0.95)
    window: Literal["none", "local_m", "local_p"] = "none"
    window_size: int = number(10, 1, LONGEST)
    prior: Literal["none", "beginning", "end", "diagonal", "band"] = "none"
    prior_strength: float = number(1.0, 0.0, 1e6)
    prior_width: float = number(5.0, 0.1, 1e6)
    prior_slope: float | Auto = number("auto", 0.0, 1000.0)
    prior_weights: list[float] | None = numbers(None, -1e6, 1e6, most=1000)
    coverage: Literal["none", "linguistic", "neural"] = "none"
    coverage_size: int = number(10, 1, LARGEST_SIZE)
    max_fertility: float = number(2.0, 0.1, 1000.0)
    coverage_loss: float = number(0.0, 0.0, 1000.0)

    def fitted(self, slope: float) -> Self:
        """With the mean of source pieces a target piece in the training data, where the prior asks for it."""
        return replace(self, prior_slope=slope) if self.prior_slope == "auto" else self

    def faults(self, query_size: int) -> list[str]:
        """Options of its own that can't go together, for queries of this size."""
        if self.coverage == "none" or self.reads_source:
            return []
        return [
            f"attention.coverage={self.coverage} works through the keys, but attention={self.name} doesn't read the "
            "source; set attention.coverage=none"
        ]

    @property
    def longest(self) -> int | None:
        """The most source pieces, EOS counted, that it can score; None: any number."""
        return None


@dataclass(frozen=True)
class AdditiveConfig(AttentionConfig):
    key_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    activation: Activation = "tanh"


@component("attention", "bahdanau")
@dataclass(frozen=True)
class BahdanauConfig(AdditiveConfig):
    name: str = "bahdanau"
    attend: OwnPlace = "before_rnn"


@component("attention", "bahdanau_normed")
@dataclass(frozen=True)
class BahdanauNormedConfig(AdditiveConfig):
    name: str = "bahdanau_normed"
    attend: OwnPlace = "before_rnn"


@component("attention", "luong_dot")
@dataclass(frozen=True)
class LuongDotConfig(AttentionConfig):
    same_size: ClassVar[bool] = True

    name: str = "luong_dot"


@component("attention", "luong_general")
@dataclass(frozen=True)
class LuongGeneralConfig(AttentionConfig):
    name: str = "luong_general"


@component("attention", "luong_concat")
@dataclass(frozen=True)
class LuongConcatConfig(AdditiveConfig):
    name: str = "luong_concat"


@component("attention", "luong_location")
@dataclass(frozen=True)
class LuongLocationConfig(AttentionConfig):
    reads_source: ClassVar[bool] = False

    name: str = "luong_location"
    max_source_length: int = number(257, 2, LONGEST)

    @property
    def longest(self) -> int | None:
        return self.max_source_length


@component("attention", "scaled_dot")
@dataclass(frozen=True)
class ScaledDotConfig(AttentionConfig):
    same_size: ClassVar[bool] = True

    name: str = "scaled_dot"


@component("attention", "scaled_general")
@dataclass(frozen=True)
class ScaledGeneralConfig(AttentionConfig):
    name: str = "scaled_general"


@component("attention", "cosine")
@dataclass(frozen=True)
class CosineAttentionConfig(AttentionConfig):
    same_size: ClassVar[bool] = True

    name: str = "cosine"


@component("attention", "multi_head")
@dataclass(frozen=True)
class MultiHeadConfig(AttentionConfig):
    name: str = "multi_head"
    num_heads: int = number(4, 1, MOST_HEADS)
    head_score: Literal["dot", "scaled_dot", "general", "additive"] = "scaled_dot"
    key_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    activation: Activation = "tanh"

    def faults(self, query_size: int) -> list[str]:
        faults = super().faults(query_size)
        for key, asked in (("key_size", self.key_size), ("value_size", self.value_size)):
            size = resolve(asked, query_size)
            if size % self.num_heads:
                what = "the decoder's hidden size" if isinstance(asked, str) else f"attention.{key}"
                faults.append(
                    f"{what} ({size}) can't be shared out to attention.num_heads={self.num_heads}; "
                    f"set attention.{key}={(size // self.num_heads + 1) * self.num_heads}"
                )
        return faults


@component("attention", "none")
@dataclass(frozen=True)
class NoAttentionConfig:
    coverage_loss: ClassVar[float] = 0.0

    name: str = "none"
    attend: Literal["none"] = "none"

    def fitted(self, slope: float) -> Self:
        return self

    @property
    def longest(self) -> int | None:
        return None
