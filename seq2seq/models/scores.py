"""Score functions: how well each source position answers a query. One class per formula.

Query (B, Q, H) against keys (B, S, A) gives scores (B, Q, S), for all Q queries of a sentence at once: the T steps of
teacher forcing, the K beams of a search, or one step. h_t is a decoder state, h_s (in Bahdanau et al.: h_j) the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.errors import DataError
from seq2seq.models.additive import RELU, SIGMOID, TANH, Activation, additive_scores

# the nonlinearity of the additive scores; both papers take the tanh
ACTIVATIONS: dict[str, Activation] = {"tanh": TANH, "sigmoid": SIGMOID, "relu": RELU}

# CosineScore counts a shorter vector as one of this length: a zero vector scores 0, with a finite gradient
SHORTEST = 1e-4


class Score(nn.Module):
    """A score function: `project` runs once a sentence, `forward` at every query."""

    def project(self, memory: Tensor) -> Tensor:
        """Memory (B, S, M) as keys (B, S, A); by default the memory itself."""
        return memory

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, Q, S) of queries (B, Q, H) against keys (B, S, A)."""
        raise NotImplementedError


class DotScore(Score):
    """score(h_t, h_s) = h_t^T h_s: "dot" of Luong et al. (2015), section 3.1.

    It has no parameters, so the query and the memory must be of one size.
    """

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(query, keys.transpose(1, 2))  # (B, Q, H) x (B, H, S) -> (B, Q, S)


class ScaledDotScore(DotScore):
    """score(h_t, h_s) = h_t^T h_s / sqrt(d): Vaswani et al. (2017), section 3.2.1, eq. 1.

    The sum of d products of independent terms of variance 1 has variance d; the division brings that back to 1.
    """

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().forward(query * query.shape[-1] ** -0.5, keys)


class CosineScore(DotScore):
    """score(h_t, h_s) = g cos(h_t, h_s), with a learned gain g > 0, at first 10.

    The content addressing of the Neural Turing Machine (Graves et al. 2014, section 3.3.1), whose key strength g is
    here one number, not an output of the controller. Without it all scores would lie in [-1, 1] and no weight could
    be sharp.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.tensor(math.log(10.0)))

    def project(self, memory: Tensor) -> Tensor:
        return F.normalize(memory, dim=-1, eps=SHORTEST)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().forward(self.log_gain.exp() * F.normalize(query, dim=-1, eps=SHORTEST), keys)


class GeneralScore(DotScore):
    """score(h_t, h_s) = h_t^T W_a h_s: "general" of Luong et al. (2015), section 3.1.

    W_a is applied to the memory once a sentence, which leaves a dot product to each decoder step.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.key_projection = nn.Linear(memory_size, query_size, bias=False)  # W_a

    def project(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.key_projection(memory)  # (B, S, M) -> (B, S, H)
        return keys


class ScaledGeneralScore(GeneralScore):
    """score(h_t, h_s) = g h_t^T W_a h_s, with a learned scalar g, at first 1: "scaled_luong" of tensorflow/nmt."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.gain = nn.Parameter(torch.ones(()))

    def project(self, memory: Tensor) -> Tensor:
        return self.gain * super().project(memory)  # (B, S, H)


class AdditiveScore(Score):
    """score(s, h_j) = v_a^T tanh(W_a s + U_a h_j): Bahdanau et al. (2015), appendix A.1.2.

    "concat" of Luong et al. (2015), v_a^T tanh(W_a [h_t; h_s]), is the same function: a matrix applied to two
    joined vectors is the sum of its two halves applied to each. The two papers differ in which state asks: Bahdanau's
    the one before the RNN's step, Luong's the one after it. Another `activation` may stand for the tanh.
    """

    def __init__(self, query_size: int, memory_size: int, key_size: int, activation: Activation = TANH) -> None:
        super().__init__()
        self.query_projection = nn.Linear(query_size, key_size, bias=False)  # W_a
        self.key_projection = nn.Linear(memory_size, key_size, bias=False)  # U_a
        self.energy = nn.Linear(key_size, 1, bias=False)  # v_a
        self.activation = activation

    def project(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.key_projection(memory)  # (B, S, M) -> (B, S, A)
        return keys

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        query = self.query_projection(query)  # (B, Q, H) -> (B, Q, A)
        return additive_scores(query, keys, self.vector(), self.activation)  # (B, Q, S)

    def vector(self) -> Tensor:
        """v_a (A,)."""
        return self.energy.weight.squeeze(0)


class NormedAdditiveScore(AdditiveScore):
    """score(s, h_j) = g v^T/||v|| tanh(W s + U h_j + b): "normed_bahdanau" of tensorflow/nmt.

    Weight normalization (Salimans & Kingma 2016, section 2, eq. 2) of v_a, whose length g is learned apart from its
    direction. As there, g starts at sqrt(1/A) and b at 0. b is added to the keys, once a sentence.
    """

    def __init__(self, query_size: int, memory_size: int, key_size: int, activation: Activation = TANH) -> None:
        super().__init__(query_size, memory_size, key_size, activation)
        self.key_projection = nn.Linear(memory_size, key_size)  # U and b
        nn.init.zeros_(self.key_projection.bias)
        self.gain = nn.Parameter(torch.tensor(key_size**-0.5))

    def vector(self) -> Tensor:
        return self.gain * F.normalize(super().vector(), dim=-1)


class LocationScore(Score):
    """score(h_t, s) = (W_a h_t)_s: "location" of Luong et al. (2015), section 3.1, which looks at no source word.

    W_a has a row for each source position, so the longest source has to be known when the model is built.
    """

    def __init__(self, query_size: int, max_source_length: int) -> None:
        super().__init__()
        self.location = nn.Linear(query_size, max_source_length, bias=False)  # W_a

    def project(self, memory: Tensor) -> Tensor:
        return memory[..., :0]  # (B, S, 0): only S is asked of it

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """As every score.

        Raises:
            DataError: the source is longer than `max_source_length`.
        """
        length, limit = keys.shape[1], self.location.out_features
        if length > limit:
            raise DataError(
                f"a source of {length} tokens is longer than attention.max_source_length={limit}, the positions that "
                f"location attention has weights for; split the sentence, or train with "
                f"attention.max_source_length={length} or more"
            )
        return F.linear(query, self.location.weight[:length])  # (B, Q, H) -> (B, Q, S)


class MultiHeadScore(Score):
    """head_i: score_i(W_q^i q, W_k^i h): Vaswani et al. (2017), section 3.2.2, with any score in its heads.

    Query and memory are projected to h vectors of size d = key_size / h, one for each of the `heads`, which are scores
    for a query and a memory of that size, all of one kind. There the scores are ScaledDotScore's.
    """

    def __init__(self, query_size: int, memory_size: int, key_size: int, heads: Sequence[Score]) -> None:
        super().__init__()
        assert key_size % len(heads) == 0, (key_size, len(heads))  # the config checks it
        self.query_projection = nn.Linear(query_size, key_size, bias=False)  # all W_q^i
        self.key_projection = nn.Linear(memory_size, key_size, bias=False)  # all W_k^i
        self.heads = nn.ModuleList(heads)

    def project(self, memory: Tensor) -> Tensor:
        """Memory (B, S, M) as the keys of all heads, side by side: (B, S, h*A)."""
        parts = self.key_projection(memory).chunk(len(self.heads), dim=-1)  # h of (B, S, d)
        keys = [head.project(part) for head, part in zip(self._scores(), parts, strict=True)]
        return torch.stack(keys, dim=2).flatten(2)  # h of (B, S, A) -> (B, S, h*A)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (h, B, Q, S): the heads come first, so that masks and biases of (B, Q, S) broadcast."""
        count = len(self.heads)
        queries = self.query_projection(query).chunk(count, dim=-1)  # h of (B, Q, d)
        scored = zip(self._scores(), queries, keys.chunk(count, dim=-1), strict=True)
        return torch.stack([head(query, key) for head, query, key in scored])

    def _scores(self) -> Iterable[Score]:
        return cast(Iterable[Score], self.heads)  # a ModuleList forgets the type of its members
