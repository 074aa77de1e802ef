"""What a Transformer's encoder and decoder have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.options.base import LARGEST_SIZE, LONGEST, MOST_HEADS, MOST_LAYERS, Auto, number, resolve


@dataclass(frozen=True)
class TransformerOptions:
    """Options that go before those of every encoder or decoder."""

    dropout: float = number(0.1, 0.0, 0.95)
    hidden_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    num_layers: int = number(3, 1, MOST_LAYERS)
    num_heads: int = number(4, 1, MOST_HEADS)
    feedforward_size: int | Auto = number("auto", 1, LARGEST_SIZE)
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned", "rotary"] = "sinusoidal"
    max_length: int = number(1024, 2, LONGEST)

    def width(self, embedding_size: int) -> int:
        """d_model, the size of every layer."""
        return resolve(self.hidden_size, embedding_size)

    @property
    def longest(self) -> int | None:
        """The most pieces, EOS counted, that it has positions for; None: any number."""
        return self.max_length if self.positions == "learned" else None

    def head_faults(self, group: str, embedding_size: int) -> list[str]:
        """Whether the heads share its width out evenly, and rotary positions find pairs in each."""
        size, faults = self.width(embedding_size), []
        share, rest = divmod(size, self.num_heads)
        if rest:
            faults.append(
                f"{group}.hidden_size={size} is no multiple of {group}.num_heads={self.num_heads}; "
                f"set {group}.hidden_size={(share + 1) * self.num_heads}"
            )
        elif self.positions == "rotary" and share % 2:
            faults.append(
                f"{group}.positions=rotary turns pairs of units, but {group}.hidden_size={size} over "
                f"{group}.num_heads={self.num_heads} leaves {share} to a head; "
                f"set {group}.hidden_size={(share + 1) * self.num_heads}"
            )
        return faults
