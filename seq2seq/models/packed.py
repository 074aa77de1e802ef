"""Translation on a CPU by products with weights that are laid out once as oneDNN reads them."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.models.rnn import FusedLayer
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.twins import copied, linear_of, rebuilt
from seq2seq.processor import product_error

ROWS = 64  # of inputs, that the layout is chosen for; it serves a few and several hundred as well


class Layout(NamedTuple):
    """A weight, which change of it was laid out, and the copy."""

    weight: Tensor
    version: int
    copy: Tensor


class Product:
    """F.linear, with a copy of each weight that it has met in oneDNN's own layout, as long as there is no gradient.

    A product reads the whole of W, and with few rows hardly does more: as W lies, torch's takes four times as long with
    five rows, half as long again with 64. The copy is made anew when W has been changed in place. It stays as long as
    this object, so that a weight of one batch needs a `Product` of its own. Copies of this object and other processes
    begin without any: such a layout is nothing to write down.
    """

    def __init__(self) -> None:
        self._layouts: dict[int, Layout] = {}

    def __call__(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """inputs (..., I) W^T + b: (..., O)."""
        plain = inputs.dtype == weight.dtype == torch.float32 and inputs.numel() > 0
        if not plain or torch.is_grad_enabled():
            return F.linear(inputs, weight, bias)
        layout = self._layouts.get(id(weight))
        version = 0 if weight.is_inference() else weight._version
        if layout is None or layout.version != version:
            copy = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
            layout = self._layouts[id(weight)] = Layout(weight, version, copy)
        rows = inputs if inputs.dim() == 2 else inputs.reshape(-1, inputs.shape[-1])
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(rows, layout.copy, bias, "none", [], "")
        return outputs if inputs.dim() == 2 else outputs.view(*inputs.shape[:-1], -1)

    def __reduce__(self) -> tuple[type[Product], tuple[()]]:
        return Product, ()


class PackedLinear(nn.Linear):
    """nn.Linear by a `Product`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.product = Product()

    def select(self, outputs: Tensor) -> PackedLinear:
        """The layer of these outputs (N,) alone, in this order."""
        bias = None if self.bias is None else nn.Parameter(self.bias[outputs], requires_grad=False)
        return linear_of(PackedLinear, nn.Parameter(self.weight[outputs], requires_grad=False), bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.product(inputs, self.weight, self.bias)


def packed(model: Seq2Seq) -> Seq2Seq:
    """The same model, with the same weights, whose products are by `Product`; `model` stays as it is."""
    return rebuilt(model, _replacement)


@cache
def can_pack() -> bool:
    """Whether this torch and this CPU have what `Product` takes, in float32: asked once in a process.

    torch's own compiler uses it, but it is documented nowhere; and a CPU with bf16 matrix units may round to bf16. It
    is not measured which is faster: the same command would then differ in its last digits from time to time.
    """
    try:
        with torch.no_grad():
            return product_error(Product()) <= 4 * product_error(F.linear)
    except (AttributeError, RuntimeError):
        return False


def _replacement(owner: nn.Module, name: str, part: nn.Module) -> nn.Module | None:
    if type(part) is nn.Linear:
        return linear_of(PackedLinear, part.weight, part.bias)
    if isinstance(part, FusedLayer):
        twin = copied(part)
        twin.product = Product()
        return twin
    return None
