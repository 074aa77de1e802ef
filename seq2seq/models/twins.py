"""Models that compute the same in another way, from the same weights."""

from __future__ import annotations

import copy
from typing import TypeVar, cast

from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def copied(module: Module) -> Module:
    """Another module of the same parts, which may be replaced in it."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def linear_of(weight: Tensor, bias: Tensor | None, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    """A layer with these parameters."""
    layer = kind(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = cast(nn.Parameter, weight), cast("nn.Parameter", bias)
    return layer
