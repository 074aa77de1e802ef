"""Options of the decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from seq2seq.options.base import LARGEST_SIZE, MOST_LAYERS, Auto, Place, number, residual_faults, resolve
from seq2seq.options.transformer import TransformerOptions
from seq2seq.schema import component


@dataclass(frozen=True)
class DecoderConfig:
    """What every decoder has: its name, and dropout on the embeddings and inside."""

    needs_attention: ClassVar[bool] = True
    only_attention: ClassVar[str | None] = None  # the one name that it takes
    features_key: ClassVar[str] = "decoder.readout_size"  # the option that sets the size of what the output layer reads

    name: str
    dropout: float = number(0.3, 0.0, 0.95)
    word_dropout: float = number(0.0, 0.0, 0.95)

    def features(self, embedding_size: int) -> int:
        """F, the size of what the output layer reads."""
        raise NotImplementedError

    def state_size(self, embedding_size: int, encoder_size: int) -> int:
        """H, the size of the states, which ask."""
        raise NotImplementedError

    def place(self, attention: Place) -> Place:
        """Where attention stands, given its paper's place; a decoder whose own paper fixes it has no choice."""
        return attention

    @property
    def copies_state(self) -> bool:
        """Whether the encoder's final state becomes the first as it is."""
        return False

    @property
    def locks_dropout(self) -> bool:
        """Whether the same units are dropped at all steps."""
        return False

    @property
    def feeds_input(self) -> bool:
        """Whether the attentional vector enters the next step."""
        return False

    def faults(self, embedding_size: int) -> list[str]:
        """Options of its own that can't go together, each with a way out."""
        return []

    @property
    def longest(self) -> int | None:
        """The most target pieces, EOS counted, that it can write; None: any number."""
        return None


@dataclass(frozen=True)
class RecurrentDecoderConfig(DecoderConfig):
    hidden_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    readout: Literal["tanh", "maxout"] = "tanh"
    readout_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    bridge: Literal["tanh", "copy"] = "tanh"
    layer_norm: bool = False
    locked_dropout: bool = False
    recurrent_dropout: float = number(0.0, 0.0, 0.95)

    def features(self, embedding_size: int) -> int:
        return resolve(self.readout_size, embedding_size)

    def state_size(self, embedding_size: int, encoder_size: int) -> int:
        return resolve(self.hidden_size, encoder_size)

    @property
    def copies_state(self) -> bool:
        return self.bridge == "copy"

    @property
    def locks_dropout(self) -> bool:
        return self.locked_dropout


@dataclass(frozen=True)
class StackedDecoderConfig(RecurrentDecoderConfig):
    """A stack of one kind of cell, attention before it, after it or not at all."""

    needs_attention: ClassVar[bool] = False

    num_layers: int = number(1, 1, MOST_LAYERS)
    residual: bool = False
    input_feeding: bool = False
    attend: Place | Auto = "auto"
    source_vector: Literal["initial", "every_step"] = "initial"

    @property
    def feeds_input(self) -> bool:
        return self.input_feeding

    def place(self, attention: Place) -> Place:
        return attention if self.attend == "auto" else self.attend

    def faults(self, embedding_size: int) -> list[str]:
        return residual_faults("decoder", self)


@component("decoder", "gru")
@dataclass(frozen=True)
class GRUDecoderConfig(StackedDecoderConfig):
    cell: ClassVar[str] = "gru"

    name: str = "gru"


@component("decoder", "lstm")
@dataclass(frozen=True)
class LSTMDecoderConfig(StackedDecoderConfig):
    cell: ClassVar[str] = "lstm"

    name: str = "lstm"


@component("decoder", "conditional_gru")
@dataclass(frozen=True)
class ConditionalGRUDecoderConfig(RecurrentDecoderConfig):
    """One state, moved twice a step; depth and place are the paper's."""

    cell: ClassVar[str] = "gru"
    num_layers: ClassVar[int] = 1

    name: str = "conditional_gru"


@component("decoder", "gnmt")
@dataclass(frozen=True)
class GNMTDecoderConfig(RecurrentDecoderConfig):
    name: str = "gnmt"
    cell: Literal["lstm", "gru"] = "lstm"
    num_layers: int = number(2, 2, MOST_LAYERS)
    residual: bool = True


@component("decoder", "transformer")
@dataclass(frozen=True)
class TransformerDecoderConfig(TransformerOptions, DecoderConfig):
    only_attention: ClassVar[str | None] = "multi_head"
    features_key: ClassVar[str] = "decoder.hidden_size"

    name: str = "transformer"

    def features(self, embedding_size: int) -> int:
        return self.width(embedding_size)

    def state_size(self, embedding_size: int, encoder_size: int) -> int:
        return self.width(embedding_size)

    def faults(self, embedding_size: int) -> list[str]:
        return self.head_faults("decoder", embedding_size)
