"""Options of the encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from seq2seq.options.base import LARGEST_SIZE, LONGEST, MOST_LAYERS, Auto, Positions, number, residual_faults, resolve
from seq2seq.options.transformer import TransformerOptions
from seq2seq.schema import component


@dataclass(frozen=True)
class EncoderConfig:
    """What every encoder has: its name, and dropout on the embeddings and inside."""

    with_cell: ClassVar[bool] = False  # whether its final state has an LSTM's cell
    reads_order: ClassVar[bool] = True  # whether the order of the words makes a difference

    name: str
    dropout: float = number(0.3, 0.0, 0.95)
    word_dropout: float = number(0.0, 0.0, 0.95)

    def output_size(self, embedding_size: int) -> int:
        """M, the size of what is attended to."""
        raise NotImplementedError

    def faults(self, embedding_size: int) -> list[str]:
        """Options of its own that can't go together, each with a way out."""
        return []

    @property
    def state_layers(self) -> int:
        """Layers of the final state; the mean that stands in for one has a single layer."""
        return 1

    @property
    def longest(self) -> int | None:
        """The most source pieces, EOS counted, that it can read; None: any number."""
        return None


@dataclass(frozen=True)
class RecurrentEncoderConfig(EncoderConfig):
    hidden_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    num_layers: int = number(1, 1, MOST_LAYERS)
    bidirectional: bool = True
    layer_norm: bool = False
    residual: bool = False
    locked_dropout: bool = False
    recurrent_dropout: float = number(0.0, 0.0, 0.95)

    def output_size(self, embedding_size: int) -> int:
        return resolve(self.hidden_size, embedding_size) * (2 if self.bidirectional else 1)

    def faults(self, embedding_size: int) -> list[str]:
        return residual_faults("encoder", self)

    @property
    def state_layers(self) -> int:
        return self.num_layers


@component("encoder", "gru")
@dataclass(frozen=True)
class GRUEncoderConfig(RecurrentEncoderConfig):
    cell: ClassVar[str] = "gru"

    name: str = "gru"


@component("encoder", "lstm")
@dataclass(frozen=True)
class LSTMEncoderConfig(RecurrentEncoderConfig):
    cell: ClassVar[str] = "lstm"
    with_cell: ClassVar[bool] = True

    name: str = "lstm"


@component("encoder", "mean")
@dataclass(frozen=True)
class MeanEncoderConfig(EncoderConfig):
    reads_order: ClassVar[bool] = False

    name: str = "mean"

    def output_size(self, embedding_size: int) -> int:
        return embedding_size


@component("encoder", "cnn")
@dataclass(frozen=True)
class CNNEncoderConfig(EncoderConfig):
    name: str = "cnn"
    dropout: float = number(0.2, 0.0, 0.95)
    hidden_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    num_layers: int = number(4, 1, MOST_LAYERS)
    kernel_size: int = number(3, 1, 1001)
    positions: Positions = "learned"
    max_length: int = number(1024, 2, LONGEST)

    def output_size(self, embedding_size: int) -> int:
        return embedding_size

    def faults(self, embedding_size: int) -> list[str]:
        if self.kernel_size % 2:
            return []
        fix = f"set encoder.kernel_size={self.kernel_size + 1}"
        return [f"encoder.kernel_size={self.kernel_size} must be odd, to look as far back as ahead; {fix}"]

    @property
    def longest(self) -> int | None:
        return self.max_length if self.positions == "learned" else None


@component("encoder", "transformer")
@dataclass(frozen=True)
class TransformerEncoderConfig(TransformerOptions, EncoderConfig):
    name: str = "transformer"

    def output_size(self, embedding_size: int) -> int:
        return self.width(embedding_size)

    def faults(self, embedding_size: int) -> list[str]:
        return self.head_faults("encoder", embedding_size)
