"""The convolutional encoder of Gehring et al. (2017), "Convolutional Sequence to Sequence Learning"."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.errors import ConfigError
from seq2seq.models.dropout import Dropout
from seq2seq.models.encoders import Encoder, padding_mask
from seq2seq.models.memory import Encoded
from seq2seq.models.positions import Positions

ROOT_HALF = math.sqrt(0.5)  # scales a sum of two independent terms back to the variance of one (section 3.4)


class ConvolutionalEncoder(Encoder):
    """Gated convolutions over embeddings with their positions (section 3): what a word's neighbours make of it.

    Attention compares with the top layer's z_j, but contexts are made of (z_j + e_j) * sqrt(0.5), where e_j is the
    embedding with its position: eq. 2, which lacks the factor. Like every other sum this one is scaled, as in the
    authors' fairseq. L layers of width k see L * (k - 1) + 1 words.

    Without the weight normalization of section 3.4, and without its scaling of the encoder's gradients, which is for
    decoders with several attentions.
    """

    def __init__(
        self,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        kernel_size: int,
        positions: Positions,
        dropout: float,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ConfigError(
                f"encoder.kernel_size must be odd, as many words to the left as to the right, not {kernel_size}"
            )
        self.output_size = embedding_size
        self.positions, self.dropout = positions, Dropout(dropout)
        self.widen = nn.Linear(embedding_size, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, kernel_size, dropout) for _ in range(num_layers))
        self.narrow = nn.Linear(hidden_size, embedding_size)
        _draw(self.widen, 1.0 - dropout)
        _draw(self.narrow, 1.0)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        mask = padding_mask(lengths, embedded.shape[1], embedded.device)
        padding = ~mask.unsqueeze(1)  # (B, 1, S)
        read = self.dropout(self.positions(embedded))  # (B, S, E): e
        hidden = self.widen(read).transpose(1, 2)  # (B, H, S), as convolutions want it
        for block in self.blocks:
            hidden = block(hidden, padding)
        memory = self.narrow(hidden.transpose(1, 2)).masked_fill(padding.transpose(1, 2), 0.0)  # (B, S, E): z
        return Encoded(memory, mask, None, values=(memory + read).masked_fill(padding.transpose(1, 2), 0.0) * ROOT_HALF)


class Block(nn.Module):
    """h^l = (GLU(W * h^(l-1) + b) + h^(l-1)) * sqrt(0.5), sections 3.2 and 3.4.

    The gated linear unit GLU([a; g]) = a sigmoid(g) is that of Dauphin et al. (2017).
    """

    def __init__(self, size: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.convolution = nn.Conv1d(size, 2 * size, kernel_size, padding=kernel_size // 2)
        _draw(self.convolution, 4.0 * (1.0 - dropout))

    def forward(self, hidden: Tensor, padding: Tensor) -> Tensor:
        """Hidden (B, H, S) to the same; where `padding` (B, 1, S), a word's window sees zeros, as beyond the batch."""
        seen = self.dropout(hidden).masked_fill(padding, 0.0)
        gated = F.glu(self.convolution(seen), dim=1)
        return (gated + hidden) * ROOT_HALF


def _draw(layer: nn.Linear | nn.Conv1d, gain: float) -> None:
    """Weights from N(0, gain / n) with n inputs to each unit, and zero biases.

    Section 3.5: the gain is 4 before a gated linear unit, which quarters the variance of small inputs, else 1, each
    times the share p of inputs that dropout before the layer leaves.
    """
    assert layer.bias is not None
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=math.sqrt(gain / inputs))
    nn.init.zeros_(layer.bias)
