"""Positions, for models that don't know order by themselves: added to embeddings, or turned into queries and keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError, DataError

BASE = 10000.0  # of the wavelengths, in Vaswani et al. (2017) and Su et al. (2021) alike


class Positions(nn.Module):
    """Where each word stands. Of its two places to be told a model, a class changes one; this one changes neither.

    `first` is the position, from 0, of the first word given: decoding step by step, the number of the step.
    """

    def forward(self, embedded: Tensor, first: int = 0) -> Tensor:
        """Embeddings (B, T, E) with their positions in them, as the bottom layer reads them."""
        return embedded

    def rotate(self, vectors: Tensor, first: int = 0) -> Tensor:
        """The queries or keys (B, h, T, d) of self-attention, with their positions in them."""
        return vectors


class Sinusoidal(Positions):
    """PE(t, 2i) = sin(t / 10000^(2i/E)) and PE(t, 2i+1) = cos of the same: Vaswani et al. (2017), section 3.5.

    Computed for the words that are there, however many. `amplitude`, 1 in the paper, is for embeddings that are smaller
    than its own of variance 1.
    """

    def __init__(self, amplitude: float = 1.0) -> None:
        super().__init__()
        self.amplitude = amplitude

    def forward(self, embedded: Tensor, first: int = 0) -> Tensor:
        length, size = embedded.shape[1:]
        angles = _angles(first, length, size, embedded.device)  # (T, E/2), rounded up
        waves = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :size]  # (T, E)
        return embedded + (self.amplitude * waves).to(embedded.dtype)


class Learned(Positions):
    """A vector for each of `max_length` positions: Gehring et al. (2017), section 3.1.

    Drawn from N(0, std^2); the paper draws them as it draws the embeddings.
    """

    def __init__(self, max_length: int, size: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_length, size))
        nn.init.normal_(self.weight, std=std)

    def forward(self, embedded: Tensor, first: int = 0) -> Tensor:
        """As every class of positions.

        Raises:
            DataError: more words than there are vectors.
        """
        end, limit = first + embedded.shape[1], self.weight.shape[0]
        if end > limit:
            raise DataError(
                f"a sentence of {end} tokens is longer than max_length={limit}, the positions that the model has "
                f"learned; split the sentence, or train with max_length={end} or more, or with positions=sinusoidal"
            )
        return embedded + self.weight[first:end]


class Rotary(Positions):
    """Turns queries and keys by an angle that grows with their position: Su et al. (2021), section 3.2.

    Each pair of dimensions is turned by t * theta_i with theta_i = 10000^(-2i/d), i from 0, so that the dot product of
    a query at t and a key at s depends on the positions through t - s alone. A pair is here (i, i + d/2) where the
    paper has neighbours, which is the same but for the order of a learned projection's rows, and quicker.
    """

    def __init__(self, head_size: int) -> None:
        super().__init__()
        if head_size % 2:
            raise ConfigError(
                f"positions=rotary turns pairs of dimensions, so that hidden_size / num_heads must be even, not "
                f"{head_size}; change one of the two, or set positions=sinusoidal"
            )

    def rotate(self, vectors: Tensor, first: int = 0) -> Tensor:
        length, size = vectors.shape[2:]
        angles = _angles(first, length, size, vectors.device)  # (T, d/2)
        cos, sin = angles.cos(), angles.sin()
        left, right = vectors.chunk(2, dim=-1)  # (B, h, T, d/2) each
        turned = torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)
        return turned.to(vectors.dtype)


def _angles(first: int, length: int, size: int, device: torch.device) -> Tensor:
    """t / 10000^(2i/size) for `length` positions t and the pairs i of dimensions: (T, size/2), rounded up.

    In float32 whatever the model's own type is: a half's steps are too coarse beyond some hundred positions.
    """
    pairs = torch.arange(0, size, 2, device=device, dtype=torch.float32)  # 2i
    rates = torch.exp(pairs * (-math.log(BASE) / size))
    positions = torch.arange(first, first + length, device=device, dtype=torch.float32)
    return positions.unsqueeze(1) * rates
