"""Readouts: what a decoder's output is made from, as features for the output layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.models.activations import tanh
from seq2seq.models.dropout import Dropout


class Readout(nn.Module):
    """tanh(W [x_1; x_2; ...]): the attentional vector of Luong et al. (2015), eq. 5, where it reads [c_t; h_t]."""

    pool = 1  # units joined into one feature
    reads_previous = False  # whether Bahdanau's decoder gives it s_{i-1}, as in the paper's appendix, or s_i

    def __init__(self, input_size: int, output_size: int, dropout: Dropout) -> None:
        super().__init__()
        self.output_size = output_size
        self.input_size = input_size
        self.projection = nn.Linear(input_size, self.pool * output_size)
        self.dropout = dropout

    def forward(self, *parts: Tensor, noise: Tensor | None = None) -> Tensor:
        """Parts (..., X_i) to features (..., F). In a loop over steps, `noise` (R, X) stands in for the dropout."""
        joined = torch.cat([part.to(parts[0].dtype) for part in parts], dim=-1)
        joined = self.dropout(joined) if noise is None else joined * noise
        return self.activation(self.projection(joined))

    def activation(self, projected: Tensor) -> Tensor:
        return tanh(projected)

    def noise(self, rows: int, steps: int, like: Tensor) -> list[Tensor | None]:
        """What `forward` takes at each of the steps of a training loop; None where nothing is dropped."""
        drawn = self.dropout.noise(rows, steps, self.input_size, like)
        return [None] * steps if drawn is None else list(drawn.unbind(1))


class MaxoutReadout(Readout):
    """t_ij = max(t~_i,2j-1, t~_i,2j) of t~_i = W [x_1; x_2; ...] (Goodfellow et al. 2013).

    In Bahdanau et al. (2015), appendix A.2.2, t~_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i: it reads the state before
    the step; what the step adds, y_{i-1} and c_i, it has anyway.
    """

    pool = 2
    reads_previous = True

    def activation(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:-1], self.output_size, 2).amax(dim=-1)
