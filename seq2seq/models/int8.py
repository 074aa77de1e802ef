"""Translation with the large products of a step made of whole numbers of 8 bits: fast on a CPU that has them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seq2seq.models.cells import Cell
from seq2seq.models.decoders import InputFeedingDecoder, LuongDecoder
from seq2seq.models.gnmt import GNMTDecoder
from seq2seq.models.memory import RNNState
from seq2seq.models.packed import Product, can_pack
from seq2seq.models.plain import PlainDecoder
from seq2seq.models.readout import MaxoutReadout, Readout
from seq2seq.models.rnn import FusedLayer, Layer, SteppedRNN
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.twins import copied, linear_of, rebuilt
from seq2seq.processor import least_seconds


class Int8Linear(nn.Module):
    """x W^T + b by a product of whole numbers of 8 bits. The product is exact; what is rounded are W, once, and x.

    Each row of W and of x has a scale of its own, its largest magnitude / 127. A scale that rows shared would make the
    result of one depend on the others; here it depends on nothing but the row. A row that holds a number that isn't
    finite gives none that is.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        numbers, scales = whole(weight.detach())
        self.numbers = numbers.to(torch.int8) if integers_pay() else numbers
        self.scales, self.bias = scales.squeeze(1), None if bias is None else bias.detach()
        self.of_floats = Product() if can_pack() else linear

    @property
    def weight(self) -> Tensor:
        """W (O, I) as the product knows it."""
        return self.numbers * self.scales.unsqueeze(1)

    def select(self, outputs: Tensor) -> Int8Linear:
        """The layer of these outputs (N,) alone, in this order."""
        part = copy.copy(self)
        part.of_floats = copy.copy(self.of_floats)  # its layouts go with it
        part.numbers, part.scales = self.numbers[outputs], self.scales[outputs]
        part.bias = None if self.bias is None else self.bias[outputs]
        return part

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., I) to (..., O), in float32."""
        numbers, scales = whole(inputs.flatten(0, -2))  # (N, I), (N, 1)
        # Each pass over (N, O) costs a tenth of the product: as few as can be, and in place.
        outputs = product(numbers, self.numbers, self.of_floats).mul_(scales)
        if self.bias is None:
            outputs.mul_(self.scales)
        else:
            torch.addcmul(self.bias, outputs, self.scales, out=outputs)
        return outputs.view(*inputs.shape[:-1], len(self.scales))

    def extra_repr(self) -> str:
        return f"{self.numbers.shape[1]}, {self.numbers.shape[0]}"


class Int8Layer(Layer):
    """A decoder's FusedLayer, one step after the other, with its recurrent product of 8-bit numbers.

    The product with its input stays in float32: to round it as well cost another 0.1 BLEU on Multi30k.
    """

    def __init__(self, layer: FusedLayer) -> None:
        super().__init__()
        rnn = layer.rnn
        self.input_projection: nn.Module = linear_of(nn.Linear, rnn.weight_ih_l0, rnn.bias_ih_l0)
        self.hidden_projection = Int8Linear(rnn.weight_hh_l0, rnn.bias_hh_l0)
        self.transition = layer.transition

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        hidden, cell = state.hidden[0], None if state.cell is None else state.cell[0]
        outputs = []
        for at_step in inputs.unbind(1):
            hidden, cell = self.step(at_step, hidden, cell)
            outputs.append(hidden)
        last = RNNState(hidden.unsqueeze(0), None if cell is None else cell.unsqueeze(0))
        return torch.stack(outputs, dim=1), last

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor | None]:
        gates = self.input_projection(inputs), self.hidden_projection(hidden)
        following: tuple[Tensor, Tensor | None] = self.transition(*gates, hidden, cell)
        return following


def quantized(model: Seq2Seq) -> Seq2Seq:
    """The same model with the large products of its steps of 8-bit numbers; `model` stays as it is.

    These are the output layer's, the readout's and the recurrent ones. All else is shared with `model`, in float32.
    Where a decoder makes nothing of an embedding but a part of its bottom layer's gates, that part is worked out now
    for all words, and looked up in the embedding's place.
    """
    twin = copied(model)
    twin.decoder = rebuilt(model.decoder, _replacement)
    twin.output = Int8Linear(model.output.weight, model.output.bias)  # type: ignore[assignment]
    reader = PROJECTIONS.get(type(model.decoder), "")
    projection, words = dict(twin.decoder.named_modules()).get(reader), model.target_embedding.weight.detach()
    if isinstance(projection, nn.Linear) and len(words) * projection.out_features <= MOST_LOOKED_UP:
        with torch.no_grad():
            twin.target_embedding = nn.Embedding.from_pretrained(projection(words))  # type: ignore[no-untyped-call]  # (V, G*H)
        owner, _, name = reader.rpartition(".")
        setattr(twin.decoder.get_submodule(owner), name, nn.Identity())
    return twin


def whole(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, I) as whole numbers from -127 to 127 and their scales (N, 1): number * scale is nearest to the row."""
    scales = rows.abs().amax(1, keepdim=True).clamp_min_(SMALLEST).div_(127)
    return (rows / scales).round_(), scales


def product(numbers: Tensor, matrix: Tensor, of_floats: Callable[[Tensor, Tensor], Tensor] = linear) -> Tensor:
    """numbers (N, I) times matrix (O, I)^T, both whole numbers from -127 to 127, exactly, and then in float32.

    A matrix of integers is multiplied by the CPU's 8-bit instructions, one of floats by `of_floats`, in float32: there
    every sum of up to EXACT products is a whole number below 2^24, which float32 holds, so that the result is the same
    to the bit.
    """
    if matrix.dtype == torch.int8:
        return torch._int_mm(numbers.to(torch.int8), matrix.t()).float()
    if matrix.shape[1] <= EXACT:
        return of_floats(numbers, matrix)
    total = torch.zeros(len(numbers), len(matrix), dtype=torch.float64)
    for part, of_matrix in zip(torch.split(numbers, EXACT, 1), torch.split(matrix, EXACT, 1), strict=True):
        total += part @ of_matrix.t()
    return total.float()


@cache
def integers_pay() -> bool:
    """Whether this CPU's 8-bit products are exact, and faster than float32's: measured, once in a process.

    Where oneDNN has no instructions to use, they are slower by a multiple.
    """
    if not integers_are_exact():
        return False
    left, right = torch.ones(64, 512), torch.ones(1024, 512)
    as_integers = right.to(torch.int8)
    return least_seconds(partial(product, left, as_integers)) < least_seconds(partial(product, left, right))


def integers_are_exact() -> bool:
    """Whether the largest products add up: older instructions sum them by twos in 16 bits, and cut what is beyond."""
    a, b = torch.full((4, 512), 127, dtype=torch.int8), torch.full((512, 64), 127, dtype=torch.int8)
    largest = 512 * 127**2
    return all(bool((torch._int_mm(sign * a, b) == sign * largest).all()) for sign in (1, -1))


SMALLEST = 1e-30  # so that a row of zeros has a scale
EXACT = 2**24 // 127**2  # products of two such numbers, whatever their signs, that float32 adds up without rounding

# Of each kind of module, the layers to make of 8-bit numbers: those that run at every step and read no embeddings.
LINEARS: dict[type[nn.Module], tuple[str, ...]] = {
    Readout: ("projection",),
    MaxoutReadout: ("projection",),
    Cell: ("hidden_projection",),
    SteppedRNN: ("context_projection",),
}

# Of each decoder that reads the embeddings in one place only, the projection that does.
PROJECTIONS: dict[type[nn.Module], str] = {
    LuongDecoder: "rnn.layers.0.input_projection",
    PlainDecoder: "rnn.layers.0.input_projection",
    InputFeedingDecoder: "rnn.embedding_projection",
    GNMTDecoder: "bottom.embedding_projection",
}
MOST_LOOKED_UP = 1 << 26  # numbers, 256 MiB


def _replacement(owner: nn.Module, name: str, part: nn.Module) -> nn.Module | None:
    if isinstance(part, FusedLayer):
        return Int8Layer(part)
    if name in LINEARS.get(type(owner), ()):
        return Int8Linear(cast(Tensor, part.weight), cast("Tensor | None", part.bias))
    return None
